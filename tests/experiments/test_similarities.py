import numpy as np
import pytest
import torch

from congeal.data.drawn import DrawnDataset
from congeal.experiments.similarities import (
    draw_similarities,
    pair_similarities,
    shift_image,
    wrong_share,
)
from congeal.models.folder import load
from congeal.models.shipped import DEFAULT_MODEL


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    return draw_similarities(tmp_path_factory.mktemp("similarities"), quick=True)


def test_steps_pull_objects_together_and_leave_them_apart(made):
    numbers = made.numbers
    assert numbers["positive, step 10"] > numbers["positive, step 0"] > 0.9
    assert numbers["tight, step 10"] > numbers["tight, step 0"]
    assert numbers["negative, step 10"] < 0.6
    assert numbers["wrong, step 10"] < 0.1


def test_the_histograms_sum_to_one(made, table):
    rows = table(made)
    assert {row["step"] for row in rows} == {str(step) for step in range(11)}
    for step in ("0", "10"):
        for kind in ("positive", "negative"):
            total = sum(float(row[kind]) for row in rows if row["step"] == step)
            assert total == pytest.approx(1)


@pytest.mark.parametrize(
    ("seen", "side"),
    [({"zoom": 0.5, "magnify": 0}, 16), ({"magnify": 0}, 32), ({"magnify": 10_000}, 64)],
)
def test_a_model_that_sees_images_at_another_size_is_shifted_on_its_own_grid(seen, side):
    model = load(DEFAULT_MODEL).configure(**seen)
    sample = DrawnDataset("discs", "test", count=1, size=64)[0]
    trail = shift_image(model, sample.image, sample.labels)
    assert len(trail) == 11
    assert {step.shape[1:] for step in trail} == {(side, side)}


def test_far_pairs_of_two_objects_do_not_count():
    labels = torch.tensor([[1, 1, 2, 0, 0, 0, 0, 3]])
    embedding = torch.ones(1, 1, 8)
    chosen = torch.tensor([0, 1, 2, 7])
    assert [len(part) for part in pair_similarities(embedding, labels, chosen, None)] == [1, 5]
    assert [len(part) for part in pair_similarities(embedding, labels, chosen, 3.0)] == [1, 2]


def test_the_wrong_share_of_separate_and_of_equal_histograms():
    assert wrong_share(np.array([0.0, 0, 2]), np.array([3.0, 1, 0])) == 0
    assert wrong_share(np.array([1.0, 1]), np.array([2.0, 2])) == 0.5
