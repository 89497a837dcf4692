"""The four observations, by their numbers."""

import math

import pytest
import torch

from congeal.experiments.trajectories import SETTINGS, UPDATES, draw_trajectories, follow, gbms

END = ("no grouping", "1 loop, loss at the end", "5 loops, loss at the end")
EVERY = ("no grouping", "1 loop, loss at every loop", "5 loops, loss at every loop")


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    return draw_trajectories(tmp_path_factory.mktemp("trajectories"))


@pytest.fixture(scope="session")
def number(made):
    return lambda what, setting: made.numbers[f"{what}, {setting}"]


def test_grouping_moves_neighbours_as_one(number):
    for settings in (END, EVERY):
        none, one, five = (number("spread of gradient", setting) for setting in settings)
        assert none == 1
        assert five < one < 0.6
    assert number("spread of gradient", END[2]) < 0.05


def test_the_gradient_gathers_on_few_points(number):
    none, one, five = (number("share of a tenth", setting) for setting in END)
    assert none < one < five
    assert number("share of a tenth", EVERY[2]) > none + 0.05


def test_with_grouping_the_output_is_right_in_fewer_updates(number):
    none, one, five = (number("updates to a tenth", setting) for setting in EVERY)
    assert five < one < none == 6
    assert number("updates to a tenth", END[1]) < none
    assert all(number("width", setting) > 10 * number("width", END[0]) for setting in EVERY[1:])


def test_a_single_loss_behind_many_loops_stays_where_points_settled_wrongly(number):
    assert number("error at the end", END[2]) > 0.1
    assert math.isnan(number("updates to a tenth", END[2]))
    assert all(number("error at the end", setting) < 1e-4 for setting in EVERY)


def test_without_grouping_every_error_shrinks_by_the_same_factor():
    start = torch.tensor([2.5, 3.2, 4.9], dtype=torch.float64)
    target = torch.tensor([3.0, 3.0, 5.0], dtype=torch.float64)
    run = follow(start, target, 0, every=False)
    wanted = target + (start - target) * 0.8**UPDATES
    assert torch.allclose(run.points[-1], wanted, atol=1e-12)


def test_mean_shift_on_a_line_is_the_weighted_mean():
    points = [0.0, 0.1, 0.7]
    moved = gbms(torch.tensor(points, dtype=torch.float64), 1, bandwidth=0.2)[1]
    for at, x in enumerate(points):
        weights = [math.exp(-((x - y) ** 2) / (2 * 0.2**2)) for y in points]
        wanted = sum(w * y for w, y in zip(weights, points, strict=True)) / sum(weights)
        assert moved[at].item() == pytest.approx(wanted, abs=1e-12)


def test_the_table_has_every_point_at_every_update(made, table):
    rows = table(made)
    assert len(rows) == len(SETTINGS) * (UPDATES + 1) * 90
    assert {row["target"] for row in rows} == {"3", "5"}
