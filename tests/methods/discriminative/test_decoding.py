"""From maps to objects: perfect maps give the objects exactly."""

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from congeal.data.drawn import DrawnDataset
from congeal.errors import CongealError
from congeal.grouping.flat_shift import FlatMeanShift
from congeal.methods import MapPrediction
from congeal.methods.discriminative import Discriminative
from congeal.methods.discriminative.decoding import InstanceDecoder, SampledFlatShift, labels_by

D = 8


def make(**settings):
    torch.manual_seed(0)
    settings = {"dimensions": D, "coordinates": "none", "min_area": 0, **settings}
    return Discriminative(**settings)


def perfect(labels, kinds=None, count=1, stride=1, noise=0.0):
    """Maps of a network that has learnt all: means 2 delta_d apart, pixels within delta_v.

    Args:
        labels: ``(H, W)``, -1 void and 0 background among them.
        kinds: class of object 1, 2, ...; one each if left out.
        count: C.
        stride: of the embedding.
        noise: largest distance of a pixel from its mean.
    """
    rng = np.random.default_rng(0)
    highest = int(labels.max(initial=0))
    kinds = np.ones(highest, int) if kinds is None else np.asarray(kinds)
    means = 3.0 * (np.arange(highest + 2)[:, None] // D ** np.arange(D) % D)  # a lattice
    coarse = np.maximum(labels[::stride, ::stride], 0)
    away = rng.normal(size=(*coarse.shape, D))
    away *= noise / np.linalg.norm(away, axis=-1, keepdims=True)
    embedding = torch.from_numpy(means[coarse] + away).permute(2, 0, 1).float()
    semantic = np.concatenate([[0], kinds])[np.maximum(labels, 0)]
    logits = 20.0 * torch.nn.functional.one_hot(torch.from_numpy(semantic), count + 1)
    maps = {"embedding": embedding, "semantic": logits.permute(2, 0, 1)}
    return MapPrediction(maps, labels.shape, stride)


def scene():
    """A ring around a disc, and a bar in two parts."""
    labels = np.zeros((20, 30), np.int64)
    labels[2:14, 2:14], labels[4:12, 4:12], labels[6:10, 6:10] = 1, 0, 2
    labels[16:18, 2:12] = labels[16:18, 18:28] = 3
    return labels


def same(found, expected):
    """Whether two label maps differ in the numbers of their objects only."""
    pairs = np.unique(np.stack([found.ravel(), expected.ravel()]), axis=1)
    return len(pairs[0]) == len(np.unique(pairs[0])) == len(np.unique(pairs[1]))


@pytest.mark.parametrize("grouping", ["flat-shift", "flat-shift-sampled"])
@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_perfect_maps_give_the_objects_exactly(grouping, noise):
    result = make(grouping=grouping).decode(perfect(scene(), noise=noise))
    assert same(result.labels, scene())
    assert np.array_equal(result.semantic, scene() > 0)
    assert result.scores == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("stride", [2, 4])
def test_objects_of_a_coarse_embedding_are_drawn_at_full_resolution(stride):
    model, labels = make(), scene().repeat(2, 0).repeat(2, 1)
    labels = labels[: 39 if stride == 4 else 40]
    found = model.decode(perfect(labels, stride=stride)).labels
    assert found.shape == labels.shape
    assert ((found > 0) == (labels > 0)).all()
    assert same(found, labels)


def test_a_single_pixel_is_found_at_a_coarse_stride():
    labels = np.zeros((8, 8), np.int64)
    labels[2, 4] = 1
    assert same(make().decode(perfect(labels, stride=2)).labels, labels)


def test_two_classes_may_share_a_place_and_no_object_is_of_both():
    labels = np.array([[1, 1, 2, 2], [3, 3, 0, 0]])
    maps = perfect(labels, kinds=[1, 2, 2], count=2)
    maps.maps["embedding"].zero_()
    result = make(class_names=["a", "b"]).decode(maps)
    assert result.labels.tolist() == [[1, 1, 2, 2], [2, 2, 0, 0]]
    assert result.classes.tolist() == [1, 2]
    assert result.class_names == ("a", "b")
    assert result.semantic.tolist() == [[1, 1, 2, 2], [2, 2, 0, 0]]


@pytest.mark.parametrize("stride", [1, 2])
def test_crossing_sticks_with_void_crossings_come_apart_whole(stride):
    sample = DrawnDataset("sticks", count=1, size=96)[0]
    labels = sample.labels
    labels = np.where(np.random.default_rng(0).random(labels.shape) < 0.05, -1, labels)
    maps = perfect(labels)
    result = make().decode(maps, semantic=(labels > 0).astype(int))
    assert len(result) == len(np.unique(labels[labels > 0])) > 2
    assert same(result.labels, np.maximum(labels, 0))


def test_hundreds_of_objects_come_apart():
    labels = np.arange(1, 401).reshape(20, 20).repeat(2, 0).repeat(2, 1)
    assert same(make().decode(perfect(labels, noise=0.1)).labels, labels)


@pytest.mark.parametrize("value", [0, -1])
def test_nothing_found_is_a_result_of_no_object(value):
    result = make().decode(perfect(np.full((5, 7), value)))
    assert result.shape == (5, 7)
    assert len(result) == 0
    assert not result.semantic.any()


def test_the_classes_may_come_from_elsewhere():
    labels = scene()
    maps = perfect(labels)
    maps.maps["semantic"].zero_()
    model = make()
    assert not same(model.decode(maps).labels, labels)
    assert same(model.decode(maps, semantic=(labels > 0).astype(int)).labels, labels)
    odds = np.stack([labels == 0, labels > 0]).astype(np.float32)
    assert same(model.decode(maps, semantic=torch.from_numpy(odds)).labels, labels)
    with pytest.raises(CongealError, match=r"expected class ids \(20, 30\) or probabilities"):
        model.decode(maps, semantic=np.ones((3, 3), int))


def save(model, folder):
    from congeal.models import save_model

    return save_model(model, folder, card="")


def test_another_model_may_tell_the_classes_by_name(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (24, 32), np.uint8)
    other = Discriminative(task="semantic", class_names=["dirt", "cell"])
    where = str(save(other, tmp_path / "other"))
    model = make(class_names=["cell"]).configure(semantic=where)
    odds = other.segment(image).probabilities[2]
    found = model.segment(image)
    assert np.array_equal(found.semantic, odds > 0.5)
    assert set(model.state_dict()) == set(make(class_names=["cell"]).state_dict())
    with pytest.raises(CongealError, match=r"expected the class leaf in .* which has dirt, cell"):
        make(class_names=["leaf"]).configure(semantic=where).segment(image)


def test_the_score_is_the_mean_probability_of_the_class():
    maps = perfect(np.array([[1, 1, 2]]), kinds=[1, 2], count=2)
    maps.maps["semantic"] = torch.tensor([[[0.2, 0.4, 0.1]], [[0.7, 0.5, 0.0]], [[0.1, 0.1, 0.9]]])
    maps.maps["semantic"].log_()
    result = make(class_names=["a", "b"]).decode(maps)
    assert result.classes.tolist() == [1, 2]
    assert result.scores == pytest.approx([0.6, 0.9])
    assert len(make(class_names=["a", "b"], min_score=0.7).decode(maps)) == 1


def test_every_decoding_setting_changes_the_result():
    labels = scene()
    labels[0, 20] = 4
    maps = perfect(labels, noise=0.4)
    maps.maps["semantic"] = maps.maps["semantic"] / 20
    before = make().decode(maps)
    for settings in (
        {"foreground_threshold": 0.9},
        {"bandwidth": 30.0},
        {"threshold": 0.1},
        {"min_area": 2},
        {"min_score": 0.9},
        {"split_components": True},
        {"fill_holes": True},
        {"grouping": "flat-shift-sampled", "grouping_options": {"samples": 3}},
        {"grouping": "k-means"},
        {"grouping_options": {"max_instances": 1}},
    ):
        after = make().configure(**settings).decode(maps)
        assert not np.array_equal(after.labels, before.labels), settings


def test_radii_left_open_are_the_margins_of_the_loss():
    model = make(delta_v=0.3, delta_d=1.2)
    assert model.effective("decoding.bandwidth") == 0.3
    assert model.effective("decoding.threshold") == 1.2
    model.configure(bandwidth=0.7, threshold=0.9)
    assert model.effective("decoding.bandwidth") == 0.7
    assert model.effective("decoding.threshold") == 0.9


def test_areas_are_in_pixels_of_the_scaled_image():
    labels = np.zeros((8, 8), np.int64)
    labels[:2, :2] = 1
    maps = perfect(labels)
    assert len(make(min_area=4).decode(maps)) == 1
    assert len(make(min_area=4, scale=0.5).decode(maps)) == 0


def test_sampled_mean_shift_agrees_with_mean_shift_of_all_pixels():
    rng = np.random.default_rng(0)
    labels = rng.integers(1, 9, (16, 16)).repeat(6, 0).repeat(6, 1)
    embedding = perfect(labels, noise=0.45).maps["embedding"]
    mask = torch.from_numpy(labels > 0)
    shift = FlatMeanShift(0.5)
    every = InstanceDecoder(labels_by(shift))(embedding, mask.long())
    some = InstanceDecoder(SampledFlatShift(shift, 1000).label)(embedding, mask.long())
    assert adjusted_rand_score(some.ravel(), labels.ravel()) == 1
    assert adjusted_rand_score(every.ravel(), labels.ravel()) > 0.99
