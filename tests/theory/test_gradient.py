import pytest
import torch

from congeal.theory.gradient import draw_gradient, draw_scene, gradients


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return draw_gradient(tmp_path_factory.mktemp("gradient"), quick=True)


def test_grouping_turns_the_gradient_to_the_doubtful_pixels(made):
    over = [
        made.numbers[f"doubtful over others, {name}"]
        for name in ("alone", "every step", "last step")
    ]
    assert over[0] < over[1] < over[2]
    assert over[2] > 1.5 * over[0]


def test_the_table_has_every_pixel(made, table):
    rows = table(made)
    assert len(rows) == 24 * 24
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
