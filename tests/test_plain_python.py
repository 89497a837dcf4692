"""What a user of parts meets in Python: short reprs, wrong shapes and types told in one line."""

import numpy as np
import pytest
import torch

import congeal
from congeal import losses, metrics
from congeal.data import Batch, open_dataset
from congeal.errors import CongealError
from congeal.grouping import MeanShift
from congeal.sphere import normalise

MAPS = np.zeros((2, 20, 20), int)
MAPS[:, 3:9, 3:9], MAPS[1, 11:15, 11:15] = 1, 2
UNIT = normalise(torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0)))
LABELS = torch.ones(2, 16, 16, dtype=torch.int64)
TAKE_LABELS = {
    "pairwise": lambda e, y: losses.pairwise_loss(e, y),
    "discriminative": lambda e, y: losses.discriminative_loss(e, y),
    "vmf": lambda e, y: losses.vmf_loss(e, y),
    "vmf_n": lambda e, y: losses.vmf_n_loss(e, y, torch.ones_like(LABELS)),
    "variational": lambda e, y: losses.variational_loss(e, y),
}


@pytest.mark.parametrize(
    "metric",
    [
        metrics.MatchingMetric(),
        metrics.NucleiMetric(),
        metrics.LeafMetric(),
        metrics.ClusteringMetric(),
        metrics.ContourF1Metric(),
        metrics.SemanticMetric(3),
        metrics.TrimapMetric(3),
        metrics.UnsupervisedMetric(3, 3),
    ],
    ids=lambda metric: type(metric).__name__,
)
def test_a_batch_is_not_taken_for_a_volume_by_a_metric(metric):
    with pytest.raises(CongealError, match=r"\(2, 20, 20\)"):
        metric.update(prediction=MAPS, truth=MAPS)
    metric.update(prediction=MAPS[0], truth=MAPS[0])


def test_a_batch_is_not_taken_for_a_volume_by_a_grouping():
    with pytest.raises(CongealError, match="one image after the other"):
        MeanShift().group(UNIT)
    volume = UNIT.transpose(0, 1)[:, :, :3, :3]  # (D, Z, H, W), unit vectors along D
    assert MeanShift().group(volume).labels.shape == (2, 3, 3)


@pytest.mark.parametrize("loss", list(TAKE_LABELS))
def test_labels_below_void_are_refused_by_every_loss(loss):
    labels = LABELS.clone()
    labels[0, 0, 0] = -2
    with pytest.raises(CongealError, match=r"at least -1 \(void\), got -2"):
        TAKE_LABELS[loss](UNIT, labels)


@pytest.mark.parametrize("loss", list(TAKE_LABELS))
def test_arrays_of_numpy_are_refused_by_every_loss_in_one_line(loss):
    with pytest.raises(CongealError, match=r"expected a PyTorch tensor as .*torch\.from_numpy"):
        TAKE_LABELS[loss](UNIT.numpy(), LABELS)


@pytest.mark.parametrize(
    "call",
    [MeanShift().group, lambda x: MeanShift()(x[None]), normalise],
    ids=["group", "shift", "normalise"],
)
def test_arrays_of_numpy_are_refused_by_groupings_in_one_line(call):
    with pytest.raises(CongealError, match=r"expected a PyTorch tensor as .*torch\.from_numpy"):
        call(UNIT[0].numpy())


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: open_dataset("sticks")[0], "Sample('train-00000', 100 x 119 x 3 uint8, "),
        (lambda: Batch(UNIT, LABELS), "Batch(image (2, 4, 16, 16), labels)"),
        (lambda: metrics.MatchingMetric((0.5,)), "MatchingMetric(0 images, thresholds=(0.5,))"),
        (lambda: congeal.load("nuclei"), "RPE(instances, "),
        (lambda: MeanShift().group(UNIT[0]), "Groups("),
        (lambda: congeal.load("nuclei").predict_maps(MAPS[0] * 100), "MapPrediction(20 x 20: "),
    ],
)
def test_reprs_are_short(make, text):
    said = repr(make())
    assert said.startswith(text)
    assert len(said) < 160


def test_a_result_is_saved_with_the_picture_and_the_name_of_its_image(tmp_path):
    import json

    from PIL import Image

    path = tmp_path / "cells.png"
    Image.fromarray((MAPS[1] > 0).astype(np.uint8) * 200).save(path)
    results = congeal.segment("nuclei", [path, MAPS[0].astype(np.uint8)])
    assert len(congeal.segment("nuclei", tmp_path)) == 1
    results[0].save(tmp_path / "x_overlay.png")
    results[0].save(tmp_path / "x.json")
    assert json.loads((tmp_path / "x.json").read_text())["images"][0]["file_name"] == "cells.png"
    with Image.open(tmp_path / "x_overlay.png") as picture:
        assert picture.size == (20, 20)
