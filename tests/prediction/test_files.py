import numpy as np
import pytest
from cases.bright import Bright, names, write_image
from PIL import Image

from congeal.errors import CongealError
from congeal.prediction import input_files, segment_files
from congeal.segmentation.formats import FORMATS

# Many files


def test_results_keep_the_names_of_their_images(model, tmp_path):
    write_image(tmp_path / "in" / "cell 1.png")
    write_image(tmp_path / "in" / "cell.v2.tif", 3)
    run = segment_files(model, [tmp_path / "in"], tmp_path / "out")
    assert [path.name for path in run.done] == ["cell 1.png", "cell.v2.tif"]
    assert names(tmp_path / "out") == [
        "cell 1_labels.png",
        "cell 1_overlay.png",
        "cell.v2_labels.png",
        "cell.v2_overlay.png",
    ]
    assert [file.objects for file in run.files] == [2, 3]


def test_every_format_is_written(model, tmp_path):
    image = write_image(tmp_path / "a.png")
    maps = ("semantic", "boundary", "probabilities", "ucm", "cityscapes")
    held = [name for name in FORMATS if name not in maps]
    run = segment_files(model, [image], tmp_path / "out", formats=held)
    assert names(tmp_path / "out") == sorted(f"a{FORMATS[name]}" for name in held)
    assert sorted(path.name for path in run.files[0].files) == names(tmp_path / "out")


def test_files_folders_and_patterns_may_be_mixed_and_each_image_comes_once(model, tmp_path):
    one = write_image(tmp_path / "x" / "one.png")
    write_image(tmp_path / "x" / "two.tif")
    other = tmp_path / "x" / ".." / "x" / "one.png"
    inputs = [one, tmp_path / "x", str(tmp_path / "*" / "t*.tif"), other]
    run = segment_files(model, inputs, tmp_path / "out", formats=["labels"])
    assert [path.name for path in run.done] == ["one.png", "two.tif"]


def test_a_second_run_skips_what_is_done_without_loading_the_model(model, tmp_path):
    write_image(tmp_path / "in" / "a.png")
    segment_files(model, [tmp_path / "in"], tmp_path / "out")
    write_image(tmp_path / "in" / "b.png")
    again = Bright()
    run = segment_files(again, [tmp_path / "in"], tmp_path / "out")
    assert ([p.name for p in run.skipped], [p.name for p in run.done]) == (["a.png"], ["b.png"])
    assert again.asked == 1


def test_only_the_missing_formats_are_made(model, tmp_path):
    image = write_image(tmp_path / "a.png")
    segment_files(model, [image], tmp_path / "out", formats=["labels"])
    stamp = (tmp_path / "out" / "a_labels.png").stat().st_mtime_ns
    run = segment_files(model, [image], tmp_path / "out", formats=["labels", "csv"])
    assert [path.name for path in run.files[0].files] == ["a_objects.csv"]
    assert (tmp_path / "out" / "a_labels.png").stat().st_mtime_ns == stamp


def test_overwrite_makes_results_again(model, tmp_path):
    image = write_image(tmp_path / "a.png")
    segment_files(model, [image], tmp_path / "out")
    run = segment_files(model, [image], tmp_path / "out", overwrite=True)
    assert run.done == [image]
    assert model.asked == 2


def test_a_broken_image_is_reported_and_the_rest_is_done(model, tmp_path):
    write_image(tmp_path / "in" / "a.png")
    broken = write_image(tmp_path / "in" / "b.png")
    broken.write_bytes(broken.read_bytes()[:60])
    write_image(tmp_path / "in" / "c.png")
    run = segment_files(model, [tmp_path / "in", tmp_path / "gone.png"], tmp_path / "out")
    assert [path.name for path in run.done] == ["a.png", "c.png"]
    assert [path.name for path, _ in run.failed] == ["b.png", "gone.png"]
    assert all(
        name in why for name, (_, why) in zip(("b.png", "gone.png"), run.failed, strict=True)
    )
    assert all("\n" not in why for _, why in run.failed)


def test_strict_stops_at_the_first_broken_image(model, tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(CongealError, match="expected an image"):
        segment_files(model, [tmp_path / "a.png"], tmp_path / "out", strict=True)


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (MemoryError(), "not enough memory"),
        (RuntimeError("CUDA out of memory.\nTried to"), "not enough memory"),
        (RuntimeError("shapes\n do not fit"), "RuntimeError: shapes do not fit"),
    ],
)
def test_a_model_that_fails_on_one_image_goes_on_with_the_next(tmp_path, raised, said):
    class Fails(Bright):
        def segment(self, image):
            if self.asked == 0:
                self.asked += 1
                raise raised
            return super().segment(image)

    images = [write_image(tmp_path / name) for name in ("a.png", "b.png")]
    run = segment_files(Fails(), images, tmp_path / "out")
    assert run.failed[0][1].startswith(said)
    assert run.done == [images[1]]


def test_each_outcome_is_told_as_it_comes(model, tmp_path):
    images = [write_image(tmp_path / name) for name in ("a.png", "b.png")]
    told = []
    run = segment_files(model, images, tmp_path / "out", on_file=told.append)
    assert told == run.files
    assert all(outcome.seconds > 0 for outcome in told)


# Images of one name


def test_images_of_one_name_in_two_folders_get_a_result_each(model, tmp_path):
    first = write_image(tmp_path / "a" / "x.png", 1)
    second = write_image(tmp_path / "b" / "x.png", 2)
    segment_files(model, [first, second], tmp_path / "out", formats=["labels"])
    assert names(tmp_path / "out") == ["a_x_labels.png", "b_x_labels.png"]
    found = np.asarray(Image.open(tmp_path / "out" / "b_x_labels.png"))
    assert found.max() == 2


def test_images_that_differ_in_their_ending_get_a_result_each(model, tmp_path):
    write_image(tmp_path / "a" / "x.png")
    write_image(tmp_path / "a" / "x.tif")
    segment_files(model, [tmp_path / "a"], tmp_path / "out", formats=["labels"])
    assert names(tmp_path / "out") == ["x_png_labels.png", "x_tif_labels.png"]


def test_names_that_differ_only_in_case_get_a_result_each(model, tmp_path):
    images = [write_image(tmp_path / "a" / "x.png"), write_image(tmp_path / "b" / "X.png")]
    segment_files(model, images, tmp_path / "out", formats=["labels"])
    assert names(tmp_path / "out") == ["a_x_labels.png", "b_X_labels.png"]


def test_deep_folders_of_one_name_are_told_apart_by_those_above(model, tmp_path):
    images = [write_image(tmp_path / side / "1" / "x.png") for side in ("l", "r")]
    segment_files(model, images, tmp_path / "out", formats=["labels"])
    assert names(tmp_path / "out") == ["l_1_x_png_labels.png", "r_1_x_png_labels.png"]


def test_paths_that_spell_the_same_get_a_result_each(model, tmp_path):
    images = [write_image(tmp_path / "a_b" / "c" / "x.png"), write_image(tmp_path / "a_b_c.png")]
    images += [write_image(tmp_path / "a" / "b_c" / "x.png")]
    run = segment_files(model, images, tmp_path / "out", formats=["labels"])
    assert len(run.done) == len(names(tmp_path / "out")) == 3


def test_a_later_run_over_another_folder_does_not_take_a_name_that_is_used(model, tmp_path):
    write_image(tmp_path / "a" / "x.png", 1)
    write_image(tmp_path / "b" / "x.png", 2)
    for folder in ("a", "b", "a", "b"):
        run = segment_files(model, [tmp_path / folder], tmp_path / "out", formats=["labels"])
    assert names(tmp_path / "out") == ["b_x_labels.png", "x_labels.png"]
    assert run.skipped == [tmp_path / "b" / "x.png"]


def test_a_project_moved_as_a_whole_still_knows_what_is_done(model, tmp_path):
    write_image(tmp_path / "old" / "in" / "x.png")
    segment_files(model, [tmp_path / "old" / "in"], tmp_path / "old" / "out")
    (tmp_path / "old").rename(tmp_path / "new")
    run = segment_files(model, [tmp_path / "new" / "in"], tmp_path / "new" / "out")
    assert len(run.skipped) == 1


def test_results_among_the_images_are_not_segmented(model, tmp_path):
    write_image(tmp_path / "x.png")
    for _ in range(2):
        run = segment_files(model, [tmp_path], tmp_path)
    assert run.skipped == [tmp_path / "x.png"]
    assert names(tmp_path) == ["x.png", "x_labels.png", "x_overlay.png"]
    (tmp_path / "x.png").unlink()
    with pytest.raises(CongealError, match="only results"):
        input_files([tmp_path], tmp_path)
