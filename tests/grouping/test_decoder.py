"""Decoding drawn embeddings into the label maps they were drawn from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score
from torch.nn.functional import normalize

from congeal.errors import CongealError
from congeal.grouping import GroupDecoder, MeanShift, split_parts

seeds = st.integers(0, 2**31 - 1)


@dataclass
class Decoding:
    """Mean shift and the decoder, the kernel_radius in pixels of the image."""

    margin: float = 0.5
    kernel_radius: float | None = None
    anchors: int = 4096
    min_area: float = 16.0
    min_area_ratio: float = 0.0
    split: bool = False
    fill_holes: bool = False

    def __call__(self, embedding, mask, weights=None, stride=1):
        shift = MeanShift(
            margin=self.margin,
            kernel_radius=self.kernel_radius and self.kernel_radius / stride,
            anchors=self.anchors,
            min_area=self.min_area / stride**2,
        )
        decode = GroupDecoder(
            shift,
            self.min_area,
            self.min_area_ratio,
            self.split or self.kernel_radius is not None,
            self.fill_holes,
        )
        return decode(embedding, mask, weights, stride=stride)


def cells(height, width, count, seed=0):
    """A map of ``count`` compact objects, 1..count: the cells of scattered points."""
    rng = np.random.default_rng(seed)
    columns = int(np.ceil(np.sqrt(count)))
    at = (
        np.stack(np.divmod(np.arange(count), columns), 1) + 0.5 + rng.uniform(-0.2, 0.2, (count, 2))
    )
    at *= (height / np.ceil(count / columns), width / columns)
    place = np.stack(np.mgrid[:height, :width], -1) + 0.5
    return np.linalg.norm(place[:, :, None] - at, axis=-1).argmin(-1) + 1


def embed(labels, directions=None, noise=0.05, dimensions=40, seed=0):
    """``(D, H, W)`` unit vectors: by default each label has an axis of its own."""
    generator = torch.Generator().manual_seed(seed)
    directions = np.arange(labels.max() + 1) if directions is None else np.asarray(directions)
    axes = torch.eye(max(dimensions, int(directions.max()) + 1))
    clean = axes[torch.from_numpy(directions[labels])].movedim(-1, 0)
    return normalize(clean + noise * torch.randn(clean.shape, generator=generator), dim=0)


def full(labels):
    return torch.ones(labels.shape, dtype=torch.bool)


def on(labels):
    return torch.from_numpy(labels > 0)


def assert_same_objects(read, labels):
    """The same partition, background included, with labels 1..K without gaps."""
    assert adjusted_rand_score(labels.ravel(), read.ravel()) == 1
    np.testing.assert_array_equal(read == 0, labels == 0)
    assert sorted(np.unique(read[read > 0])) == list(
        range(1, len(np.unique(labels[labels > 0])) + 1)
    )


def discs(height, width, *circles):
    """A map with a disc for each (row, column, radius)."""
    y, x = np.mgrid[:height, :width]
    labels = np.zeros((height, width), np.int64)
    for label, (row, column, radius) in enumerate(circles, 1):
        labels[(y - row) ** 2 + (x - column) ** 2 <= radius**2] = label
    return labels


# --- drawn groups ------------------------------------------------------------------------------


@pytest.mark.parametrize("radius", [None, 12.0])
@pytest.mark.parametrize("count", [1, 2, 5, 12, 40])
def test_drawn_groups_are_read_back_exactly(count, radius):
    labels = cells(48, 56, count)
    read = Decoding(kernel_radius=radius)(embed(labels, noise=0.03), full(labels))
    assert read.dtype == np.int64
    assert_same_objects(read, labels)


@given(st.integers(2, 20), seeds, st.sampled_from([None, 9.0]))
@settings(deadline=None, max_examples=10)
def test_drawn_groups_are_read_back_whatever_their_shape(count, seed, radius):
    labels = cells(36, 36, count, seed)
    assume(split_parts(labels).max() == count)  # a pixel may hang on by a corner
    embedding = embed(labels, noise=0.03, seed=seed)
    assert_same_objects(Decoding(kernel_radius=radius, min_area=4)(embedding, full(labels)), labels)


@pytest.mark.parametrize("radius", [None, 16.0])
def test_drawn_groups_are_read_back_exactly_at_twice_the_resolution(radius):
    coarse = cells(16, 20, 6)
    labels = coarse.repeat(2, 0).repeat(2, 1)
    read = Decoding(kernel_radius=radius)(embed(coarse, noise=0.03), full(labels), stride=2)
    assert_same_objects(read, labels)


@pytest.mark.parametrize("radius", [None, 16.0])
def test_at_four_times_the_resolution_only_corners_are_rounded(radius):
    coarse = cells(16, 20, 6)
    labels = coarse.repeat(4, 0).repeat(4, 1)
    read = Decoding(kernel_radius=radius)(embed(coarse, noise=0.03), full(labels), stride=4)
    assert adjusted_rand_score(labels.ravel(), read.ravel()) > 0.98
    assert read.max() == 6


@pytest.mark.parametrize("radius", [None, 12.0])
def test_pixels_outside_the_mask_are_background_and_the_others_are_not(radius):
    labels = discs(48, 64, (12, 12, 9), (30, 40, 12), (30, 20, 8))
    read = Decoding(kernel_radius=radius)(embed(labels, noise=0.03), on(labels))
    assert_same_objects(read, labels)


@pytest.mark.parametrize("radius", [None, 12.0])
def test_outlines_are_those_of_the_full_mask(radius):
    labels = discs(64, 64, (20, 20, 13), (42, 45, 14))
    sides = np.where(np.add(*np.mgrid[:32, :32]) < 32, 1, 2)
    embedding = embed(sides, noise=0.03)
    assert_same_objects(Decoding(kernel_radius=radius)(embedding, on(labels), stride=2), labels)


@pytest.mark.parametrize("radius", [None, 10.0])
def test_what_the_embedding_says_outside_the_mask_does_not_matter(radius):
    labels = discs(40, 40, (12, 12, 8), (28, 28, 9))
    embedding = embed(labels, noise=0.03)
    other = torch.where(on(labels), embedding, embed(labels * 0 + 3, seed=1))
    read = Decoding(kernel_radius=radius)
    np.testing.assert_array_equal(read(embedding, on(labels)), read(other, on(labels)))


def test_a_few_anchors_read_what_all_points_read():
    labels = cells(48, 48, 9)
    embedding = embed(labels)
    for anchors in (100, 500, 10_000):
        assert_same_objects(Decoding(anchors=anchors)(embedding, full(labels)), labels)


def test_a_rotation_of_the_embedding_space_does_not_matter():
    labels = cells(32, 32, 6)
    embedding = embed(labels, dimensions=8)
    rotation = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(0))).Q
    turned = torch.einsum("de,ehw->dhw", rotation, embedding)
    assert_same_objects(Decoding()(turned, full(labels)), labels)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_embeddings_of_any_precision_are_taken(dtype):
    labels = cells(32, 32, 6)
    assert_same_objects(Decoding()(embed(labels).to(dtype), full(labels)), labels)


def test_reading_records_no_gradient():
    embedding = embed(cells(16, 16, 2)).requires_grad_()
    Decoding(kernel_radius=8.0)(embedding, torch.ones(16, 16, dtype=torch.bool))
    Decoding()(embedding, torch.ones(16, 16, dtype=torch.bool))


# --- one direction for several objects ---------------------------------------------------------


def test_with_a_kernel_radius_far_objects_of_one_direction_are_told_apart():
    labels = discs(32, 96, (16, 12, 9), (16, 48, 9), (16, 84, 9))
    embedding = embed(labels, directions=[3, 1, 2, 1], noise=0.03)
    assert_same_objects(Decoding(kernel_radius=12.0)(embedding, on(labels)), labels)


def test_without_a_kernel_radius_objects_of_one_direction_are_one_unless_parts_are_asked_for():
    labels = discs(32, 96, (16, 12, 9), (16, 48, 9), (16, 84, 9))
    embedding = embed(labels, directions=[3, 1, 2, 1], noise=0.03)
    assert Decoding()(embedding, on(labels)).max() == 2
    assert_same_objects(Decoding(split=True)(embedding, on(labels)), labels)


def test_an_object_cut_in_two_stays_one_by_its_direction():
    """A stick under another: two parts, one direction."""
    labels = np.ones((40, 40), np.int64)
    labels[:, 16:24] = 2
    read = Decoding()(embed(labels, noise=0.03), full(labels))
    assert_same_objects(read, labels)
    assert Decoding(split=True)(embed(labels, noise=0.03), full(labels)).max() == 3


def test_twenty_objects_in_three_dimensions_are_told_apart_with_a_kernel_radius():
    """Four directions are enough for any map of neighbours."""
    tile = np.array([[1, 2], [3, 4]])
    labels = (np.arange(20).reshape(4, 5) + 1).repeat(12, 0).repeat(12, 1)
    colours = np.tile(tile, (2, 3))[:, :5].repeat(12, 0).repeat(12, 1)
    corners = normalize(torch.tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1.0]]), dim=1)
    embedding = corners[torch.from_numpy(colours - 1)].movedim(-1, 0)
    assert_same_objects(Decoding(margin=1 / 3, kernel_radius=9.0)(embedding, full(labels)), labels)


# --- small things ------------------------------------------------------------------------------


@pytest.mark.parametrize("radius", [None, 12.0])
def test_fragments_are_absorbed_by_the_object_around_them(radius):
    labels = discs(48, 48, (14, 14, 10), (32, 32, 12))
    spoilt = labels.copy()
    spoilt[12:14, 12:15] = 3
    spoilt[30:33, 30:32] = 4
    read = Decoding(kernel_radius=radius, split=True)(embed(spoilt, noise=0.03), on(labels))
    assert_same_objects(read, labels)


@pytest.mark.parametrize("radius", [None, 12.0])
def test_objects_under_the_smallest_size_are_dropped_when_alone(radius):
    labels = discs(48, 48, (14, 14, 10), (36, 36, 2))
    read = Decoding(kernel_radius=radius, min_area=16, split=True)(embed(labels), on(labels))
    assert_same_objects(read, np.where(labels == 1, 1, 0))


@pytest.mark.parametrize("radius", [None, 12.0])
def test_fragments_are_small_by_the_measure_of_their_own_image(radius):
    """The half disc is cut by the edge of the image, so it may well be a whole object."""
    circles = [(16, 16, 9), (16, 48, 9), (48, 16, 9), (48, 48, 3), (63, 50, 3)]
    labels = discs(64, 64, *circles)
    decode = Decoding(kernel_radius=radius, min_area=4, min_area_ratio=0.3)
    read = decode(embed(labels, noise=0.03), on(labels))
    assert_same_objects(read, np.where(labels == 4, 0, labels))


def border_between(shares, noise=0.0):
    """Two halves of 40 x 40 whose vectors pass over into each other around column 20."""
    labels = np.ones((40, 40), np.int64)
    labels[:, 20:] = 2
    first, second = embed(labels, noise=noise)[:, :, [0, 39]].unbind(-1)
    embedding = embed(labels, noise=noise)
    start = 20 - len(shares) // 2
    for column, share in enumerate(shares, start):
        embedding[:, :, column] = share * first + (1 - share) * second
    return normalize(embedding, dim=0), labels


def test_embeddings_between_two_objects_become_no_object_and_join_none():
    """They settle in a mode of their own, near enough to both objects to be merged with either."""
    embedding, labels = border_between((0.7, 0.55, 0.45, 0.3))
    assert_same_objects(Decoding()(embedding, full(labels)), labels)


@pytest.mark.parametrize("radius", [None, 12.0])
def test_pixels_of_little_weight_follow_the_others(radius):
    """A border that is not trusted holds no mode of its own, so it settles on either side."""
    embedding, labels = border_between((0.7, 0.6, 0.4, 0.3))
    weights = torch.ones(40, 40)
    weights[:, 18:22] = 0
    assert_same_objects(Decoding(kernel_radius=radius)(embedding, full(labels), weights), labels)


@pytest.mark.parametrize("holes", [False, True])
def test_holes_are_filled_when_asked_for(holes):
    labels = discs(40, 40, (20, 20, 12))
    mask = on(labels).clone()
    mask[18:22, 18:22] = False
    read = Decoding(fill_holes=holes)(embed(labels), mask)
    assert read[20, 20] == int(holes)


# --- odd sizes and bad shapes ------------------------------------------------------------------


@pytest.mark.parametrize("radius", [None, 8.0])
@pytest.mark.parametrize("size", [(33, 47), (31, 30), (50, 17)])
def test_sizes_that_the_stride_does_not_divide_are_read(size, radius):
    labels = cells(*size, 3)
    padded = np.pad(labels, ((0, -size[0] % 4), (0, -size[1] % 4)), mode="edge")
    embedding = embed(padded[::4, ::4], noise=0.02)
    read = Decoding(kernel_radius=radius)(embedding, full(labels), stride=4)
    assert read.shape == size
    assert (read > 0).all()
    assert adjusted_rand_score(labels.ravel(), read.ravel()) > 0.75


@pytest.mark.parametrize("radius", [None, 8.0])
def test_an_embedding_padded_beyond_the_image_is_read(radius):
    labels = cells(30, 30, 4)
    padded = np.pad(labels, ((0, 34), (0, 2)), constant_values=5)
    read = Decoding(kernel_radius=radius)(embed(padded, noise=0.03), full(labels))
    assert_same_objects(read, labels)


@pytest.mark.parametrize("radius", [None, 8.0])
@pytest.mark.parametrize("stride", [1, 2])
def test_an_empty_mask_has_no_objects(stride, radius):
    embedding = embed(cells(16, 16, 2))
    read = Decoding(kernel_radius=radius)(
        embedding, torch.zeros(16, 15, dtype=torch.bool), stride=stride
    )
    assert read.shape == (16, 15)
    assert not read.any()


@pytest.mark.parametrize("radius", [None, 8.0])
@pytest.mark.parametrize(("smallest", "objects"), [(1, 1), (2, 0)])
def test_an_image_of_one_pixel_is_read(smallest, objects, radius):
    one = torch.ones(1, 1, dtype=torch.bool)
    read = Decoding(kernel_radius=radius, min_area=smallest)(
        normalize(torch.ones(4, 1, 1), dim=0), one
    )
    assert read.tolist() == [[objects]]


@pytest.mark.parametrize("radius", [None, 8.0])
@pytest.mark.parametrize("size", [(1, 200), (200, 1), (2, 90)])
def test_images_a_pixel_wide_are_read(size, radius):
    labels = np.ones(size, np.int64)
    first = labels if size[1] > 1 else labels.T
    first[:, : first.shape[1] // 2] = 2
    assert_same_objects(Decoding(kernel_radius=radius)(embed(labels), full(labels)), labels)


@pytest.mark.parametrize("radius", [None, 8.0])
def test_an_embedding_of_zeros_ends_and_stays_inside_the_mask(radius):
    mask = torch.ones(12, 12, dtype=torch.bool)
    read = Decoding(kernel_radius=radius, min_area=0)(torch.zeros(4, 12, 12), mask)
    assert read.shape == (12, 12)


@pytest.mark.parametrize(
    ("embedding", "mask", "weights"),
    [
        ((4, 8, 8), (17, 16), None),
        ((4, 8, 8), (16, 17), None),
        ((8, 8), (16, 16), None),
        ((1, 4, 8, 8), (16, 16), None),
        ((4, 8, 8), (1, 16, 16), None),
        ((4, 8, 8), (16, 16), (8, 8)),
    ],
)
def test_shapes_that_do_not_fit_are_told_in_one_line(embedding, mask, weights):
    trust = None if weights is None else torch.ones(weights)
    with pytest.raises(CongealError, match="expected") as error:
        Decoding()(torch.ones(embedding), torch.ones(mask, dtype=torch.bool), trust, stride=2)
    assert "\n" not in str(error.value)


def test_a_margin_outside_its_range_is_refused():
    with pytest.raises(CongealError, match="expected a margin"):
        Decoding(margin=1.0)(torch.ones(2, 4, 4), torch.ones(4, 4, dtype=torch.bool))
