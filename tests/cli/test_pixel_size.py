"""The size of a pixel: models keep that of their training, and images are resized to it."""

import csv
import json

import numpy as np
import pytest
import tifffile
import zarr
from cases.registered import register
from cases.sized import Sized, discs_in_a_grid
from PIL import Image

import congeal
from congeal.data import open_dataset
from congeal.metrics import matching
from congeal.models import read_config, save_model

QUICK = ["--epochs", 1, "--batch-size", 2, "--crop", 64, "--device", "cpu", "--from-scratch"]
QUICK += ["--set", "steps_per_epoch=1", "--set", "validation_images=1", "--set", "tuning_share=0"]
QUICK += ["--set", "dimensions=4", "--set", "samples=64"]


@pytest.fixture
def sized(tmp_path, monkeypatch):
    """A model that was trained at half a micrometre per pixel."""
    register(monkeypatch, Sized)
    return save_model(Sized(pixel_size=0.5), tmp_path / "sized", card="")


@pytest.fixture
def twice(tmp_path):
    """An image of discs twice as large as those the model knows, with their labels."""
    pixels, labels = discs_in_a_grid(288, 384, radius=12)
    Image.fromarray(pixels).save(tmp_path / "twice.png")
    return tmp_path / "twice.png", labels


def read(folder):
    return np.asarray(Image.open(next(folder.glob("*_labels.png")))).astype(np.int64)


def found(run, model, image, folder, *words):
    result = run("segment", model, image, "-o", folder, "-f", "labels", "-f", "csv", *words)
    assert result.exit_code == 0, result.output
    return read(folder), result.stderr


def test_objects_follow_the_size_of_a_pixel(run, sized, twice, tmp_path):
    image, truth = twice
    without, _ = found(run, sized, image, tmp_path / "without")
    assert without.max() == 0
    sizes = ("--pixel-size", 0.25, "--units", "um")
    labels, told = found(run, sized, image, tmp_path / "with", *sizes)
    assert labels.shape == truth.shape
    assert matching(prediction=labels, truth=truth, threshold=0.9).ap == 1
    assert "1 image resized by 0.5 to the pixel size of the training, 0.5 micrometres" in told
    with (tmp_path / "with" / "twice_objects.csv").open() as file:
        rows = list(csv.DictReader(file))
    areas = np.bincount(labels.ravel())[1:]
    assert [float(row["area"]) for row in rows] == pytest.approx(areas * 0.25**2)
    assert {row["pixel_size"] for row in rows} == {"0.25"}


def test_what_a_tiff_tells_counts_without_an_option(run, sized, tmp_path):
    pixels, truth = discs_in_a_grid(144, 144, radius=3)
    tags = {"resolution": (1, 1), "metadata": {"unit": "um"}}  # one micrometre
    tifffile.imwrite(tmp_path / "small.tif", pixels, imagej=True, **tags)
    labels, _ = found(run, sized, tmp_path / "small.tif", tmp_path / "own")
    assert matching(prediction=labels, truth=truth, threshold=0.6).ap == 1
    other, _ = found(run, sized, tmp_path / "small.tif", tmp_path / "given", "--pixel-size", 0.5)
    assert other.max() == 0


def test_tiles_give_the_objects_of_the_whole_resized_image(run, sized, twice, tmp_path):
    image, _ = twice
    cut = ("--pixel-size", 0.25, "--tile", 96, "--overlap", 48, "--seam-report")
    labels, _ = found(run, sized, image, tmp_path / "tiles", *cut)
    whole, _ = found(run, sized, image, tmp_path / "whole", "--pixel-size", 0.25)
    np.testing.assert_array_equal(labels, whole)
    report = json.loads((tmp_path / "tiles" / "seams" / "twice.json").read_text())
    assert report["tiles"] > 4
    assert max(report["seams"]["x"]) > 192  # in pixels of the image, not of what was shown


def test_parts_and_their_merge_give_the_same(run, sized, twice, tmp_path):
    image, truth = twice
    cut = ("--pixel-size", 0.25, "--tile", 96, "--overlap", 48)
    words = ("segment", sized, image, "-o", tmp_path / "out", *cut)
    for part in ("1/2", "2/2"):
        assert run(*words, "--block", part).exit_code == 0
    assert run(*words, "--merge").exit_code == 0
    score = matching(prediction=read(tmp_path / "out"), truth=truth, threshold=0.9)
    assert score.ap == 1


def test_zarr_is_resized_part_by_part(run, sized, twice, tmp_path):
    image, _ = twice
    zarr.save_array(tmp_path / "twice.zarr", np.asarray(Image.open(image)))
    words = ("segment", sized, tmp_path / "twice.zarr", "--tile", 96, "--overlap", 48)
    result = run(*words, "-o", tmp_path / "labels.zarr", "--pixel-size", 0.25)
    assert result.exit_code == 0, result.output
    assert "image resized by 0.5 to the pixel size of the training" in result.stderr
    labels = zarr.open_group(tmp_path / "labels.zarr", mode="r")["labels/congeal/0"][:]
    whole, _ = found(run, sized, image, tmp_path / "whole", "--pixel-size", 0.25)
    np.testing.assert_array_equal(labels, whole)


def test_planes_of_a_volume_are_resized(run, sized, twice, tmp_path):
    image, truth = twice
    planes = np.stack([np.asarray(Image.open(image))] * 3)
    tifffile.imwrite(tmp_path / "deep.tif", planes, photometric="minisblack")
    words = ("segment", sized, tmp_path / "deep.tif", "--stack", "volume", "-o", tmp_path / "out")
    assert run(*words, "--pixel-size", 0.25).exit_code == 0
    labels = tifffile.imread(tmp_path / "out" / "deep_labels.tif")
    for plane in labels:
        assert matching(prediction=plane.astype(int), truth=truth, threshold=0.9).ap == 1


def test_python_takes_the_size_too(sized, twice):
    image, truth = twice
    for given in (image, np.asarray(Image.open(image))):
        result = congeal.segment(sized, given, pixel_size=0.25)
        assert len(result) == truth.max()
        assert result.shape == truth.shape
        assert result.source.pixel_size == 0.25
    planes = [np.asarray(Image.open(image))] * 2
    assert len(congeal.segment_volume(sized, planes, pixel_size=0.25)) == truth.max()


def test_a_model_without_a_size_says_so(run, model, twice, tmp_path):
    image, _ = twice
    result = run("segment", model, image, "-o", tmp_path / "out", "--pixel-size", 0.25)
    assert result.stderr.count("the model stores no pixel size of its training") == 1
    with pytest.warns(UserWarning, match="gives units only"):
        congeal.segment(model, image, pixel_size=0.25)


def test_evaluation_resizes_as_segmenting_does(said, run, sized, twice, tmp_path):
    image, truth = twice
    for part in ("images", "masks"):
        (tmp_path / "data" / part).mkdir(parents=True)
    image.rename(tmp_path / "data" / "images" / "a.png")
    Image.fromarray(truth.astype(np.uint8)).save(tmp_path / "data" / "masks" / "a.png")
    words = ["evaluate", sized, tmp_path / "data", "--split", "all", "--no-report"]
    words += ["-o", tmp_path / "scores"]
    assert said(*words, "--pixel-size", 0.25)["metrics"]["matching_ap@0.9"] == 1
    assert said(*words)["metrics"]["matching_ap@0.5"] == 0


def test_a_size_that_cannot_be_right_is_refused(run, sized, twice, tmp_path):
    result = run("segment", sized, twice[0], "-o", tmp_path / "out", "--pixel-size", 84.67)
    assert result.exit_code == 1
    assert "expected a pixel size within 16 times that of the model (0.5 micro" in result.stderr


def write_training_set(root, sizes):
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
    pixels, labels = discs_in_a_grid(64, 64)
    for index, size in enumerate(sizes):
        tags = {} if size is None else {"resolution": (1 / size, 1 / size)}
        told = {} if size is None else {"metadata": {"unit": "um"}}
        tifffile.imwrite(root / f"images/{index}.tif", pixels, imagej=True, **tags, **told)
        Image.fromarray(labels.astype(np.uint8)).save(root / f"masks/{index}.png")
    return root


@pytest.mark.parametrize(
    ("sizes", "words", "expected", "note"),
    [
        ([0.4] * 4, [], 0.4, ""),
        ([0.4] * 4, ["--pixel-size", 0.3], 0.3, ""),
        ([0.4, 0.4, 0.8, 0.8], [], None, "pixels of 0.4 to 0.8 micrometres"),
        ([0.4, None] * 3, [], None, "tell none: the model will not know"),
        ([None] * 4, [], None, ""),
    ],
)
def test_training_keeps_the_size_of_its_images(run, tmp_path, sizes, words, expected, note):
    data = write_training_set(tmp_path / "data", sizes)
    folder = tmp_path / "trained"
    result = run("train", data, "--val", data, "-o", folder, *QUICK, *words)
    assert result.exit_code == 0, result.output
    assert read_config(folder).settings["input"]["pixel_size"] == expected
    assert (note in result.stderr) if note else ("training images have pixels" not in result.stderr)


@pytest.mark.slow
def test_a_trained_model_finds_enlarged_discs_as_it_finds_those_of_its_training(run, tmp_path):
    folder = tmp_path / "trained"
    length = ("--epochs", 2, "--batch-size", 4, "--set", "steps_per_epoch=10")
    assert run("train", "discs", "-o", folder, "--pixel-size", 0.5, *length).exit_code == 0
    truths = {}
    for kind, times in (("photos", 1), ("large", 3)):
        (tmp_path / kind).mkdir()
        for sample in open_dataset("discs", "val", count=3):
            image = np.kron(sample.image, np.ones((times, times, 1), np.uint8))
            Image.fromarray(image.squeeze()).save(tmp_path / kind / f"{sample.name}.png")
            truths[kind, sample.name] = np.kron(sample.labels, np.ones((times, times), int))

    def found(kind, *words):
        out = tmp_path / f"{kind}{len(words)}"
        assert run("segment", folder, tmp_path / kind, "-o", out, *words).exit_code == 0
        return sum(
            matching(
                prediction=np.asarray(Image.open(out / f"{name}_labels.png")).astype(int),
                truth=truth,
                threshold=0.5,
            ).tp
            for (of, name), truth in truths.items()
            if of == kind
        )

    as_trained, resized = found("photos"), found("large", "--pixel-size", 0.5 / 3)
    assert as_trained > 10
    assert resized >= 0.85 * as_trained
    assert found("large") != resized
