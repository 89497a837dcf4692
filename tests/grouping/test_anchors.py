"""Grouping by anchors finds what mean shift of every pixel finds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.ndimage import maximum_filter, minimum_filter
from sklearn.metrics import adjusted_rand_score
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from congeal.grouping import AnchorSearch, MeanShift, converge, find_modes
from congeal.grouping.nearest import nearest_modes
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


@pytest.mark.parametrize(
    ("side", "count", "seed"), [(128, 12, 6), (256, 40, 5), (256, 40, 13), (256, 40, 14)]
)
def test_no_small_object_is_drawn_away_by_a_border(side: int, count: int, seed: int) -> None:
    """Each lost one: the only anchor that found it, or a heavy one near it, was on a border."""
    labels = discs(count, side, seed=seed)
    embedding = embed(labels, directions(count + 1, 32, seed=1), noise=0.03, seed=seed)
    found = AnchorSearch(MeanShift(36.0)).group(embedding).labels.numpy()
    for number in np.unique(labels):
        inside = found[labels == number]
        best = np.bincount(inside).argmax()
        shared = (inside == best).sum()
        assert shared > 0.5 * (len(inside) + (found == best).sum() - shared)


def test_groups_are_those_of_exact_mean_shift() -> None:
    labels = discs(8, 128, seed=3)
    embedding = embed(labels, directions(9, 16, seed=2), noise=0.04)
    points = embedding.flatten(1).T  # (N, D)
    settled = converge(points, MeanShift(36.0), steps=12)
    modes = find_modes(settled, margin=0.5, smallest=8)
    exact = (settled @ modes.T).argmax(1).numpy()
    by_anchors = AnchorSearch(MeanShift(36.0), anchors=256).group(embedding).labels
    assert adjusted_rand_score(exact, by_anchors.flatten().numpy()) > 0.99


def arc(degrees: Tensor, rows: int) -> Tensor:
    """``(8, rows, W)``: each column points in the direction so many degrees along an arc."""
    angle = degrees.double() * torch.pi / 180
    plane = torch.linalg.qr(torch.randn(8, 2, generator=torch.Generator().manual_seed(0)))[0]
    return torch.einsum("dp,pw->dw", plane.double(), torch.stack([angle.cos(), angle.sin()]))[
        :, None
    ].expand(8, rows, -1)


def flow_written_out(points: Tensor, kappa: float) -> tuple[np.ndarray, Tensor]:
    """The group to which each point flows when all shift, in NumPy; and the modes.

    Groups are places of rest, the ones with most points first, with all within 60 degrees.
    """
    x = points.double().numpy()
    for _ in range(20):  # later still, modes at rest would attract each other
        moved = np.exp(kappa * (x @ x.T - 1)) @ x
        moved /= np.linalg.norm(moved, axis=1, keepdims=True)
        change, x = np.abs(moved - x).max(), moved
        if change < 1e-3:
            break
    crowd = ((x @ x.T) > 0.99).sum(1)
    modes: list[np.ndarray] = []
    for index in np.argsort(-crowd, kind="stable"):
        if all(x[index] @ mode < 0.5 for mode in modes):
            modes.append(x[index])
    return (x @ np.array(modes).T).argmax(1), torch.from_numpy(np.array(modes))


ARCS = {
    "a slope that belongs to the further mode": torch.cat(
        [torch.linspace(0, 1, 720) ** 2 * 92, torch.full((180,), 92.0)]
    ),
    "a tail over 60 degrees from each mode": torch.cat(
        [torch.linspace(0, 1, 600) ** 3 * 92, torch.full((200,), 172.0)]
    ),
}


@pytest.mark.parametrize("name", ARCS)
def test_pixels_go_where_they_flow_though_another_mode_is_nearer(name: str) -> None:
    embedding = arc(ARCS[name], rows=40)  # every row the same, so that one row tells the result
    expected, modes = flow_written_out(embedding[:, 0].T, 36.0)
    nearest = (embedding[:, 0].double().T @ modes.T).argmax(1).numpy()
    found = AnchorSearch(MeanShift(36.0)).group(embedding).labels.numpy()
    assert len(modes) == 2
    assert (nearest != expected).mean() > 0.005  # else this would test nothing
    assert (adjusted_rand_score(expected, nearest)) < 0.99
    assert adjusted_rand_score(np.broadcast_to(expected, found.shape).ravel(), found.ravel()) > 0.99


def test_a_mirror_image_is_grouped_alike() -> None:
    labels = discs(12, 128, seed=5)
    embedding = embed(labels, directions(13, 32, seed=1), noise=0.03)
    search = AnchorSearch(MeanShift(36.0))
    here = search.group(embedding).labels
    there = search.group(embedding.flip(1, 2)).labels.flip(0, 1)
    assert len(here.unique()) == len(there.unique())
    assert adjusted_rand_score(here.flatten().numpy(), there.flatten().numpy()) > 0.99


@given(seed=st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_safe_are_pixels_nearer_to_their_group_by_an_angle_than_to_others(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    points = normalise(torch.randn(3, 400, generator=generator).double(), dim=0)
    rest = normalise(torch.randn(6, 3, generator=generator).double(), dim=1)
    home = torch.tensor([0, 1, 2, 0, 1, 1])
    search = AnchorSearch(MeanShift(36.0), margin=0.4)
    label, gap = search._nearest(points, rest, home)
    near, similarity = nearest_modes(points, rest)
    doubt = torch.tensor([0.2, 0.3, 0.4]).double()
    safe = similarity >= search._safe(rest, home, rest, home, doubt)[near]
    for pixel in range(400):
        angle = (rest @ points[:, pixel]).clamp(-1, 1).acos()
        own = home == home[angle.argmin()]
        lost = angle.min() > np.arccos(0.4)
        expected = 0 if lost else float(angle[~own].min() - angle.min())
        assert int(label[pixel]) == int(home[angle.argmin()])
        assert float(gap[pixel]) == pytest.approx(expected)
        assert expected >= doubt[label[pixel]] or not safe[pixel]


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


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 200))
@example(seed=21)
@example(seed=32)
@example(seed=46)
@example(seed=189)
def test_turning_the_embedding_space_changes_no_group(seed: int) -> None:
    """But for pixels in the balance: points become one in cells of a grid that does not turn."""
    labels = discs(5, 48, seed=seed)
    embedding = embed(labels, directions(6, 8, seed=seed), noise=0.02)
    turn = torch.linalg.qr(
        torch.randn(8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    )[0]
    search = AnchorSearch(MeanShift(36.0), anchors=256)
    before = search.group(embedding.double()).labels.numpy()
    after = search.group(torch.einsum("ij,jhw->ihw", turn, embedding.double())).labels.numpy()
    within = maximum_filter(labels, 3) == minimum_filter(labels, 3)  # not blurred with another
    assert adjusted_rand_score(before[within], after[within]) == 1
    assert adjusted_rand_score(before.ravel(), after.ravel()) > 0.94


def test_groups_of_one_size_are_numbered_alike_however_the_embedding_space_is_turned() -> None:
    """The one with the higher score is the first of them, wherever its mode came in the search."""
    embedding = torch.zeros(3, 8, 30, dtype=torch.float64)
    for group, columns in enumerate((slice(0, 10), slice(10, 20), slice(20, 30))):
        embedding[group, :, columns] = 1
        embedding[(group + 1) % 3, ::2, columns] = 0.1 * group  # looser and looser
    for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0]):
        found = AnchorSearch(MeanShift(36.0)).group(embedding[order]).labels
        assert found[0].unique_consecutive().tolist() == [1, 2, 3]
        mirrored = AnchorSearch(MeanShift(36.0)).group(embedding[order].flip(2)).labels
        assert mirrored[0].unique_consecutive().tolist() == [3, 2, 1]


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
