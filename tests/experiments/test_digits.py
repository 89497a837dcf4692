import pytest
import torch

from congeal.experiments import digits
from congeal.experiments.digits import Toy, draw_digits, train_toy

SHORT = Toy(steps=2, batch=1, images=2, samples=64)


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digits, "QUICK", SHORT)
        return draw_digits(tmp_path_factory.mktemp("digits"), quick=True)


def test_every_pixel_is_a_point_of_the_sphere(made, table):
    rows = table(made)
    assert len(rows) == 48 * 48
    for row in rows[::97]:
        for when in ("before", "after"):
            length = sum(float(row[f"{axis}_{when}"]) ** 2 for axis in "xyz")
            assert length == pytest.approx(1, abs=1e-4)


def test_the_numbers_are_of_pairs_and_of_digits(made):
    numbers = made.numbers
    assert 0 <= numbers["found"] <= 1
    assert numbers["positive after"] > numbers["positive before"] - 0.01
    assert 0 < numbers["last loss"] < 1


def test_the_same_seed_trains_the_same_network():
    one, losses = train_toy(SHORT, seed=3)
    two, again = train_toy(SHORT, seed=3)
    assert losses == again
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_modes_become_groups_and_the_largest_is_the_ground():
    corner = torch.zeros(3, 8, 8)
    corner[0] = 1
    corner[:, :3, :4] = torch.tensor([0.0, 1.0, 0.0])[:, None, None]
    groups = digits._groups(corner)
    assert (groups[:3, :4] > 0).all()
    assert (groups > 0).sum() == 12


@pytest.mark.parametrize("way", range(8))
def test_image_and_labels_are_turned_alike(way):
    square = torch.arange(9).reshape(3, 3)
    image = square.expand(3, 3, 3)
    assert torch.equal(digits._turn(image, way)[1], digits._turn(square, way))


def test_the_eight_ways_differ():
    square = torch.arange(9).reshape(3, 3)
    assert len({tuple(digits._turn(square, way).flatten().tolist()) for way in range(8)}) == 8


@pytest.mark.slow
def test_a_short_training_learns():
    _, losses = train_toy(Toy(steps=60, batch=4, images=32, samples=256))
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])
