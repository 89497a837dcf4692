"""Spherical k-means against loops over pixels and clusters in float64."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from torch.nn.functional import normalize

from congeal.errors import CongealError
from congeal.grouping import SphericalKMeans
from congeal.grouping.groups import Grouping


def noise(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def uniform(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slow_clusters(embedding, grid, steps, weight, search, mask, weights):
    """``(*S)`` the cell (numbered row by row) at which each pixel's cluster started, -1 outside."""
    size = embedding.shape[1:]
    side = [math.ceil(n / grid) for n in size]
    pixels = [p for p in itertools.product(*map(range, size)) if mask[p]]
    cell = {p: tuple(i // s for i, s in zip(p, side, strict=True)) for p in pixels}
    feature = {}
    for p in pixels:
        v = embedding[:, *p] / np.linalg.norm(embedding[:, *p])
        f = np.concatenate([v, [weight * i / n for i, n in zip(p, size, strict=True)]])
        feature[p] = f / np.linalg.norm(f)
    cluster = dict(cell)
    for _ in range(steps):
        centre = {}
        for c in sorted(set(cluster.values())):
            members = [p for p in pixels if cluster[p] == c]
            if sum(weights[p] for p in members) > 0:
                total = sum(weights[p] * feature[p] for p in members)
                centre[c] = total / np.linalg.norm(total)
        for p in pixels:
            near = {
                c: feature[p] @ m
                for c, m in centre.items()
                if search is None
                or max(abs(a - b) for a, b in zip(c, cell[p], strict=True)) <= search
            }
            cluster[p] = max(near, key=near.get)
    count = [math.ceil(n / s) for n, s in zip(size, side, strict=True)]
    out = np.full(size, -1)
    for p in pixels:
        out[p] = np.ravel_multi_index(cluster[p], count)
    return out


def assert_same_parts(labels, expected):
    """Equal but for the numbers of the groups; 0 and -1 stand for no group."""
    labels, expected = np.asarray(labels), np.asarray(expected)
    assert ((labels > 0) == (expected >= 0)).all()
    pairs = set(zip(labels[labels > 0].tolist(), expected[labels > 0].tolist(), strict=True))
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


# --- against the loops -------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(23,), (9, 8), (5, 4, 6)])
@pytest.mark.parametrize("search", [None, 0, 1])
@pytest.mark.parametrize("weight", [0.0, 1.0, 3.0])
def test_segments_are_those_of_the_loops(size, search, weight):
    embedding = noise(3, *size)
    mask, mass = uniform(*size, seed=1) < 0.8, uniform(*size, seed=2) + 0.1
    kmeans = SphericalKMeans(grid=3, steps=4, location_weight=weight, search=search)
    groups = kmeans.group(embedding, mask, mass)
    arrays = (mask.numpy(), mass.numpy())
    expected = slow_clusters(embedding.numpy(), 3, 4, weight, search, *arrays)
    assert_same_parts(groups.labels, expected)


def test_the_blocks_in_which_pixels_are_gone_through_do_not_matter(monkeypatch):
    embedding = noise(3, 11, 13)
    for search in (None, 1):
        whole = SphericalKMeans(grid=4, search=search).group(embedding)
        monkeypatch.setattr("congeal.grouping.kmeans.SIMILARITY_BUDGET", 50)
        pieces = SphericalKMeans(grid=4, search=search).group(embedding)
        monkeypatch.undo()
        assert torch.equal(whole.labels, pieces.labels)


def test_prototypes_are_the_mean_directions_of_the_embedding_alone():
    embedding = 3 * noise(4, 8, 8)
    mass = uniform(8, 8)
    groups = SphericalKMeans(grid=3, location_weight=2.0).group(embedding, weights=mass)
    unit = normalize(embedding, dim=0)
    for k, prototype in enumerate(groups.prototypes, 1):
        inside = groups.mask(k)
        mean = (unit[:, inside] * mass[inside]).sum(1)
        torch.testing.assert_close(prototype, normalize(mean, dim=0))
    assert groups.areas.tolist() == sorted(groups.areas.tolist(), reverse=True)


def test_well_separated_directions_are_cut_as_by_scikit_learn():
    truth = torch.arange(4).repeat_interleave(16).reshape(8, 8)
    truth[2:5, 3:6] = 2
    embedding = (torch.eye(4)[truth] + 0.1 * noise(8, 8, 4).float()).movedim(-1, 0)
    groups = SphericalKMeans(grid=4, location_weight=0.0).group(embedding)
    points = normalize(embedding, dim=0).flatten(1).T.numpy()
    init = np.eye(4, dtype=np.float32)
    other = KMeans(4, init=init, n_init=1).fit_predict(points)
    merged = np.asarray(groups.prototypes.argmax(1))[groups.labels.flatten().numpy() - 1]
    assert adjusted_rand_score(other, merged) == 1


# --- location ----------------------------------------------------------------------------------


def two_discs():
    y, x = torch.meshgrid(torch.arange(30), torch.arange(60), indexing="ij")
    discs = torch.zeros(30, 60, dtype=torch.int64)
    for label, column in ((1, 12), (2, 47)):
        discs[(y - 15) ** 2 + (x - column) ** 2 < 64] = label
    return discs


def test_without_location_distant_discs_of_one_direction_are_one_segment():
    discs = two_discs()
    embedding = torch.eye(3)[discs.clamp_max(1)].movedim(-1, 0)
    groups = SphericalKMeans(location_weight=0.0).group(embedding)
    assert_same_parts(groups.labels, discs.clamp_max(1))


def test_with_location_distant_discs_of_one_direction_are_told_apart():
    discs = two_discs()
    embedding = torch.eye(3)[discs.clamp_max(1)].movedim(-1, 0)
    groups = SphericalKMeans(location_weight=1.0).group(embedding)
    assert len(groups) > 3
    first, second = (set(groups.labels[discs == label].tolist()) for label in (1, 2))
    assert first.isdisjoint(second)


@pytest.mark.parametrize("search", [0, 1, 2])
def test_a_pixel_stays_within_the_search_of_its_cell(search):
    embedding = noise(4, 24, 24).float()
    kmeans = SphericalKMeans(grid=6, location_weight=0.0, search=search)
    cell = torch.arange(24) // 4
    for k, _ in enumerate(kmeans.group(embedding).prototypes, 1):
        rows, columns = (kmeans.group(embedding).mask(k)).nonzero(as_tuple=True)
        assert cell[rows].max() - cell[rows].min() <= 2 * search
        assert cell[columns].max() - cell[columns].min() <= 2 * search


@pytest.mark.parametrize("size", [(20, 20), (7, 9, 8)])
def test_a_search_over_the_whole_grid_is_no_restriction(size):
    embedding = noise(4, *size)
    wide = SphericalKMeans(grid=4, search=3).group(embedding)
    assert torch.equal(wide.labels, SphericalKMeans(grid=4).group(embedding).labels)


def test_a_thousand_segments_are_found():
    truth = torch.arange(1024).reshape(32, 32).repeat_interleave(3, 0).repeat_interleave(3, 1)
    directions = normalize(noise(1024, 16), dim=1).float()
    embedding = directions[truth].movedim(-1, 0)
    for search in (None, 1):
        groups = SphericalKMeans(grid=32, steps=2, search=search).group(embedding)
        assert_same_parts(groups.labels, truth)


# --- properties --------------------------------------------------------------------------------


@given(st.integers(0, 2**31 - 1), st.sampled_from([None, 1]))
@settings(deadline=None, max_examples=15)
def test_rotating_the_embedding_space_changes_nothing(seed, search):
    embedding = noise(4, 10, 9, seed=seed)
    rotation = torch.linalg.qr(noise(4, 4, seed=seed + 1)).Q
    kmeans = SphericalKMeans(grid=3, search=search)
    groups = kmeans.group(embedding)
    turned = kmeans.group(torch.einsum("ij,jhw->ihw", rotation, embedding))
    assert torch.equal(groups.labels, turned.labels)
    torch.testing.assert_close(turned.prototypes, groups.prototypes @ rotation.T)


@given(st.integers(0, 2**31 - 1), st.sampled_from([None, 1]))
@settings(deadline=None, max_examples=15)
def test_without_location_the_order_of_pixels_in_a_cell_does_not_matter(seed, search):
    embedding = noise(4, 12, seed=seed)
    cells = uniform(3, 4, seed=seed).argsort(1) + torch.tensor([[0], [4], [8]])
    shuffle = cells.flatten()
    kmeans = SphericalKMeans(grid=3, location_weight=0.0, search=search)
    groups, shuffled = kmeans.group(embedding), kmeans.group(embedding[:, shuffle])
    assert_same_parts(shuffled.labels, groups.labels[shuffle])


@given(st.integers(0, 2**31 - 1))
@settings(deadline=None, max_examples=15)
def test_a_pixel_of_weight_two_counts_as_two(seed):
    embedding = noise(3, 12, seed=seed)
    kmeans = SphericalKMeans(grid=3, location_weight=0.0)
    weighted = kmeans.group(embedding, weights=torch.full((12,), 2.0))
    twice = kmeans.group(embedding.repeat_interleave(2, 1))
    assert_same_parts(twice.labels[::2], weighted.labels)


def test_the_length_of_the_embedding_does_not_matter():
    embedding = noise(3, 8, 8)
    scaled = SphericalKMeans().group(embedding * (uniform(8, 8) + 0.1))
    assert torch.equal(scaled.labels, SphericalKMeans().group(embedding).labels)


def test_it_gives_the_same_every_time():
    embedding = noise(8, 40, 40).float()
    first, second = (SphericalKMeans().group(embedding) for _ in range(2))
    assert torch.equal(first.labels, second.labels)
    assert torch.equal(first.prototypes, second.prototypes)


def test_prototypes_carry_gradient():
    embedding = noise(3, 6, 6).requires_grad_()
    SphericalKMeans(grid=2).group(embedding).prototypes[:, 0].sum().backward()
    assert embedding.grad is not None
    assert bool((embedding.grad != 0).any())


# --- odd input ---------------------------------------------------------------------------------


@pytest.mark.parametrize("search", [None, 1])
def test_clusters_that_lose_all_their_pixels_vanish(search):
    groups = SphericalKMeans(location_weight=0.0, search=search, steps=20).group(
        torch.ones(2, 20, 20)
    )
    assert torch.isfinite(groups.prototypes).all()
    assert (groups.areas > 0).all()
    if search is None:
        assert len(groups) == 1


def test_an_embedding_of_zeros_gives_finite_prototypes():
    groups = SphericalKMeans().group(torch.zeros(3, 10, 10))
    assert torch.isfinite(groups.prototypes).all()
    assert (groups.labels > 0).all()


@pytest.mark.parametrize("search", [None, 1])
def test_an_empty_mask_or_no_mass_gives_no_groups(search):
    embedding = noise(3, 6, 6)
    nothing = torch.zeros(6, 6)
    for arguments in ({"mask": nothing.bool()}, {"weights": nothing}):
        groups = SphericalKMeans(search=search).group(embedding, **arguments)
        assert len(groups) == 0
        assert not groups.labels.any()
        assert groups.prototypes.shape == (0, 3)


def test_pixels_far_from_all_mass_go_to_the_nearest_cluster_anywhere():
    weights = torch.zeros(10, 10)
    weights[:2, :2] = 1
    groups = SphericalKMeans(grid=5, search=1).group(noise(3, 10, 10).float(), weights=weights)
    assert (groups.labels == 1).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (3, 200), (2, 1, 3)])
def test_narrow_images_are_cut(size):
    for search in (None, 1):
        groups = SphericalKMeans(search=search).group(noise(3, *size))
        assert groups.labels.shape == size
        assert (groups.labels > 0).all()


def test_a_batch_gives_groups_for_each_image():
    embedding, mask = noise(2, 3, 6, 6), uniform(2, 6, 6) > 0.3
    kmeans = SphericalKMeans(grid=2)
    batch = kmeans(embedding, mask)
    for one, its_mask, groups in zip(embedding, mask, batch, strict=True):
        assert torch.equal(groups.labels, kmeans.group(one, its_mask).labels)
    with pytest.raises(CongealError, match="expected 2 masks, got 1"):
        kmeans(embedding, mask[:1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_raised(dtype):
    embedding = noise(3, 8, 8).to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        groups = SphericalKMeans().group(embedding)
    assert groups.prototypes.dtype == torch.float32
    assert torch.equal(groups.labels, SphericalKMeans().group(embedding.float()).labels)


def test_it_is_a_grouping():
    assert isinstance(SphericalKMeans(), Grouping)


@pytest.mark.parametrize(
    "settings",
    [
        {"grid": 0},
        {"grid": ()},
        {"grid": (2, 0)},
        {"steps": -1},
        {"search": -1},
        {"location_weight": -1.0},
        {"location_weight": math.nan},
    ],
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(CongealError, match="expected"):
        SphericalKMeans(**settings)


def test_what_is_no_embedding_is_refused_in_one_line():
    kmeans = SphericalKMeans()
    spoilt = torch.ones(2, 3, 3)
    spoilt[0, 1, 1] = torch.nan
    for arguments in (
        (spoilt,),
        (torch.ones(2, 3, 3), torch.ones(3, 4, dtype=torch.bool)),
        (torch.ones(2, 3, 3), None, -torch.ones(3, 3)),
        (torch.ones(2, 3, 3), None, torch.full((3, 3), torch.inf)),
        (torch.ones(2, 3, 3, dtype=torch.int64),),
    ):
        with pytest.raises(CongealError, match="expected") as error:
            kmeans.group(*arguments)
        assert "\n" not in str(error.value)
    with pytest.raises(CongealError, match="grid of 2 axes"):
        SphericalKMeans(grid=(2, 2, 2)).group(torch.ones(2, 3, 3))
