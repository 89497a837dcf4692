"""Cells shift within windows as the kernel written out says, and pixels follow their cells."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score
from torch import Tensor
from torch.nn.functional import normalize

from congeal.grouping import MeanShift, windows
from congeal.grouping.windows import (
    Cells,
    assign_around,
    join_cells,
    sample_cells,
    shift_cells,
)


def sphere_map(*size: int, dimensions: int = 4, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return normalize(
        torch.randn(dimensions, *size, generator=generator, dtype=torch.float64), dim=0
    )


def random_mass(*size: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mass = torch.rand(*size, generator=generator, dtype=torch.float64)
    return mass.masked_fill(mass < 0.2, 0)


def written_out(cells: Cells, kappa: float, sigma: float, eta: float = 1.0) -> Tensor:
    """One step of all cells, all of which kernel_radius all."""
    axes = [torch.arange(side).double() * cells.side for side in cells.mass.shape]
    place = torch.cartesian_prod(*axes).view(-1, len(axes))
    points, mass = cells.points.flatten(0, -2), cells.mass.flatten()
    away = torch.cdist(place, place).square() / (2 * sigma**2)
    kernel = (kappa * points @ points.T - away).exp() * mass
    mean = kernel @ points / kernel.sum(1, keepdim=True)
    return normalize(eta * mean + (1 - eta) * points, dim=1).view(cells.points.shape)


@pytest.fixture
def all_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "AGREE", -1.0)
    monkeypatch.setattr(windows, "DISAGREE", 9.0)


@pytest.mark.parametrize("size", [(5, 5), (1, 5), (2, 4), (3, 4, 5), (5,)])
@pytest.mark.parametrize("eta", [1.0, 0.6])
@pytest.mark.usefixtures("all_in_doubt")
def test_where_all_is_within_reach_a_step_is_the_kernel_written_out(size, eta) -> None:
    cells = sample_cells(sphere_map(*size), random_mass(*size), 2.5, 0.5)
    assert cells.side == 1
    moved = shift_cells(cells, concentration=7.0, margin=0.5, sigma=2.5, eta=eta, steps=1)
    on = cells.mass > 0
    torch.testing.assert_close(moved[on], written_out(cells, 7.0, 2.5, eta)[on], atol=1e-9, rtol=0)


@pytest.mark.usefixtures("all_in_doubt")
def test_a_block_in_the_middle_of_a_large_map_takes_the_same_step() -> None:
    """The cut at two standard deviations leaves little out."""
    cells = sample_cells(sphere_map(40, 37), random_mass(40, 37), 2.0, 0.5)
    moved = shift_cells(cells, concentration=9.0, margin=0.5, sigma=2.0, steps=1)
    on = cells.mass > 0
    cosine = (moved * written_out(cells, 9.0, 2.0)).sum(-1)[on]
    assert cosine.quantile(0.05) > 0.99
    assert cosine.min() > 0.9


def test_neighbours_that_clearly_agree_or_differ_do_not_move() -> None:
    embedding = torch.zeros(2, 16, 16)
    embedding[0, :, :8], embedding[1, :, 8:] = 1, 1
    cells = sample_cells(embedding, torch.ones(16, 16), 2.0, 0.5)
    moved = shift_cells(cells, concentration=9.0, margin=0.5, sigma=2.0)
    assert torch.equal(moved, cells.points)


def test_the_mean_of_what_agrees_with_the_heaviest_pixel_stands_for_a_cell() -> None:
    embedding, mass = sphere_map(7, 8), random_mass(7, 8)
    cells = sample_cells(embedding, mass, 4.0, 0.5)
    assert cells.side == 3
    assert cells.mass.shape == (3, 3)
    for row in range(3):
        for column in range(3):
            part = slice(3 * row, 3 * row + 3), slice(3 * column, 3 * column + 3)
            held = mass[part].flatten()
            assert float(cells.mass[row, column]) == pytest.approx(float(held.sum()))
            vectors = embedding[:, part[0], part[1]].flatten(1)
            agreeing = vectors[:, held.argmax()] @ vectors > 0.5
            expected = vectors @ (held * agreeing)
            torch.testing.assert_close(cells.points[row, column], normalize(expected, dim=0))


def test_a_cell_is_never_wider_than_four_pixels() -> None:
    assert sample_cells(sphere_map(30, 30), torch.ones(30, 30).double(), 1e9, 0.5).side == 4
    assert sample_cells(sphere_map(30, 30), torch.ones(30, 30).double(), 0.1, 0.5).side == 1


def test_a_kernel_radius_beyond_the_map_is_that_of_the_map() -> None:
    embedding, mass = sphere_map(24, 40).float(), torch.ones(24, 40)
    far, further = (
        shift_cells(
            sample_cells(embedding, mass, sigma, 0.5), concentration=9.0, margin=0.5, sigma=sigma
        )
        for sigma in (1e6, 1e9)
    )
    torch.testing.assert_close(far, further, atol=1e-4, rtol=0)


def test_far_apart_groups_of_one_direction_do_not_pull_each_other() -> None:
    embedding = torch.zeros(2, 6, 60)
    embedding[0] = 1
    embedding[:, :, 2:4] = torch.tensor([math.cos(0.5), math.sin(0.5)])[:, None, None]
    mass = torch.zeros(6, 60)
    mass[:, :4] = mass[:, 56:] = 1
    cells = sample_cells(embedding, mass, 2.0, 0.5)
    moved = shift_cells(cells, concentration=9.0, margin=0.9, sigma=2.0)
    assert moved[0, 0, 1] > 0.05  # pulled by its neighbours
    assert moved[0, 58, 1] == 0


def test_parts_are_cells_joined_by_faces_that_agree() -> None:
    labels = torch.tensor([[1, 1, 2], [2, 2, 1]])
    points = torch.eye(2, dtype=torch.float64)[labels - 1]
    mass = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 1.0]])
    assert join_cells(points, mass, 0.5).tolist() == [[1, 1, 2], [3, 0, 4]]


@pytest.mark.parametrize("seed", range(5))
def test_a_pixel_takes_the_most_similar_cell_around_it(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (4, 5), generator=generator)
    points, pixels = sphere_map(4, 5, seed=seed), sphere_map(12, 15, seed=seed + 50)
    places = torch.cartesian_prod(torch.arange(12), torch.arange(15))
    found = assign_around(
        labels,
        points.permute(1, 2, 0),
        places,
        3,
        lambda some: pixels[:, places[some, 0], places[some, 1]].T,
    )
    for (row, column), label in zip(places.tolist(), found.tolist(), strict=True):
        best, expected = -2.0, 0
        for r in range(max(0, row // 3 - 1), min(4, row // 3 + 2)):
            for c in range(max(0, column // 3 - 1), min(5, column // 3 + 2)):
                cosine = float(points[:, r, c] @ pixels[:, row, column])
                if labels[r, c] and cosine > best:
                    best, expected = cosine, int(labels[r, c])
        assert label == expected


@pytest.mark.parametrize("size", [(40, 40), (16, 16, 16)])
def test_drawn_groups_collapse_as_with_mean_shift_over_all_pixels(size: tuple[int, ...]) -> None:
    """Halves of a map, or of a volume, with noise: those of the shift of every pixel."""
    generator = torch.Generator().manual_seed(0)
    axis = torch.zeros(4, *size)
    middle = size[-1] // 2
    axis[0, ..., :middle], axis[1, ..., middle:] = 1, 1
    embedding = normalize(axis + 0.2 * torch.randn(axis.shape, generator=generator), dim=0)
    found = MeanShift(9.0, margin=0.5, kernel_radius=12.0).group(embedding)
    expected = (torch.arange(size[-1]) >= middle).expand(size)
    assert len(found) == 2
    assert adjusted_rand_score(expected.flatten(), np.asarray(found.labels.flatten())) == 1
