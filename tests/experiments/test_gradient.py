import pytest
import torch

from congeal.experiments.gradient import between_modes, draw_gradient, draw_scene, gradients


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    return draw_gradient(tmp_path_factory.mktemp("gradient"), quick=True)


@pytest.mark.parametrize("seed", range(4))
def test_grouping_turns_the_gradient_to_pixels_between_modes(tmp_path, seed):
    numbers = draw_gradient(tmp_path, quick=True, seed=seed).numbers
    for what in ("in doubt over others", "share of total"):
        alone, every, last = (
            numbers[f"{what}, {name}"] for name in ("alone", "every step", "last step")
        )
        assert 1.2 * alone < every < last


def test_most_doubtful_pixels_lie_between_modes():
    scene = draw_scene(40)
    assert between_modes(scene)[scene.doubtful].double().mean() > 0.8
    assert between_modes(scene).double().mean() < 0.1


def test_the_table_has_every_pixel(made, table):
    rows = table(made)
    assert len(rows) == 32 * 32
    assert {row["label"] for row in rows} == {"0", "1", "2"}
    assert all(row["label"] == "1" for row in rows if row["doubtful"] == "1")


def test_gradients_lie_along_the_sphere():
    scene = draw_scene(16)
    for gradient in gradients(scene, steps=2).values():
        radial = (gradient * scene.embedding).sum(0)
        assert radial.abs().max() < 1e-9
        assert gradient.norm() > 0


def test_another_seed_is_another_scene():
    one, two = draw_scene(16, seed=0), draw_scene(16, seed=1)
    assert torch.equal(one.labels, two.labels)
    assert not torch.equal(one.embedding, two.embedding)
