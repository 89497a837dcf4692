"""Grouping by anchors finds what mean shift of every pixel finds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from congeal.grouping import AnchorSearch, MeanShift, converge, find_modes
from congeal.grouping.anchors import _neighbours, nearest_modes, spread_indices
from congeal.sphere import normalise


def directions(count: int, dimensions: int, seed: int = 0) -> Tensor:
    """Unit vectors at right angles or opposite, in random order."""
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(dimensions, dimensions, generator=generator))[0]
    both = torch.cat([basis, -basis])
    return both[torch.randperm(len(both), generator=generator)[:count]]


def discs(count: int, side: int, seed: int = 0) -> np.ndarray:
    """Background and discs from 20 pixels up, each with at least 20 to be seen."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((side, side), np.int64)
    y, x = np.mgrid[:side, :side]
    areas = np.sort(np.exp(rng.uniform(np.log(20), np.log(side**2 / 6), count)))[::-1]
    for number, area in enumerate(areas, 1):
        row, column = rng.uniform(0, side, 2)
        labels[(y - row) ** 2 + (x - column) ** 2 <= area / np.pi + 1] = number
    ids, seen = np.unique(labels, return_counts=True)
    labels[np.isin(labels, ids[seen < 20])] = 0
    return labels


def embed(labels: np.ndarray, modes: Tensor, noise: float, seed: int = 0) -> Tensor:
    """Each label its direction, blurred across borders, with noise: ``(D, H, W)``."""
    clean = modes[torch.from_numpy(labels)].permute(2, 0, 1)
    blurred = avg_pool2d(pad(clean[None], (1, 1, 1, 1), mode="replicate"), 3, 1)[0]
    generator = torch.Generator().manual_seed(seed)
    return normalise(blurred + noise * torch.randn(blurred.shape, generator=generator), dim=0)


@pytest.mark.parametrize("count", [2, 12, 40])
def test_no_object_from_twenty_pixels_up_is_lost_and_no_border_becomes_one(count: int) -> None:
    labels = discs(count, 256, seed=count)
    embedding = embed(labels, directions(count + 1, 32, seed=1), noise=0.03)
    groups = AnchorSearch(MeanShift(36.0)).group(embedding)
    found = groups.labels.numpy()
    true = np.unique(labels)
    assert len(groups) == len(true)
    for number in true:
        inside = found[labels == number]
        assert np.bincount(inside).max() > 0.6 * len(inside)


def test_groups_are_those_of_exact_mean_shift() -> None:
    labels = discs(8, 128, seed=3)
    embedding = embed(labels, directions(9, 16, seed=2), noise=0.04)
    points = embedding.flatten(1).T  # (N, D)
    settled = converge(points, MeanShift(36.0), steps=12)
    modes = find_modes(settled, margin=0.5, smallest=8)
    exact = (settled @ modes.T).argmax(1).numpy()
    by_anchors = AnchorSearch(MeanShift(36.0), anchors=256).group(embedding).labels
    assert adjusted_rand_score(exact, by_anchors.flatten().numpy()) > 0.99


def test_outside_the_mask_there_is_no_group() -> None:
    labels = discs(4, 64, seed=1)
    embedding = embed(labels, directions(5, 8), noise=0.02)
    mask = torch.from_numpy(labels > 0)
    groups = AnchorSearch(MeanShift(36.0)).group(embedding, mask)
    assert not bool(groups.labels[~mask].any())
    assert bool(groups.labels[mask].all())
    assert len(groups) == len(np.unique(labels)) - 1


def test_an_empty_mask_gives_no_groups() -> None:
    mask = torch.zeros(6, 6, dtype=torch.bool)
    groups = MeanShift().group(torch.ones(3, 6, 6), mask)
    assert (len(groups), tuple(groups.prototypes.shape)) == (0, (0, 3))


def test_a_volume_is_grouped_like_an_image() -> None:
    embedding = torch.zeros(4, 6, 8, 10)
    embedding[0, :, :, :5], embedding[1, :, :, 5:] = 1, 1
    groups = MeanShift(anchors=64).group(embedding)
    assert len(groups) == 2
    assert groups.areas.tolist() == [240, 240]


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 50))
def test_turning_the_embedding_space_changes_no_group(seed: int) -> None:
    labels = discs(5, 48, seed=seed)
    embedding = embed(labels, directions(6, 8, seed=seed), noise=0.02)
    turn = torch.linalg.qr(
        torch.randn(8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    )[0]
    search = AnchorSearch(MeanShift(36.0), anchors=256)
    before = search.group(embedding.double()).labels
    after = search.group(torch.einsum("ij,jhw->ihw", turn, embedding.double())).labels
    assert torch.equal(before, after)


def test_the_nearest_mode_is_that_of_the_whole_table() -> None:
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(8, 5000, generator=generator)
    modes = normalise(torch.randn(7, 8, generator=generator), dim=1)
    index, cosine = nearest_modes(points, modes)
    table = normalise(points, dim=0).T @ modes.T
    assert torch.equal(index, table.argmax(1))
    torch.testing.assert_close(cosine, table.amax(1))


@pytest.mark.parametrize(("faces", "same"), [(True, False), (False, True)])
def test_neighbours_are_counted_as_a_loop_would(faces: bool, same: bool) -> None:
    labels = torch.randint(0, 3, (7, 9), generator=torch.Generator().manual_seed(0))
    counts = _neighbours(labels, faces=faces, same=same)
    for y in range(7):
        for x in range(9):
            expected = 0
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    away = abs(dy) + abs(dx)
                    inside = 0 <= y + dy < 7 and 0 <= x + dx < 9
                    if away == 0 or (faces and away > 1) or not inside:
                        continue
                    expected += bool(labels[y, x] == labels[y + dy, x + dx]) == same
            assert int(counts[y, x]) == expected


@given(count=st.integers(1, 3000), most=st.integers(1, 300))
@settings(deadline=None)
def test_one_index_comes_from_each_equal_stretch(count: int, most: int) -> None:
    chosen = spread_indices(count, most)
    number = min(count, most)
    assert len(chosen) == number
    stretch = (chosen * number + number - 1) // count
    assert bool((chosen.diff() > 0).all())
    assert bool(((stretch - torch.arange(number)).abs() <= 1).all())


def test_spread_indices_visit_all_columns() -> None:
    assert len(torch.unique(spread_indices(512 * 512, 1024) % 512)) > 400


def test_pixels_are_pulled_as_the_written_out_kernel_pulls_them() -> None:
    generator = torch.Generator().manual_seed(0)
    queries, points = normalise(torch.randn(2, 30, 6, generator=generator).double(), dim=2)
    weights = torch.rand(30, generator=generator).double() + 0.1
    kernel = (9.0 * queries @ points.T).exp() * weights
    expected = normalise(kernel @ points, dim=1)
    torch.testing.assert_close(MeanShift(9.0).pull(queries, points, weights), expected)
    half = normalise(0.5 * kernel @ points / kernel.sum(1, keepdim=True) + 0.5 * queries, dim=1)
    shift = MeanShift(9.0, step_size=0.5)
    torch.testing.assert_close(shift.pull(queries, points, weights), half)


def test_early_stop_repeats_the_last_step() -> None:
    labels = discs(3, 32, seed=0)
    points = embed(labels, directions(4, 8), noise=0.01)[None, :, ::4, ::4]
    all_steps = MeanShift(36.0, steps=60)(points)
    stopped = MeanShift(36.0, steps=60, tolerance=1e-5)(points)
    assert len(stopped) == 60
    assert torch.equal(stopped[-1], stopped[-2])
    torch.testing.assert_close(stopped[-1], all_steps[-1], rtol=0, atol=1e-3)
