"""Scores of objects by a regressor: what it looks at, how it is fitted, stored and asked for."""

import numpy as np
import pytest
import torch
from cases.discs_and_squares import DiscsAndSquares
from cases.rpe_cases import make
from safetensors.torch import load_file

from congeal import load, train
from congeal.data.sample import Sample, Subset
from congeal.errors import CongealError
from congeal.methods.rpe.scoring import (
    FEATURES,
    RIDGE,
    Described,
    FoundObjects,
    ScoreRegressor,
    fit_scores,
    object_quality,
    true_heights,
)
from congeal.models import save_model

CLASSES = ("disc", "square")
SHORT = {
    "epochs": 2,
    "steps_per_epoch": 2,
    "batch_size": 2,
    "crop": 64,
    "threads": 1,
    "workers": 0,
    "device": "cpu",
    "precision": "32",
    "overlays": False,
    "network.dimensions": 4,
    "loss.samples": 128,
    "decoding.min_area": 4.0,
}


def blank(labels, classes=None):
    return Sample("blank", np.zeros((*labels.shape, 1), np.uint8), labels, classes=classes)


def random_objects(count, seed=0, classes=2):
    rng = np.random.default_rng(seed)
    return Described(rng.random((count, len(FEATURES))), rng.integers(1, classes + 1, count))


def in_discs(sample):
    """The truth as a method would find it, half of the objects cut in two."""
    labels = sample.labels.copy()
    rows = np.arange(len(labels))[:, None] % 2 == 0
    extra = labels.max() + 1
    labels[(labels == 1) & rows] = extra
    classes = np.append(sample.classes, sample.classes[0])
    odds = np.full((len(classes), 3), 0.1)
    odds[np.arange(len(classes)), classes] = 0.8
    return FoundObjects(labels, classes, odds)


# What it looks at


def test_a_mask_is_described_by_box_square_and_largest_part():
    labels = np.zeros((20, 30), np.int64)
    labels[2:6, 3:19] = 1  # 4 x 16
    labels[10:12, 0:2] = labels[16:18, 6:8] = 2  # two parts alike, in a box 8 x 8
    odds = np.array([[0.25, 0.5, 0.25], [0.5, 0.125, 0.375]])
    found = FoundObjects(labels, np.array([1, 2]), odds).described()
    expected = [[0.75, 0.5, 2.0, 64 / 256, 2.0, 1.0], [0.5, 0.375, 0.0, 8 / 64, 3.0, 0.5]]
    assert found.features.tolist() == expected


def test_the_quality_of_an_object_is_its_best_iou_with_one_of_its_class():
    rng = np.random.default_rng(0)
    truth, labels = rng.integers(-1, 4, (12, 12)), rng.integers(0, 5, (12, 12))
    classes, told = np.array([1, 2, 1, 2]), np.array([1, 2, 2])
    found = object_quality(blank(truth, told), labels, classes, classed=True)
    known = truth >= 0
    for k in range(1, 5):
        one = (labels == k) & known
        both = [(truth == t) for t in range(1, 4) if told[t - 1] == classes[k - 1]]
        assert found[k - 1] == max((one & t).sum() / (one | t).sum() for t in both)


def test_objects_on_void_or_on_an_object_of_no_class_have_no_quality():
    truth, labels = np.array([[-1, 1, 1, 2, 2]]), np.array([[1, 2, 2, 3, 3]])
    sample, classes = blank(truth, np.array([1, -1])), np.array([1, 1, 1])
    assert np.isnan(object_quality(sample, labels, classes, classed=True)).tolist() == [1, 0, 1]


def test_heights_are_those_of_the_boxes_of_true_objects():
    labels = np.array([[1, 0], [1, 2], [0, 2], [1, -1]])
    assert true_heights(blank(labels, np.array([2, 1])), True) == [(2, 2.0), (1, 1.0)]


# How it is fitted


def test_the_weights_are_those_of_a_ridge_towards_the_foreground_score():
    found, regressor = random_objects(40), ScoreRegressor()
    quality = np.random.default_rng(1).random(40)
    heights = [(1, 0.2), (2, 0.6)]
    regressor.fit(found, quality, heights, 2)
    x = found.features.copy()
    x[:, 4] = abs(x[:, 4] - np.array([0.2, 0.6], np.float32)[found.classes - 1])
    z, rest = (x - x.mean(0)) / x.std(0), quality - x[:, 0]
    # Rows that ask every weight to be zero, in standard deviations, make the ridge.
    rows = np.vstack([z, np.sqrt(RIDGE) * np.eye(6)])
    slopes = np.linalg.lstsq(rows, np.append(rest - rest.mean(), np.zeros(6)), rcond=None)[0]
    expected = x[:, 0] + rest.mean() + z @ slopes
    np.testing.assert_allclose(regressor.scores(found), expected.clip(0, 1), atol=1e-5)


def test_objects_of_unknown_quality_count_for_nothing():
    found, one, other = random_objects(12), ScoreRegressor(), ScoreRegressor()
    quality = np.random.default_rng(1).random(12)
    one.fit(Described(found.features[:9], found.classes[:9]), quality[:9], [(1, 0.5)], 2)
    other.fit(found, np.append(quality[:9], [np.nan] * 3), [(1, 0.5)], 2)
    assert torch.equal(one.weight, other.weight)


def test_without_objects_nothing_is_fitted():
    regressor = ScoreRegressor()
    regressor.fit(random_objects(3), np.full(3, np.nan), [(1, 0.5)], 2)
    assert not regressor.fitted
    assert regressor.named_weights() == {}


def test_a_few_dozen_images_are_enough_and_evenly_spread():
    read, data = [], DiscsAndSquares(count=80)

    class Told(Subset):
        def __getitem__(self, index):
            read.append(index)
            return super().__getitem__(index)

    regressor = ScoreRegressor()
    samples = {sample.image.tobytes(): sample for sample in data}
    find = lambda image: in_discs(samples[image.tobytes()])  # noqa: E731
    fit_scores(regressor, find, Told(data, range(80)), classes=2)
    assert (len(read), read[0], read[-1]) == (32, 0, 77)
    halves, whole = [], []
    for sample in DiscsAndSquares("test", 8):
        found = in_discs(sample)
        scores = regressor.scores(found.described())
        halves += [scores[0], scores[-1]]
        whole += scores[1:-1].tolist()
    assert max(halves) < min(whole), "objects cut in two score less than whole ones"


# How it is stored and asked for


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Models trained alike, with scores by foreground and by a regressor."""
    root, made = tmp_path_factory.mktemp("scoring"), {}
    for kind in ("foreground", "regressor"):
        settings = {**SHORT, "decoding.score": kind}
        data = DiscsAndSquares()
        made[kind] = train("rpe", data, output=root / kind, start=None, **settings)
    return made


def test_the_weights_learnt_are_the_same_with_and_without_it(folders):
    plain, fitted = (load_file(folders[k] / "model.safetensors") for k in folders)
    assert {name for name in fitted if name not in plain} == {
        f"scoring.{name}" for name in ("weight", "bias", "heights")
    }
    assert all(torch.equal(value, fitted[name]) for name, value in plain.items())


def test_the_setting_changes_scores_and_never_which_objects_there_are(folders):
    model, image = load(folders["regressor"]), DiscsAndSquares("test")[0].image
    model.configure(min_score=0.5)
    regressed = model.segment(image)
    plain = model.configure(score="foreground").segment(image)
    assert np.array_equal(plain.labels, regressed.labels)
    assert not np.array_equal(plain.scores, regressed.scores)
    assert ((regressed.scores >= 0) & (regressed.scores <= 1)).all()
    assert np.array_equal(plain.scores, load(folders["foreground"]).segment(image).scores)


def test_the_card_lists_its_weights(folders):
    card = (folders["regressor"] / "README.md").read_text()
    weights = dict(load(folders["regressor"]).fitted_values())
    assert list(weights) == [f"score: {name}" for name in (*FEATURES, "constant")]
    for name, value in weights.items():
        assert f"- {name}: {value:+.4f}" in card
    assert "## Fitted" not in (folders["foreground"] / "README.md").read_text()


def test_saved_with_the_other_score_it_keeps_its_fit(folders, tmp_path):
    model = load(folders["regressor"], settings={"score": "foreground"})
    again = load(save_model(model, tmp_path / "copy", card=""), settings={"score": "regressor"})
    assert torch.equal(again.scoring.weight, model.scoring.weight)


def test_a_model_without_a_fit_says_so_in_one_line(folders):
    with pytest.raises(CongealError, match=r"train with --set decoding\.score=regressor"):
        load(folders["foreground"], settings={"score": "regressor"})
    assert make(score="regressor").segment(np.zeros((8, 8), np.uint8)).shape == (8, 8)
