import math

import pytest
import torch

from congeal.experiments.convergence import CONCENTRATION, distances, draw_convergence, tight_group


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    return draw_convergence(tmp_path_factory.mktemp("convergence"), quick=True)


@pytest.mark.parametrize("dimensions", [3, 16, 64])
def test_the_error_is_cubed_at_each_step(made, dimensions):
    assert 2.9 < made.numbers[f"exponent D={dimensions}"] < 3.1


def test_along_the_steps_the_logarithm_is_multiplied_by_three(made):
    assert 2.5 < made.numbers["exponent of steps, blurring"] < 3.5


@pytest.mark.parametrize("curve", ["half step", "ordinary"])
def test_the_other_ways_converge_by_a_factor_only(made, curve):
    assert made.numbers[f"exponent of steps, {curve}"] == pytest.approx(1, abs=0.1)


def test_the_table_tells_the_same(made, table):
    rows = [row for row in table(made) if row["curve"] == "blurring"]
    found = [float(row["distance"]) for row in rows]
    assert found == sorted(found, reverse=True) or min(found) < 1e-14
    assert found[5] < 1e-14 < found[4]
    for row, before in zip(rows[1:], found, strict=False):
        assert float(row["before"]) == before


def test_one_step_shrinks_a_gaussian_as_theory_says():
    """Spread s becomes s^3 / (s^2 + h^2), h^2 = 1 / kappa."""
    spread = 0.02
    points = tight_group(3000, 3, spread)

    def step(x):
        kernel = (CONCENTRATION * x @ x.T).softmax(1)
        moved = kernel @ x
        return moved / moved.norm(dim=1, keepdim=True)

    before, after = distances(points, step, 1, settled=4)
    assert before == pytest.approx(spread * math.sqrt(2), rel=0.05)
    shrinking = spread**2 / (spread**2 + 1 / CONCENTRATION)
    assert after / before == pytest.approx(shrinking, rel=0.1)


def test_a_tight_group_is_on_the_sphere_in_float64():
    points = tight_group(10, 5, 0.1)
    assert points.dtype == torch.float64
    assert torch.allclose(points.norm(dim=1), torch.ones(10, dtype=torch.float64))
