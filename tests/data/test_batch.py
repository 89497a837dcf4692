"""Batches: maps that stay registered through augmentation, and what becomes of samples."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.fabric.utilities.apply_func import move_data_to_device
from scipy import ndimage
from torch.utils.data import DataLoader

from congeal.data import Bsds500Dataset, DrawnDataset
from congeal.data.augment import AUGMENTATIONS, build_augmentation
from congeal.data.batch import MAPS, Batch, TrainingImage, check_maps
from congeal.data.sample import Sample
from congeal.data.transforms import TrainTransform
from congeal.data.view import pixel_locations
from congeal.errors import CongealError
from congeal.metrics import corner_boundaries

seeds = st.integers(0, 2**31)
sides = st.integers(20, 90)
STILL = {"scale": (1.0, 1.0), "rotation": 0.0, "flip": False, "probability": 0.0}


def augmentation(name, crop=48):
    """Geometry only: no change of light."""
    light = {"default": {"gain": 0.0, "gamma": 0.0, "noise": 0.0}}
    light["kong2018"] = {"gain": 0.0, "gamma": 0.0}
    return build_augmentation(name, crop=crop, **light.get(name, {}))


def sample_of(labels, **more):
    return Sample("one", np.zeros((*labels.shape, 1), np.uint8), labels, **more)


def objects(height, width, seed=0, block=13):
    """Objects 0..6 in blocks, some of them void."""
    rng = np.random.default_rng(seed)
    small = rng.integers(-1, 7, (-(-height // block), -(-width // block)))
    return np.kron(small, np.ones((block, block), int))[:height, :width]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def untouched(*maps, generator):
    del generator
    return maps


@pytest.mark.parametrize("name", AUGMENTATIONS)
@settings(max_examples=15, deadline=None)
@given(height=sides, width=sides, seed=seeds)
def test_an_image_that_shows_its_locations_equals_the_location_map(name, height, width, seed):
    y, x = pixel_locations(height, width)
    labels = torch.ones(height, width, dtype=torch.int64)
    image = TrainingImage(torch.stack([y, x, x]), labels)
    batch = image.draw(augmentation(name), seeded(seed))
    location = batch.get("location")
    assert location.min() >= 0
    assert location.max() < 1
    inside = ndimage.binary_erosion(batch.get("labels")[0].numpy() == 1, iterations=5)
    off = (batch.image[0, :2] - location[0]).abs().numpy()[:, inside]
    # shown smaller, an image is averaged over whole blocks, which end with the image
    assert off.max(initial=0) < (1e-4 if name == "default" else 1.5 / min(height, width))


@pytest.mark.parametrize("name", AUGMENTATIONS)
@settings(max_examples=15, deadline=None)
@given(height=sides, width=sides, seed=seeds)
def test_maps_read_the_image_at_the_same_place(name, height, width, seed):
    """Labels and a semantic map of pixel numbers are what stands at the pixel's location."""
    numbers = np.arange(height * width).reshape(height, width)
    sample = sample_of(objects(height, width, seed), semantic=numbers)
    batch = TrainingImage.from_sample(sample).compact().draw(augmentation(name), seeded(seed))
    semantic, labels = batch.get("semantic")[0], batch.get("labels")[0]
    inside = semantic >= 0
    rows, columns = semantic[inside] // width, semantic[inside] % width
    assert torch.equal(labels[inside], torch.from_numpy(sample.labels)[rows, columns])
    assert bool((labels[~inside] == -1).all())
    assert bool((batch.get("boundaries")[0][labels == -1] == -1).all())
    y, x = batch.get("location")[0][:, inside]
    assert float((y * height - 0.5 - rows).abs().max()) < 0.501
    assert float((x * width - 0.5 - columns).abs().max()) < 0.501


@pytest.mark.parametrize("name", AUGMENTATIONS)
@settings(max_examples=10, deadline=None)
@given(seed=seeds)
def test_the_class_of_a_pixel_is_that_of_its_object(name, seed):
    classes = np.array([5, 2, -1, 9, 2, 1])
    sample = sample_of(objects(50, 70, seed), classes=classes)
    batch = TrainingImage.from_sample(sample).draw(augmentation(name), seeded(seed))
    labels, semantic = batch.get("labels").numpy(), batch.get("semantic").numpy()
    by_number = {-1: -1, 0: 0} | dict(enumerate(classes, start=1))
    np.testing.assert_array_equal(semantic, np.vectorize(by_number.get)(labels))


def test_an_augmentation_that_changes_nothing_gives_the_maps_back():
    labels = objects(40, 40)
    drawn = np.random.default_rng(1).random((3, 40, 40)) > 0.7
    semantic = (labels > 0) * 3
    sample = sample_of(labels, semantic=semantic, boundaries=tuple(drawn))
    image = TrainingImage.from_sample(sample)
    for augment in (TrainTransform(crop=40, gain=0, gamma=0, noise=0, **STILL), untouched):
        batch = image.draw(augment, seeded())
        np.testing.assert_array_equal(batch.get("labels")[0], labels)
        np.testing.assert_array_equal(batch.get("semantic")[0], semantic)
        np.testing.assert_allclose(batch.get("boundaries")[0], drawn.mean(0), rtol=1e-6)
        assert torch.equal(batch.get("location")[0], pixel_locations(40, 40))
        assert batch.maps == MAPS


@settings(max_examples=10, deadline=None)
@given(seed=seeds)
def test_a_mirror_moves_all_maps(seed):
    labels = objects(32, 32, seed)
    image = TrainingImage.from_sample(sample_of(labels, boundaries=(labels > 3,)))
    still, mirrored = (
        build_augmentation("hwang2019", crop=32, scale=(1.0, 1.0), flip=flip) for flip in (0.0, 1.0)
    )
    plain, turned = (image.draw(one, seeded(seed)) for one in (still, mirrored))
    for name in ("image", *MAPS):
        assert torch.equal(getattr(turned, name), getattr(plain, name).flip(-1))


def test_beyond_the_image_all_maps_but_location_are_void():
    image = TrainingImage.from_sample(sample_of(np.ones((10, 20), int), boundaries=()))
    for boundaries in (None, torch.ones(10, 20)):
        batch = replace(image, boundaries=boundaries).draw(TrainTransform(64, **STILL), seeded())
        void = batch.get("labels") == -1
        assert int((~void).sum()) == 200
        assert torch.equal(batch.get("semantic") == -1, void)
        assert torch.equal(batch.get("boundaries") == -1, void)
        assert bool((batch.get("location") > 0).all())


def test_light_changes_the_image_only():
    image = TrainingImage.from_sample(DrawnDataset("discs", "train", count=1, size=64)[0])
    changed = 0
    for seed in range(6):  # light changes with a probability of .7
        dark, bright = (
            image.draw(build_augmentation("kong2018", crop=64, gain=gain, gamma=0.0), seeded(seed))
            for gain in (0.0, 0.9)
        )
        changed += not torch.equal(dark.image, bright.image)
        assert all(torch.equal(dark.get(name), bright.get(name)) for name in MAPS)
    assert changed > 2


def test_objects_are_of_class_one_where_there_are_no_classes():
    labels = np.array([[0, 4, 4, -1, 9]])
    batch = TrainingImage.from_sample(sample_of(labels)).draw(untouched, seeded())
    assert batch.get("semantic").tolist() == [[[0, 1, 1, -1, 1]]]


def test_boundaries_are_the_share_of_annotators():
    one = np.array([[1, 1, 2, 2, -1]])
    other = np.array([[1, 2, 2, -1, -1]])
    share = TrainingImage.from_sample(sample_of(one, annotations=(one, other))).boundaries
    np.testing.assert_array_equal(share, [[0.5, 0.5, 0.0, 0.0, -1.0]])
    drawn = (one > 1, other > 1, other > 5)
    share = TrainingImage.from_sample(
        sample_of(one, annotations=(one, other), boundaries=drawn)
    ).boundaries
    np.testing.assert_allclose(share, [[0, 1 / 3, 2 / 3, 1 / 3, 0]])


def test_boundaries_of_labels_are_found_after_resampling():
    labels = objects(90, 90)
    image = TrainingImage.from_sample(sample_of(labels))
    assert image.boundaries is None
    for seed in range(5):
        batch = image.draw(augmentation("hwang2019"), seeded(seed))
        found, shown = batch.get("boundaries")[0].numpy(), batch.get("labels")[0].numpy()
        np.testing.assert_array_equal(found == 1, corner_boundaries(shown))
        np.testing.assert_array_equal(found == -1, shown == -1)


def test_annotators_of_photographs_reach_the_batch(tmp_path):
    from scipy.io import savemat

    for folder in ("images/train", "groundTruth/train"):
        (tmp_path / folder).mkdir(parents=True)
    from PIL import Image

    Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(tmp_path / "images/train/7.jpg")
    people = np.empty((1, 2), object)
    for place, column in enumerate((3, 5)):
        drawn = np.zeros((6, 8), np.uint8)
        drawn[:, column] = 1
        segments = np.uint16(1 + (np.arange(8) > column))[None].repeat(6, 0)
        people[0, place] = {"Segmentation": segments, "Boundaries": drawn}
    savemat(tmp_path / "groundTruth/train/7.mat", {"groundTruth": people})
    sample = Bsds500Dataset(tmp_path, "train")[0]
    batch = TrainingImage.from_sample(sample).draw(untouched, seeded(), ["boundaries"])
    assert batch.get("boundaries")[0, 2].tolist() == [0, 0, 0, 0.5, 0, 0.5, 0, 0]


def test_less_memory_changes_maps_by_nothing_and_light_by_little():
    sample = DrawnDataset("discs", "train", count=1, size=64)[0]
    semantic = np.where(sample.labels > 0, 20_000, 0)
    image = TrainingImage.from_sample(
        replace(sample, semantic=semantic, boundaries=(semantic > 0, semantic < 0))
    )
    small = image.compact()
    batches = [one.draw(augmentation("default"), seeded()) for one in (image, small)]
    assert all(torch.equal(batches[0].get(name), batches[1].get(name)) for name in MAPS)
    assert float((batches[0].image - batches[1].image).abs().max()) < 1 / 1000
    assert small.nbytes == 64 * 64 * ((2 if len(small.image) == 1 else 6) + 4 + 2 + 4)
    deep = replace(image, semantic=torch.full((64, 64), 40_000)).compact()
    assert bool((deep.semantic == 40_000).all())


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.7])
def test_all_that_is_kept_is_scaled_to_one_size(scale):
    labels = objects(30, 41)
    sample = sample_of(labels, semantic=labels % 3, boundaries=(labels > 0,))
    image = TrainingImage.from_sample(sample).scaled(scale)
    size = image.image.shape[1:]
    assert size == (round(30 * scale), round(41 * scale))
    assert image.labels.shape == image.semantic.shape == image.boundaries.shape == size
    known = image.labels >= 0
    assert torch.equal(image.semantic[known], image.labels[known] % 3)


def test_large_label_numbers_stay_apart():
    drawn = DrawnDataset("sticks", count=1, size=64)[0]
    labels = np.where(drawn.labels > 0, drawn.labels + 2**40, drawn.labels)
    found = TrainingImage.from_sample(replace(drawn, labels=labels, classes=None)).labels
    assert torch.equal(found > 0, torch.from_numpy(labels > 0))
    assert found.unique().tolist() == list(range(len(np.unique(labels))))


def test_objects_that_get_new_numbers_keep_their_classes(monkeypatch):
    monkeypatch.setattr("congeal.data.batch.MAX_EXACT_LABEL", 3)
    sample = sample_of(np.array([[0, 2, 5, -1]]), classes=np.array([1, 7, 1, 1, 9]))
    batch = TrainingImage.from_sample(sample).draw(untouched, seeded())
    assert batch.get("labels").tolist() == [[[0, 1, 2, -1]]]
    assert batch.get("semantic").tolist() == [[[0, 7, 9, -1]]]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"labels": np.ones((4, 5), int)}, r"labels of \(5, 5\) pixels for one, got \(4, 5\)"),
        ({"semantic": np.ones((5, 4), int)}, r"semantic of \(5, 5\) pixels for one, got \(5, 4\)"),
        ({"boundaries": (np.ones((5, 4), bool),)}, r"boundaries of \(5, 5\) pixels for one"),
        ({"annotations": (np.ones((5, 4), int),)}, r"annotations of \(5, 5\) pixels for one"),
        ({"classes": np.array([3])}, "a class for each of 2 objects of one, got 1"),
    ],
)
def test_a_sample_that_does_not_fit_is_named(more, said):
    sample = replace(sample_of(np.full((5, 5), 2)), **more)
    with pytest.raises(CongealError, match=f"^expected {said}"):
        TrainingImage.from_sample(sample)


def test_maps_that_nobody_asks_for_are_not_read():
    sample = sample_of(np.full((5, 5), 2), classes=np.array([3]), boundaries=(np.ones((5, 5)) > 0,))
    image = TrainingImage.from_sample(sample, ["labels"])
    assert image.classes is image.semantic is image.boundaries is None


def filled(count, maps=MAPS):
    shapes = {"labels": (), "semantic": (), "boundaries": (), "location": (2,)}
    made = {name: torch.rand(count, *shapes[name], 4, 6) for name in maps}
    return Batch(torch.rand(count, 3, 4, 6), **made)


def test_parts_joined_again_are_the_whole():
    whole = filled(5)
    parts = whole.chunk(2)
    assert [len(part) for part in parts] == [len(one) for one in whole.image.chunk(2)] == [3, 2]
    joined = Batch.collate(parts)
    assert all(torch.equal(getattr(joined, n), getattr(whole, n)) for n in ("image", *MAPS))
    assert [len(part) for part in filled(2).chunk(4)] == [1, 1]


def test_a_map_that_is_not_there_stays_none():
    part = Batch.collate([filled(1, ["labels"]), filled(2, ["labels"])])
    assert (len(part), part.maps, part.semantic) == (3, ("labels",), None)
    assert part.to("cpu").chunk(3)[0].maps == ("labels",)
    with pytest.raises(CongealError, match="expected semantic in the batch, got labels"):
        part.get("semantic")


def test_lightning_moves_a_batch_to_a_device():
    moved = move_data_to_device(filled(2, ["labels"]), torch.device("meta"))
    assert type(moved) is Batch
    assert (moved.image.device.type, moved.get("labels").device.type) == ("meta", "meta")


def test_a_loader_has_the_batch_pin_its_own_memory(monkeypatch):
    from torch.utils.data._utils.pin_memory import pin_memory

    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda one: one + 1)  # as no GPU is needed
    batch = filled(2, ["labels"])
    pinned = pin_memory(batch)
    assert type(pinned) is Batch
    assert torch.equal(pinned.image, batch.image + 1)
    assert torch.equal(pinned.get("labels"), batch.get("labels") + 1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="pins memory for a GPU")
def test_a_loader_pins_a_batch():
    loader = DataLoader([filled(1)] * 2, collate_fn=Batch.collate, batch_size=2, pin_memory=True)
    (batch,) = loader
    assert all(getattr(batch, name).is_pinned() for name in ("image", *MAPS))


def test_what_cannot_be_joined_is_told():
    with pytest.raises(CongealError, match=r"crops of the same size in a batch, got \[\(4, 6\)"):
        Batch.collate([filled(1, []), Batch(torch.zeros(1, 3, 8, 8))])
    with pytest.raises(CongealError, match="the same maps for all crops"):
        Batch.collate([filled(1), filled(1, ["labels"])])
    with pytest.raises(CongealError, match="at least one crop"):
        Batch.collate([])
    with pytest.raises(CongealError, match="unknown map of a batch 'label'; did you mean 'labels'"):
        check_maps(["label"])
