from itertools import pairwise

import pytest

from congeal.experiments.margins import draw_margins, exact_margin, numerical_margin


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    return draw_margins(tmp_path_factory.mktemp("margins"), quick=True)


@pytest.fixture(scope="session")
def rows(made, table):
    return table(made)


@pytest.mark.parametrize(("groups", "margin"), [(4, 1 / 3), (5, 0.5), (6, 0.5), (7, 0.6051)])
def test_the_optima_on_the_ordinary_sphere(made, groups, margin):
    assert made.numbers[f"n={groups} D=3"] == pytest.approx(margin, abs=5e-4)


def test_the_optimisation_finds_what_is_known_exactly(made):
    assert made.numbers["gap_to_exact"] < 1e-3


def test_a_simplex_is_exact(rows):
    for row in rows:
        groups, dimensions = int(row["groups"]), int(row["dimensions"])
        if groups <= dimensions + 1:
            assert float(row["exact"]) == pytest.approx((groups - 2) / (2 * (groups - 1)))


def test_numerical_margins_are_between_the_bounds(rows):
    for row in rows:
        if row["dimensions"] == "3":
            low, high = float(row["lower_bound"]), float(row["upper_bound"])
            assert low - 1e-9 <= float(row["numerical"]) <= high + 1e-3


def test_margins_grow_with_the_groups_and_shrink_with_the_dimensions(rows):
    best = {
        (int(row["dimensions"]), int(row["groups"])): float(row["exact"] or row["numerical"])
        for row in rows
    }
    groups = sorted({n for _, n in best})
    for dimensions in (3, 4):
        values = [best[dimensions, n] for n in groups]
        assert all(b >= a - 1e-6 for a, b in pairwise(values))
    assert all(best[4, n] <= best[3, n] + 1e-3 for n in groups)


def test_where_exact_values_end():
    assert exact_margin(6, 3) == 0.5
    assert exact_margin(7, 3) is None
    assert numerical_margin(2, 3, steps=100, restarts=2) < 1e-3
