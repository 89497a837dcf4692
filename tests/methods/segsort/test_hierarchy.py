"""Regions from embeddings: asked for, saved as the benchmark's files, scored by its protocols."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import congeal
from congeal.cli import app
from congeal.data.drawn import DrawnDataset
from congeal.data.matlab import read_mat
from congeal.data.registry import open_dataset
from congeal.data.sample import Subset
from congeal.errors import CongealError
from congeal.methods.segsort import SegSort
from congeal.methods.segsort.hierarchy import embedding_boundary, image_gradient
from congeal.metrics.bsds_regions import segments_from_contours
from congeal.models import load, save_model
from congeal.segmentation import Segmentation

NAMES = ("disc", "square", "triangle", "star")


def call(*words, code=0):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, f"{result.output}{result.exception!r}"
    return result.stdout


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    return save_model(SegSort(dimensions=8, class_names=NAMES), tmp_path / "model", card="")


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(DrawnDataset("shapes", "test", count=1, size=64)[0].image.squeeze()).save(path)
    return path


def test_regions_come_on_request_from_the_command_line(model, photo, tmp_path):
    out = tmp_path / "out"
    call("segment", model, photo, "-o", out, "-f", "semantic")
    call("segment", model, photo, "-o", out, "-f", "ucm", "-f", "boundary")  # beside the classes
    contours = read_mat(out / "photo_ucm.mat", "ucm2")
    assert contours.shape == (129, 129)
    image = np.asarray(Image.open(photo))
    assert load(model).segment(image).boundary is None
    wanted = load(model, settings={"hierarchy": True}).segment(image).contours
    assert np.array_equal(contours, wanted)
    drawn = np.asarray(Image.open(out / "photo_boundary.png")) / 65535
    assert np.abs(drawn - contours[2::2, 2::2]).max() < 1e-4


def test_higher_thresholds_join_the_regions_of_lower_ones(model, photo, tmp_path):
    call("segment", model, photo, "-o", tmp_path / "out", "-f", "ucm")
    contours = read_mat(tmp_path / "out" / "photo_ucm.mat", "ucm2")
    cuts = np.quantile(contours[contours > 0], [0.1, 0.4, 0.8])
    fine, middle, coarse = segments_from_contours(contours, cuts)
    assert fine.max() > middle.max() > coarse.max() >= 1
    for one, other in ((fine, middle), (middle, coarse)):
        pairs = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1)
        assert pairs.shape[1] == len(np.unique(one))


def test_the_boundary_is_where_embedding_and_image_change():
    embedding = torch.eye(2)[:, [0] * 8 + [1] * 8][:, None].repeat(1, 16, 1)
    image = np.zeros((32, 32), np.uint8)
    image[:, 16:] = 255  # where the embedding changes
    image[16:] //= 2  # where it does not
    strength = embedding_boundary(embedding, image_gradient(image))
    assert strength[8, 15] > 0.5
    assert strength[15, 24] == 0
    assert strength[8, 3] == strength[0, 28] == 0


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (40, 1)])
def test_narrow_images_have_regions_too(size):
    found = SegSort(dimensions=4, hierarchy=True).segment(np.zeros(size, np.uint8))
    assert found.contours.shape == (2 * size[0] + 1, 2 * size[1] + 1)


def test_any_number_of_channels_has_a_gradient():
    image = np.zeros((12, 12, 5), np.uint8)
    image[:, 6:] = 200
    assert image_gradient(image)[6].argmax() in (5, 6)


def test_maps_predicted_without_a_hierarchy_are_refused():
    model = SegSort(dimensions=4)
    maps = model.predict_maps(np.zeros((8, 8), np.uint8))
    with pytest.raises(CongealError, match=r"decoding\.hierarchy"):
        model.configure(hierarchy=True).decode(maps)


def test_a_model_is_shown_images_as_those_of_its_index_were(model):
    """The index holds the space of one scale; prototypes of another one would not fit."""
    for setting in ({"scale": 0.5}, {"percentiles": (10.0, 90.0)}):
        with pytest.raises(CongealError, match="after training"):
            load(model, settings=setting)


class Published:
    """Gives an image the contour map of the benchmark's files."""

    def __init__(self, folder, names):
        self.left = [read_mat(folder / "ucm2" / f"{name}.mat", "ucm2") for name in names]

    def segment(self, image):
        return Segmentation.from_maps(contours=self.left.pop(0))


def test_contour_maps_of_the_benchmark_score_as_it_prints(pack):
    folder = pack("bsds_bench") / "mini5"
    data = open_dataset(folder)
    found = congeal.evaluate(
        Published(folder, data.names()), data, protocol="bsds-regions",
        thresholds=[k / 6 for k in range(1, 6)], report=False,
    ).metrics  # fmt: skip
    told = np.loadtxt(folder / "test_1" / "eval_cover.txt")[1:]
    assert [found[f"covering_{n}"] for n in ("ods", "ois", "best")] == pytest.approx(told, abs=2e-6)
    told = np.loadtxt(folder / "test_1" / "eval_RI_VOI.txt")
    names = ("pri_ods", "pri_ois", "voi_ods", "voi_ois")
    assert [found[n] for n in names] == pytest.approx(told[[1, 2, 4, 5]], abs=6e-6)


def test_contour_maps_of_the_benchmark_have_its_boundary_scores(pack):
    folder = pack("bsds_bench") / "mini5"
    data = open_dataset(folder)
    found = congeal.evaluate(
        Published(folder, data.names()), data, protocol="bsds-boundaries",
        measure={"thresholds": 5}, limit=1, report=False,
    ).metrics  # fmt: skip
    told = np.loadtxt(folder / "test_1" / "eval_bdry_img.txt")[0]
    assert found["ods"] == pytest.approx(told[4], abs=2e-3)


def test_saved_contours_score_as_the_model_does(pack, model, tmp_path):
    """The files of ``congeal segment``, cut by hand, have the scores of ``congeal evaluate``."""
    folder = pack("bsds_bench") / "mini5"
    data = Subset(open_dataset(folder), [0])
    words = ["evaluate", model, folder, "-p", "bsds-regions", "--limit", 1, "--split", "all"]
    told = json.loads(call(*words, "-o", tmp_path / "e", "--no-report", "--json"))
    (photo,) = [Path(folder / "images").glob(f"{data[0].name}.*")]
    call("segment", model, next(photo), "-o", tmp_path / "out", "-f", "ucm")
    (path,) = (tmp_path / "out").glob("*_ucm.mat")

    class Saved:
        def segment(self, image):
            return Segmentation.from_maps(contours=read_mat(path, "ucm2"))

    again = congeal.evaluate(Saved(), data, protocol="bsds-regions", report=False).metrics
    assert told["metrics"]["covering_ods"] == again["covering_ods"] > 0.1
