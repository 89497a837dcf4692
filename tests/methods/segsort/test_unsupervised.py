"""Unsupervised SegSort, from images alone: segments from contours, from the command line on."""

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from typer.testing import CliRunner

from congeal.cli import app
from congeal.data import drawn
from congeal.data.drawn import DrawnDataset
from congeal.data.sample import Sample
from congeal.data.unlabelled import UnlabelledDataset
from congeal.errors import CongealError
from congeal.grouping.contours import region_hierarchy
from congeal.methods.segsort import SegSort, oversegmentation
from congeal.methods.segsort.hierarchy import sized_hierarchy
from congeal.methods.segsort.oversegmentation import ContourSegments, boundary_source
from congeal.models import load
from congeal.segmentation import Segmentation

SHORT = ["--epochs", "1", "--batch-size", "2", "--crop", "64"]
SHORT += ["--set", "steps_per_epoch=2", "--set", "dimensions=8", "--set", "workers=0"]


@pytest.fixture
def photos(tmp_path):
    """A folder of images alone."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for sample in DrawnDataset("shapes", "train", count=3, size=64):
        Image.fromarray(sample.image.squeeze()).save(folder / f"{sample.name}.png")
    return folder


def call(*words, code=0):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, f"{result.output}{result.exception!r}"
    return result.output


def weights_of(folder):
    return next(load(folder).network.parameters()).detach()


def test_labelled_images_give_classes_to_a_model_of_images_alone(photos, tmp_path, monkeypatch):
    monkeypatch.setitem(drawn.COUNTS, "test", 4)
    model = tmp_path / "model"
    call("train", photos, "--method", "segsort", "-o", model, *SHORT)
    assert load(model).config.loss.unsupervised
    assert "0 images" in call("index", model)
    call("index", model, "--add", "shapes:size=64", "--split", "test")
    learnt = load(model)
    assert learnt.config.class_names == ("disc", "square", "triangle", "star")
    assert len(learnt.index.names) == 4
    image = DrawnDataset("shapes", "test", count=1, size=64)[0].image
    assert set(np.unique(learnt.segment(image).semantic)) <= {0, 1, 2, 3, 4}


def test_masks_are_not_looked_at_where_none_are_wanted(tmp_path, monkeypatch):
    monkeypatch.setitem(drawn.COUNTS, "train", 3)
    monkeypatch.setitem(drawn.COUNTS, "val", 1)
    told = ["train", "shapes:size=64", "--method", "segsort", "--task", "semantic"]
    call(*told, "-o", tmp_path / "blind", "--unsupervised", *SHORT)
    blind = load(tmp_path / "blind")
    assert blind.config.loss.unsupervised
    assert len(blind.index.names) == 3  # classes come in with the index, after the last step
    called = call(*told[:2], "--method", "rpe", "--unsupervised", "-o", tmp_path / "m", code=2)
    assert "unsupervised" in called


def test_methods_that_need_masks_say_so(photos, tmp_path):
    for wish in (["--method", "rpe"], ["--method", "segsort", "--set", "unsupervised=false"]):
        told = call("train", photos, "-o", tmp_path / "model", *wish, *SHORT, code=2)
        assert "masks" in told
        assert len(told.strip().splitlines()) <= 2


def test_boundary_maps_of_a_folder_make_other_segments(photos, tmp_path):
    folder = tmp_path / "contours"
    folder.mkdir()
    for path in photos.iterdir():
        drawn = np.zeros((64, 64), np.uint8)
        drawn[:, 32] = 255
        Image.fromarray(drawn).save(folder / path.name)
    words = ["train", photos, "--method", "segsort", *SHORT]
    call(*words, "-o", tmp_path / "gradient")
    call(*words, "-o", tmp_path / "files", "--contours", folder)
    call(*words, "-o", tmp_path / "coarse", "--set", "contour_threshold=0.9")
    found = [weights_of(tmp_path / name) for name in ("gradient", "files", "coarse")]
    assert not (found[0] == found[1]).all()
    assert not (found[0] == found[2]).all()


class Edges:
    """A model for boundaries that finds a line across the middle."""

    def eval(self):
        return self

    def segment(self, image):
        strength = np.zeros(image.shape[:2])
        strength[32] = 0.9
        return Segmentation.from_maps(boundary=strength)


def test_a_model_for_boundaries_gives_the_contours(photos, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(oversegmentation, "load_companion", lambda at: asked.append(at) or Edges())
    call("train", photos, "--method", "segsort", "-o", tmp_path / "m", *SHORT,
         "--set", "contours=edges")  # fmt: skip
    assert asked == ["edges"]
    labels = ContourSegments(UnlabelledDataset(photos), "edges", 0.5)[0].labels
    assert labels.max() == 2
    assert (labels[:31] == labels[0, 0]).all()


@pytest.mark.parametrize("kind", ["png", "tif", "npy", "mat"])
def test_boundary_files_of_every_kind_say_the_same(tmp_path, kind):
    sample = DrawnDataset("shapes", "val", count=1, size=64)[0]
    found = region_hierarchy(boundary_source(None)(sample))
    strength, path = found.boundary(), tmp_path / f"{sample.name}.{kind}"
    if kind == "mat":
        savemat(path, {"ucm2": found.contours()})
    elif kind == "npy":
        np.save(path, strength)
    else:
        Image.fromarray((strength * 65535).round().astype(np.uint16)).save(path)
    read = boundary_source(str(tmp_path))(sample)
    assert np.abs(read - strength).max() < 1e-4


def test_missing_and_misfitting_boundary_maps_are_told_with_their_file(tmp_path):
    sample = DrawnDataset("shapes", "val", count=1, size=64)[0]
    with pytest.raises(CongealError, match=f"{sample.name}.*found none"):
        boundary_source(str(tmp_path))(sample)
    np.save(tmp_path / f"{sample.name}.npy", np.zeros((3, 4)))
    with pytest.raises(CongealError, match=r"\(64, 64\) pixels, got \(3, 4\)"):
        boundary_source(str(tmp_path))(sample)


def test_large_images_are_cut_at_a_smaller_size(tmp_path):
    strength = np.zeros((130, 1301))
    strength[:, 700] = 0.9
    np.save(tmp_path / "wide.npy", strength)
    wide = Sample("wide", np.zeros((130, 1301, 1), np.uint8), np.zeros((130, 1301), np.int64))
    labels = sized_hierarchy(boundary_source(str(tmp_path))(wide)).segments(0.5)
    assert labels.shape == (130, 1301)
    assert labels.max() == 2
    assert (labels[:, :690] != labels[0, -1]).all()


def test_a_labelled_dataset_may_be_learnt_without_its_labels():
    model = SegSort(dimensions=8, unsupervised=True, class_names=("a",))
    shown = model.prepare(DrawnDataset("shapes", "val", count=2, size=64))
    assert isinstance(shown, ContourSegments)
    assert shown[0].semantic is None
    assert SegSort(dimensions=8).prepare(shown) is shown
