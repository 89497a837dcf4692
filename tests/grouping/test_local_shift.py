"""Local mean shift against its kernel written out in float64."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize

from congeal.grouping import MeanShift, local_mean_shift


def sphere_map(height, width, dimensions=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (dimensions, height, width)
    return normalize(torch.randn(shape, generator=generator, dtype=torch.float64), dim=0)


def random_mass(height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    mass = torch.rand(height, width, generator=generator, dtype=torch.float64)
    return mass.masked_fill(mass < 0.2, 0)


def keys_of(mass):
    """Place of the heaviest pixel of each 2 x 2 cell, and the mass of the cell."""
    places, masses = [], []
    for top in range(0, mass.shape[0], 2):
        for left in range(0, mass.shape[1], 2):
            cell = mass[top : top + 2, left : left + 2]
            row, column = divmod(int(cell.argmax()), cell.shape[1])
            places.append((top + row, left + column))
            masses.append(cell.sum())
    return torch.tensor(places), torch.stack(masses)


def slow_step(embedding, mass, kappa, reach):
    """One step without a cut-off: all keys for all pixels."""
    places, masses = keys_of(mass)
    key = embedding[:, places[:, 0], places[:, 1]].T
    pixels = torch.cartesian_prod(*(torch.arange(side) for side in mass.shape)).reshape(-1, 2)
    away = (pixels[:, None] - places[None]).double().square().sum(-1)
    kernel = masses * (kappa * embedding.flatten(1).T @ key.T - away / (2 * (reach / 3) ** 2)).exp()
    moved = normalize(kernel @ key / kernel.sum(1, keepdim=True), dim=1).T
    return torch.where(mass > 0, moved.unflatten(1, mass.shape), embedding)


def halves(height, width, noise=0.0, seed=0):
    """Two groups side by side: along the first axis on the left, the second on the right."""
    generator = torch.Generator().manual_seed(seed)
    embedding = torch.zeros(4, height, width, dtype=torch.float64)
    embedding[0, :, : width // 2] = embedding[1, :, width // 2 :] = 1
    offset = torch.randn(embedding.shape, generator=generator, dtype=torch.float64)
    return normalize(embedding + noise * offset, dim=0)


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (16, 8), (13, 19), (1, 30), (17, 2)])
def test_where_all_is_within_reach_a_step_is_the_kernel_written_out(size):
    embedding, mass = sphere_map(*size), random_mass(*size)
    moved = local_mean_shift(embedding, mass, concentration=7.0, reach=32.0, steps=1)
    torch.testing.assert_close(moved, slow_step(embedding, mass, 7.0, 32.0), atol=1e-5, rtol=0)


def test_several_steps_are_the_step_repeated():
    embedding, mass = sphere_map(12, 14), random_mass(12, 14)
    expected = embedding
    for _ in range(4):
        expected = slow_step(expected, mass, 7.0, 24.0)
    moved = local_mean_shift(embedding, mass, concentration=7.0, reach=24.0, steps=4, tolerance=0.0)
    torch.testing.assert_close(moved, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("reach", [4.0, 7.5, 12.0])
def test_what_the_cut_off_leaves_out_is_little(reach):
    """Beyond three standard deviations lie exp(-4.5) = 1.1 % of the mass of a flat map."""
    embedding, mass = halves(40, 44, noise=0.15), torch.ones(40, 44, dtype=torch.float64)
    moved = local_mean_shift(embedding, mass, concentration=9.0, reach=reach, steps=1)
    expected = slow_step(embedding, mass, 9.0, reach)
    assert (moved - expected).norm(dim=0).max() < 0.03


@pytest.mark.parametrize("reach", [2.0, 6.0])
def test_pixels_far_beyond_the_reach_have_no_say(reach):
    embedding, mass = sphere_map(8, 64), torch.ones(8, 64, dtype=torch.float64)
    changed = embedding.clone()
    changed[:, :, 40:] = sphere_map(8, 24, seed=1)
    first, second = (
        local_mean_shift(e, mass, concentration=5.0, reach=reach, steps=1)
        for e in (embedding, changed)
    )
    near = 40 - int(reach) - 9  # the reach, and a block more
    assert torch.equal(first[:, :, :near], second[:, :, :near])


def test_the_heaviest_pixel_speaks_for_its_cell():
    embedding, mass = sphere_map(8, 8), torch.ones(8, 8, dtype=torch.float64)
    mass[::2, ::2] = 2.0
    changed = sphere_map(8, 8, seed=1)
    changed[:, ::2, ::2] = embedding[:, ::2, ::2]
    first, second = (
        local_mean_shift(e, mass, concentration=5.0, reach=6.0, steps=1)[:, ::2, ::2]
        for e in (embedding, changed)
    )
    torch.testing.assert_close(first, second)


def test_pixels_without_mass_stay_and_attract_nobody():
    embedding, mass = sphere_map(16, 16), random_mass(16, 16)
    changed = torch.where(mass > 0, embedding, sphere_map(16, 16, seed=1))
    first, second = (
        local_mean_shift(e, mass, concentration=5.0, reach=6.0) for e in (embedding, changed)
    )
    torch.testing.assert_close(first[:, mass > 0], second[:, mass > 0])
    assert torch.equal(second[:, mass == 0], changed[:, mass == 0])


def test_a_map_without_mass_comes_back_as_it_is():
    embedding = sphere_map(9, 9)
    nothing = torch.zeros(9, 9, dtype=torch.float64)
    moved = local_mean_shift(embedding, nothing, concentration=5.0, reach=6.0)
    assert torch.equal(moved, embedding)


def test_the_scale_of_the_mass_does_not_matter():
    embedding, mass = sphere_map(16, 16), random_mass(16, 16)
    first, second = (
        local_mean_shift(embedding, m, concentration=5.0, reach=6.0, steps=2)
        for m in (mass, 1000 * mass)
    )
    torch.testing.assert_close(first, second, atol=1e-5, rtol=0)


def test_no_steps_leave_the_map_alone():
    embedding, mass = sphere_map(9, 11), torch.ones(9, 11, dtype=torch.float64)
    moved = local_mean_shift(embedding, mass, concentration=5.0, reach=6.0, steps=0)
    assert torch.equal(moved, embedding)


def test_a_large_tolerance_stops_after_one_step():
    embedding, mass = sphere_map(16, 16), torch.ones(16, 16, dtype=torch.float64)
    arguments = {"concentration": 5.0, "reach": 6.0}
    stopped = local_mean_shift(embedding, mass, tolerance=10.0, **arguments)
    assert torch.equal(stopped, local_mean_shift(embedding, mass, steps=1, **arguments))


@pytest.mark.parametrize("size", [(24, 32), (21, 30)])
def test_drawn_groups_collapse_as_with_mean_shift_over_all_pixels(size):
    embedding, mass = halves(*size, noise=0.2), torch.ones(size, dtype=torch.float64)
    local = local_mean_shift(embedding, mass, concentration=9.0, reach=9.0, steps=30)
    whole = MeanShift(concentration=9.0, steps=30, reach=9.0)(embedding[None])[-1][0]
    assert (local - whole).norm(dim=0).max() < 0.1
    assert torch.equal(local.argmax(0), halves(*size).argmax(0))
    assert local.max(0).values.min() > 0.95


def test_far_apart_groups_of_one_direction_do_not_pull_each_other_across():
    """Right of the gap the same direction comes back; the middle keeps its own."""
    embedding = halves(8, 48)
    embedding[:, :, 36:] = embedding[:, :, :12]
    settled = local_mean_shift(
        embedding, torch.ones(8, 48, dtype=torch.float64), concentration=9.0, reach=6.0
    )
    assert settled[0].gt(0.9).float().mean() == 36 / 48


def test_a_light_pixel_between_two_groups_at_rest_still_reaches_its_mode():
    """It is the key of no cell, so nothing but itself tells that it still moves."""
    embedding, mass = halves(16, 16), torch.ones(16, 16, dtype=torch.float64)
    embedding[:, 5, 7] = normalize(torch.tensor([1.02, 1.0, 0.0, 0.0]), dim=0)
    mass[5, 7] = 0.5
    settled = local_mean_shift(embedding, mass, concentration=36.0, reach=8.0, steps=50)
    assert settled[0, 5, 7] > 0.99


def test_single_precision_is_as_good_as_the_tolerance_asks():
    embedding, mass = sphere_map(16, 24), random_mass(16, 24)
    single, double = (
        local_mean_shift(embedding.to(t), mass.to(t), concentration=9.0, reach=6.0, steps=3)
        for t in (torch.float32, torch.float64)
    )
    assert single.dtype == torch.float32
    assert (single.double() - double).abs().max() < 1e-4
