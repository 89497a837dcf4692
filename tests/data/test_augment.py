import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torchvision import tv_tensors
from torchvision.transforms import v2

from congeal.data.augment import (
    AUGMENTATIONS,
    Augmentation,
    RandomTrim,
    RandomView,
    build_augmentation,
    debrabandere2017_augmentation,
    hwang2019_augmentation,
    kong2018_augmentation,
)
from congeal.data.view import BoundaryMap, LocationMap, pixel_locations
from congeal.errors import CongealError

NAMES = sorted(AUGMENTATIONS)
PAPERS = [name for name in NAMES if name != "default"]
seeds = st.integers(0, 2**31)


def scene(height, width, seed=0, block=13):
    """Labels in blocks of numbers 0..6, and an image whose channels say the same."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 7, (-(-height // block), -(-width // block)))
    labels = torch.from_numpy(np.kron(small, np.ones((block, block), int))[:height, :width])
    return labels.float().expand(3, -1, -1).clone(), labels


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def inside_of_objects(numbers, around=9):
    """Where all labels around are the same and none is void."""
    low, high = (
        f(numbers, around, mode="constant", cval=-1)
        for f in (ndimage.minimum_filter, ndimage.maximum_filter)
    )
    return (low == high) & (numbers >= 0)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(height=st.integers(1, 90), width=st.integers(1, 90), seed=seeds)
def test_labels_after_are_labels_before_or_void(name, height, width, seed):
    image, labels = scene(height, width, seed)
    found, numbers = build_augmentation(name, crop=48)(image, labels, generator=seeded(seed))
    assert found.shape == (3, 48, 48)
    assert numbers.shape == (48, 48)
    assert (found.dtype, numbers.dtype) == (torch.float32, torch.int64)
    assert bool(found.isfinite().all())
    assert set(numbers.unique().tolist()) <= {-1, *labels.unique().tolist()}


@pytest.mark.parametrize("name", PAPERS)
@settings(max_examples=15, deadline=None)
@given(height=st.integers(30, 120), width=st.integers(30, 120), seed=seeds)
def test_image_and_labels_move_together(name, height, width, seed):
    image, labels = scene(height, width, seed)
    light = {"gain": 0.0, "gamma": 0.0} if name == "kong2018" else {}
    augment = build_augmentation(name, crop=64, **light)
    found, numbers = augment(image, labels, generator=seeded(seed))
    inside = inside_of_objects(numbers.numpy())
    for channel in found.numpy():
        np.testing.assert_allclose(channel[inside], numbers.numpy()[inside], atol=1e-3)


@pytest.mark.parametrize("name", PAPERS)
def test_objects_are_seen_at_all(name):
    """The test above would pass on empty crops."""
    image, labels = scene(100, 100, block=25)
    crops = [
        build_augmentation(name, crop=64)(image, labels, generator=seeded(seed))[1]
        for seed in range(10)
    ]
    assert np.mean([inside_of_objects(numbers.numpy()).mean() for numbers in crops]) > 0.02
    assert len({int(number) for numbers in crops for number in numbers.unique()}) >= 6


@pytest.mark.parametrize("name", PAPERS)
@settings(max_examples=15, deadline=None)
@given(seed=seeds)
def test_the_canvas_beyond_the_image_is_void_and_dark(name, seed):
    image, labels = torch.ones(3, 20, 30), torch.full((20, 30), 4)
    settings = {"scale": (0.5, 0.9)} | ({"gain": 0.0} if name == "kong2018" else {})
    if name == "debrabandere2017":
        settings["scale"] = (0.3, 0.6)  # of the size that covers the window
    augment = build_augmentation(name, crop=64, **settings)
    found, numbers = augment(image, labels, generator=seeded(seed))
    assert set(numbers.unique().tolist()) == {-1, 4}
    far = ndimage.binary_erosion(numbers.numpy() == -1, iterations=3, border_value=1)
    assert far.any()
    assert not found[:, torch.from_numpy(far)].any()


@pytest.mark.parametrize("name", NAMES)
def test_a_generator_alone_decides_and_torch_is_left_as_it_was(name):
    image, labels = scene(60, 70)
    augment = build_augmentation(name, crop=32)
    torch.manual_seed(1)
    first = augment(image, labels, generator=seeded(5))
    after = torch.rand(3)
    torch.manual_seed(2)
    second = augment(image, labels, generator=seeded(5))
    other = augment(image, labels, generator=seeded(6))
    torch.manual_seed(1)
    assert torch.equal(after, torch.rand(3))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], other[0])


@pytest.mark.parametrize("name", PAPERS)
def test_the_seed_of_torch_decides_without_a_generator(name):
    image, labels = scene(60, 70)
    augment = build_augmentation(name, crop=32)
    drawn = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        drawn.append(augment(image, labels)[0])
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_transforms_of_torchvision_in_the_sequence_follow_the_generator():
    augment = Augmentation([RandomView(24), v2.RandomErasing(p=1.0), v2.RandomVerticalFlip()])
    image, labels = scene(40, 40)
    first = augment(image, labels, generator=seeded(2))
    torch.rand(5)
    second = augment(image, labels, generator=seeded(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_several_label_maps_and_nests_of_tv_tensors_move_together():
    image, labels = scene(60, 60)
    augment = hwang2019_augmentation(crop=40)
    plain = augment(image, labels, labels % 3, generator=seeded(1))
    assert torch.equal(
        plain[2], torch.where(plain[1] < 0, -1, plain[1] % 3)
    )  # the classes of the instances
    nest = {"image": tv_tensors.Image(image), "maps": [tv_tensors.Mask(labels)], "name": "a"}
    found = augment(nest, generator=seeded(1))
    assert type(found["image"]) is tv_tensors.Image
    assert type(found["maps"][0]) is tv_tensors.Mask
    assert torch.equal(found["image"].as_subclass(torch.Tensor), plain[0])
    assert torch.equal(found["maps"][0].as_subclass(torch.Tensor), plain[1])
    assert found["name"] == "a"


def test_boundaries_and_locations_follow_transforms_of_torchvision_and_no_change_of_light():
    labels = torch.arange(24).reshape(4, 6)
    boundaries, locations = BoundaryMap(torch.rand(4, 6)), LocationMap(pixel_locations(4, 6))
    turn = Augmentation([v2.RandomVerticalFlip(1.0), v2.ColorJitter(0.5)])
    _, moved, marked, placed = turn(torch.rand(3, 4, 6), labels, boundaries, locations)
    assert torch.equal(moved, labels.flip(0))
    assert torch.equal(marked, boundaries.as_subclass(torch.Tensor).flip(0))
    assert torch.equal(placed, pixel_locations(4, 6).flip(1))
    assert {type(one) for one in (moved, marked, placed)} == {torch.Tensor}


@pytest.mark.parametrize("name", NAMES)
def test_more_maps_change_nothing_about_what_is_drawn(name):
    image, labels = scene(60, 70)
    augment = build_augmentation(name, crop=32)
    maps = labels % 3, BoundaryMap(torch.zeros(60, 70)), LocationMap(pixel_locations(60, 70))
    for seed in range(5):
        few = augment(image, labels, generator=seeded(seed))
        many = augment(image, labels, *maps, generator=seeded(seed))
        assert all(torch.equal(a, b) for a, b in zip(few, many[:2], strict=True))
        assert [tuple(one.shape) for one in many[2:]] == [(32, 32), (32, 32), (2, 32, 32)]


def test_large_numbers_of_objects_stay_exact():
    labels = torch.arange(2**24 - 3600, 2**24).reshape(60, 60)
    image = torch.zeros(3, 60, 60)
    for seed in range(5):
        augment = kong2018_augmentation(crop=40, probability=1.0)
        numbers = augment(image, labels, generator=seeded(seed))[1]
        assert set(numbers.unique().tolist()) <= {-1, *labels.unique().tolist()}
        assert len(numbers.unique()) > 400


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [(torch.uint8, torch.uint8), (torch.float16, torch.float32), (torch.float32, torch.float32)],
)
def test_integers_stay_integers_and_the_rest_becomes_single_precision(kind, wanted):
    image = (torch.rand(3, 50, 50) * 200).to(kind)
    labels = torch.ones(50, 50, dtype=torch.int16)
    augment = kong2018_augmentation(probability=1.0)
    found, numbers = augment(tv_tensors.Image(image), tv_tensors.Mask(labels))
    assert (found.dtype, numbers.dtype) == (wanted, torch.int64)
    assert (type(found), type(numbers)) == (tv_tensors.Image, tv_tensors.Mask)


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 150), width=st.integers(1, 150), seed=seeds)
def test_the_paper_trims_to_a_size_that_the_network_can_halve(height, width, seed):
    image, labels = scene(height, width)
    found, numbers = kong2018_augmentation()(image, labels, generator=seeded(seed))
    assert found.shape[1:] == numbers.shape
    for side, length in zip(numbers.shape, (height, width), strict=True):
        assert side % 8 == 0
        assert 8 <= side <= max(8, 1.5 * length + 0.5)
        assert side >= 0.7 * length - 0.5 - 2 * 20 - 7


def test_what_is_trimmed_upright_holds_no_void():
    image, labels = scene(100, 130)
    trim = Augmentation([RandomTrim(scale=(0.7, 1.5))])
    for seed in range(20):
        numbers = trim(image, labels, generator=seeded(seed))[1]
        assert bool((numbers >= 0).all())


def test_scale_and_turn_stay_in_their_ranges_and_are_drawn_as_often_as_told():
    view = RandomView(32, scale=(0.7, 1.5), rotation=15.0, probability=0.7)
    torch.manual_seed(0)
    drawn = [view.make_params([torch.zeros(3, 200, 200)])["view"] for _ in range(2000)]
    scales, angles = (np.array([getattr(one, n) for one in drawn]) for n in ("scale", "angle"))
    mirrored = np.array([one.mirror for one in drawn])
    assert 0.7 <= scales.min() < 0.72
    assert 1.48 < scales.max() <= 1.5
    assert -15 <= angles.min() < -14
    assert 14 < angles.max() <= 15
    assert abs((scales == 1).mean() - 0.3) < 0.05
    assert abs((angles == 0).mean() - 0.3) < 0.05
    assert abs((scales == 1)[angles == 0].mean() - 0.3) < 0.08
    assert abs(mirrored[:, 1].mean() - 0.5) < 0.05
    assert not mirrored[:, 0].any()


@settings(max_examples=30, deadline=None)
@given(seed=seeds)
def test_a_window_that_fits_lies_on_the_image(seed):
    image, labels = scene(150, 170)
    augment = hwang2019_augmentation(crop=64)  # 150 * 0.5 is more than 64
    assert bool((augment(image, labels, generator=seeded(seed))[1] >= 0).all())


def test_a_small_image_lies_whole_in_the_window():
    labels = torch.full((20, 25), 3)
    augment = hwang2019_augmentation(crop=64, scale=(1.0, 1.0))
    places = set()
    for seed in range(8):
        numbers = augment(torch.ones(3, 20, 25), labels, generator=seeded(seed))[1]
        assert int((numbers == 3).sum()) == 20 * 25
        places.add(tuple((numbers == 3).nonzero()[0].tolist()))
    assert len(places) > 4


@pytest.mark.parametrize("size", [(48, 96), (30, 70), (200, 150)])
def test_the_window_of_debrabandere2017_is_covered(size):
    image, labels = scene(*size)
    augment = debrabandere2017_augmentation(crop=(24, 48))
    for seed in range(5):
        numbers = augment(image, labels, generator=seeded(seed))[1]
        assert numbers.shape == (24, 48)
        assert bool((numbers >= 0).all())


def test_sizes_of_the_papers_are_the_defaults():
    image, labels = torch.zeros(3, 64, 128), torch.zeros(64, 128, dtype=torch.int64)
    sizes = {"hwang2019": (336, 336), "yuan2020": (513, 513), "debrabandere2017": (384, 768)}
    for name, size in sizes.items():
        assert build_augmentation(name)(image, labels)[1].shape == size


@pytest.mark.parametrize(
    ("name", "given_settings", "said"),
    [
        ("kong2081", {}, "unknown augmentation 'kong2081'; did you mean 'kong2018'"),
        ("rpe", {}, r"unknown augmentation 'rpe' \(there are: debrabandere2017, default, "),
        ("kong2018", {"crops": 8}, "of augmentation kong2018 'crops'; did you mean 'crop'"),
        ("hwang2019", {"scale": (2.0, 1.0)}, "scale: expected 0 < smallest <= largest"),
        (
            "kong2018",
            {"gamma": 1.5},
            r"expected a relative change of intensity in \[0, 1\), got 1.5",
        ),
    ],
)
def test_what_does_not_fit_is_told(name, given_settings, said):
    with pytest.raises(CongealError, match=said):
        build_augmentation(name, **given_settings)


def test_inputs_that_cannot_move_along_are_refused():
    boxes = tv_tensors.BoundingBoxes(torch.zeros(1, 4), format="XYXY", canvas_size=(8, 8))
    with pytest.raises(CongealError, match="expected tensors Image and Mask, got BoundingBoxes"):
        hwang2019_augmentation(crop=8)(tv_tensors.Image(torch.zeros(3, 8, 8)), boxes)
    with pytest.raises(CongealError, match="expected image and labels of the same size"):
        hwang2019_augmentation(crop=8)(torch.zeros(3, 8, 8), torch.zeros(8, 9).long())


def test_the_nuclei_keep_their_labels(pack):
    from congeal.data import open_dataset

    pack("nuclei")
    sample = open_dataset("nuclei", "train")[3]
    labels = torch.from_numpy(sample.labels)
    image = torch.from_numpy(sample.image.copy()).permute(2, 0, 1)
    for name in PAPERS:
        found, numbers = build_augmentation(name, crop=128)(image, labels, generator=seeded())
        assert found.dtype == torch.uint8
        assert set(numbers.unique().tolist()) <= {-1, *labels.unique().tolist()}
