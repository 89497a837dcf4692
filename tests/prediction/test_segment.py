import json
import pickle

import numpy as np
import pytest
import tifffile
from cases.bright import one_line, write_image
from PIL import Image

from congeal.errors import CongealError
from congeal.prediction import memory, segment, segment_files
from congeal.segmentation import Segmentation

# One image


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 3), (1, 1)])
@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.float32, np.float64, np.int32])
def test_any_shape_and_type_of_image_reaches_the_model_in_one_form(shape, dtype):
    class Asks:
        def segment(self, image):
            assert image.ndim == 3
            assert image.shape[2] in (1, 3)
            assert image.dtype in (np.uint8, np.uint16, np.float32)
            return Segmentation.from_labels(np.zeros(image.shape[:2], int))

    assert segment(Asks(), np.ones(shape, dtype)).shape == shape[:2]


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (np.zeros((4, 5, 7)), "7 channels; select with --channels"),
        (np.zeros((4, 5, 2)), "2 channels; select with --channels"),
        (np.zeros((4, 5, 4)), r"Python: channels="),
        (np.zeros((2, 4, 5, 3)), "got shape"),
        (np.zeros((0, 5)), "got shape"),
        (np.full((4, 5), np.nan), "NaN"),
        (np.full((4, 5), np.inf, np.float32), "NaN or infinite"),
        (np.array([["a"]]), "numeric pixels"),
        (np.zeros((4, 5), complex), "numeric pixels"),
    ],
)
def test_what_is_no_image_is_told_in_one_line(model, image, said):
    with pytest.raises(CongealError, match=said) as error:
        segment(model, image)
    one_line(error)


@pytest.mark.parametrize("chosen", [[1], [3, 0], [2, 1, 0]])
def test_chosen_channels_of_an_array_or_a_file_reach_the_model_in_their_order(chosen, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (6, 7, 4)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    seen = []

    class Keeps:
        def segment(self, image):
            seen.append(image)
            return Segmentation.from_labels(np.ones(image.shape[:2], int))

    results = segment(Keeps(), [pixels, tmp_path / "a.png"], channels=chosen)
    for image, result in zip(seen, results, strict=True):
        np.testing.assert_array_equal(image, pixels[..., chosen])
        np.testing.assert_array_equal(result.source.pixels(), pixels[..., chosen])


def test_a_result_knows_the_pixel_size_of_its_file(model, tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, np.zeros((5, 6), np.uint8), resolution=(1e4, 1e4), resolutionunit="CENTIMETER"
    )
    again = segment(model, segment(model, path).save(tmp_path / "labels.tif"))
    assert again.source.pixel_size == 1


def test_an_image_can_be_given_by_its_path(model, tmp_path):
    assert len(segment(model, write_image(tmp_path / "a.png", 3))) == 3


def test_what_cannot_segment_is_told_in_one_line():
    with pytest.raises(CongealError, match="got int"):
        segment(3, np.zeros((4, 5)))


# Several images in Python


def test_a_list_or_a_folder_gives_a_list(model, tmp_path):
    paths = [write_image(tmp_path / f"{k}.png", k) for k in (1, 2, 3)]
    assert [len(found) for found in segment(model, tmp_path)] == [1, 2, 3]
    assert [len(found) for found in segment(model, str(tmp_path / "*.png"))] == [1, 2, 3]
    mixed = segment(model, [paths[2], np.zeros((5, 6))])
    assert [found.shape for found in mixed] == [(20, 30), (5, 6)]


@pytest.mark.parametrize(
    "given", [[], 3, np.zeros((8, 64, 64)), [[1, 2]], [np.zeros((2, 4, 5, 3))]]
)
def test_what_is_no_list_of_images_is_told_in_one_line(model, given):
    with pytest.raises(CongealError, match="expected") as error:
        segment(model, given)
    one_line(error)


def test_a_result_knows_its_image(model, tmp_path):
    found = segment(model, write_image(tmp_path / "a.png"))
    with Image.open(found.save(tmp_path / "x_overlay.png")) as picture:
        assert picture.size == (30, 20)
    document = json.loads(found.save(tmp_path / "x.json").read_text())
    assert document["images"][0]["file_name"] == "a.png"
    again = pickle.loads(pickle.dumps(found.select([0])))
    assert "\na.png,1," in again.save(tmp_path / "x.csv").read_text()


# Memory


def test_an_image_larger_than_memory_is_told_and_the_next_is_done(model, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 20 * 30 * 500)
    large = tmp_path / "a.png"
    Image.new("L", (31, 20)).save(large)
    run = segment_files(model, [large, write_image(tmp_path / "b.png")], tmp_path / "out")
    assert [file.state for file in run.files] == ["failed", "done"]
    assert "not enough memory for an image of 20 x 31 pixels" in run.failed[0][1]
    assert model.asked == 1
    model.memory_for = lambda height, width: 0
    assert segment_files(model, [large], tmp_path / "out").done == [large]


def test_the_least_of_machine_and_control_groups_counts(tmp_path):
    def write(name: str, text: str) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    write("proc/meminfo", "MemTotal: 99 kB\nMemAvailable:  50 kB\n")
    assert memory.available_memory(tmp_path) == 50 * 1024
    write("proc/self/cgroup", "0::/a/b\n")
    write("sys/fs/cgroup/a/b/memory.max", "max\n")
    write("sys/fs/cgroup/a/b/memory.current", "5\n")
    assert memory.available_memory(tmp_path) == 50 * 1024
    write("sys/fs/cgroup/a/memory.max", "9000\n")
    write("sys/fs/cgroup/a/memory.current", "4000\n")
    write("sys/fs/cgroup/a/memory.stat", "anon 1\ninactive_file 1000\n")
    assert memory.available_memory(tmp_path) == 6000
