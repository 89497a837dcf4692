import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from congeal.data.transforms import TrainTransform, _blur, _object_pixel, centre_crop

QUIET = {"gain": 0.0, "gamma": 0.0, "noise": 0.0}


def scene(height, width, seed=0, block=9):
    """Labels in blocks of numbers 0..6, and an image whose channels say the same."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 7, (-(-height // block), -(-width // block)))
    labels = np.kron(small, np.ones((block, block), int))[:height, :width]
    labels = torch.from_numpy(labels)
    return labels.float().expand(3, -1, -1).clone(), labels


def draw(transform, image, labels, seed=0):
    return transform(image, labels, generator=torch.Generator().manual_seed(seed))


sides = st.integers(1, 90)
seeds = st.integers(0, 2**31)


@settings(max_examples=60, deadline=None)
@given(height=sides, width=sides, crop=st.integers(8, 64), seed=seeds)
def test_any_image_gives_a_crop_whose_labels_are_labels_of_the_image(height, width, crop, seed):
    image, labels = scene(height, width, seed)
    out, found = draw(TrainTransform(crop=crop), image, labels, seed)
    assert out.shape == (3, crop, crop)
    assert found.shape == (crop, crop)
    assert (out.dtype, found.dtype) == (torch.float32, torch.int64)
    assert out.isfinite().all()
    assert set(found.unique().tolist()) <= {-1, *labels.unique().tolist()}


@settings(max_examples=40, deadline=None)
@given(height=sides, width=sides, seed=seeds)
def test_image_and_labels_move_together(height, width, seed):
    image, labels = scene(height, width, seed)
    out, found = draw(TrainTransform(crop=48, **QUIET), image, labels, seed)
    numbers = found.numpy()
    low, high = (
        f(numbers, 9, mode="constant", cval=-1)
        for f in (ndimage.minimum_filter, ndimage.maximum_filter)
    )
    inside = (low == high) & (numbers >= 0)  # away from outlines, where the image is interpolated
    for channel in out.numpy():
        np.testing.assert_allclose(channel[inside], numbers[inside], atol=1e-3)


@settings(max_examples=20, deadline=None)
@given(seed=seeds)
def test_a_sample_is_a_function_of_its_generator(seed):
    image, labels = scene(50, 70)
    transform = TrainTransform(crop=32)
    torch.manual_seed(1)
    first = draw(transform, image, labels, seed)
    torch.manual_seed(2)
    torch.rand(7)
    second = draw(transform, image, labels, seed)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_generators_differ_and_what_is_given_is_left_alone():
    image, labels = scene(80, 80)
    before = image.clone(), labels.clone()
    crops = [draw(TrainTransform(crop=32), image, labels, seed)[0] for seed in range(8)]
    assert all(not torch.equal(crops[0], other) for other in crops[1:])
    assert torch.equal(image, before[0])
    assert torch.equal(labels, before[1])


@settings(max_examples=40, deadline=None)
@given(seed=seeds)
def test_a_large_image_leaves_no_part_of_the_crop_empty(seed):
    image, labels = scene(140, 150)
    _, found = draw(TrainTransform(crop=64), image, labels, seed)
    assert (found >= 0).all()


def test_a_small_image_lies_on_an_empty_canvas_of_void():
    image, labels = torch.ones(3, 10, 14), torch.full((10, 14), 5)
    plain = TrainTransform(crop=32, probability=0.0)
    out, found = draw(plain, image, labels)
    assert sorted(found.unique().tolist()) == [-1, 5]
    assert int((found == 5).sum()) == 10 * 14
    assert torch.equal(out[0] != 0, found == 5)


def test_void_of_the_image_stays_void():
    image, labels = scene(100, 100)
    labels[:] = -1
    for seed in range(4):
        assert (draw(TrainTransform(crop=32), image, labels, seed)[1] == -1).all()


def test_without_chance_the_crop_is_a_part_of_the_image():
    image, labels = scene(40, 50)
    image = torch.rand(3, 40, 50)
    plain = TrainTransform(crop=16, probability=0.0, flip=False)
    for seed in range(5):
        out, _ = draw(plain, image, labels, seed)
        windows = image.unfold(1, 16, 1).unfold(2, 16, 1)  # (3, 25, 35, 16, 16)
        equal = (windows == out[:, None, None]).all(-1).all(-1).all(0)
        assert equal.sum() == 1


def test_small_turns_keep_up_and_down():
    image = torch.arange(100.0)[:, None].expand(3, 100, 100)
    labels = torch.ones(100, 100, dtype=torch.int64)
    upright = TrainTransform(crop=32, rotation=10.0, **QUIET)
    for seed in range(10):
        out, _ = draw(upright, image, labels, seed)
        assert out[0, -4:].mean() > out[0, :4].mean()


def test_any_turn_is_taken_when_any_is_allowed():
    image = torch.arange(100.0)[:, None].expand(3, 100, 100)
    labels = torch.ones(100, 100, dtype=torch.int64)
    crops = [draw(TrainTransform(crop=32, **QUIET), image, labels, s)[0][0] for s in range(20)]
    falls = [bool(crop[-4:].mean() > crop[:4].mean()) for crop in crops]
    assert True in falls
    assert False in falls


def test_the_zoom_stays_in_its_range():
    labels = torch.zeros(200, 200, dtype=torch.int64)
    labels[70:130, 70:130] = 1  # 3600 pixels
    image = labels.float().expand(3, -1, -1)
    zoom = TrainTransform(crop=180, scale=(0.5, 1.5), rotation=0.0, foreground=0.0)
    areas = [int((draw(zoom, image, labels, s)[1] == 1).sum()) for s in range(30)]
    assert 0.23 * 3600 < min(areas) < 0.6 * 3600
    assert 1.5 * 3600 < max(areas) < 2.3 * 3600


def test_crops_can_be_centred_on_objects():
    labels = torch.zeros(300, 300, dtype=torch.int64)
    labels[150:153, 20:23] = 4
    image = torch.rand(3, 300, 300)
    always = TrainTransform(crop=32, foreground=1.0)
    assert all(bool((draw(always, image, labels, s)[1] == 4).any()) for s in range(10))
    never = TrainTransform(crop=32, foreground=0.0)
    assert not all(bool((draw(never, image, labels, s)[1] == 4).any()) for s in range(10))


def test_the_blur_is_a_gaussian():
    image = torch.rand(3, 12, 15)
    for deviation in (0.3, 0.8, 1.2):
        wanted = [
            ndimage.gaussian_filter(one, deviation, mode="mirror", radius=2)
            for one in image.numpy()
        ]
        np.testing.assert_allclose(_blur(image, deviation).numpy(), np.stack(wanted), atol=1e-5)


def test_every_pixel_of_an_object_is_as_likely_a_centre():
    labels = torch.tensor([[0, 3, -1], [0, 0, 0], [1, 1, 0]])
    generator = torch.Generator().manual_seed(0)
    drawn = [_object_pixel(labels, generator) for _ in range(300)]
    assert all(80 < drawn.count(place) < 120 for place in ((0, 1), (2, 0), (2, 1)))
    assert _object_pixel(labels.clamp_max(0), generator) is None


@pytest.mark.parametrize("size", [(2, 2), (4, 6), (5, 9), (3, 1)])
def test_the_middle_is_cut_out_or_set_in(size):
    labels = torch.arange(20).reshape(4, 5)
    image = labels.float()[None]
    out, found = centre_crop(image, labels, size)
    assert out.shape == (1, *size)
    kept = found >= 0
    assert torch.equal(out[0][kept], found[kept].float())
    assert int(kept.sum()) == min(size[0], 4) * min(size[1], 5)
