import numpy as np
import pytest
import torch
from cases.rpe_cases import EMPTY, OBJECTS, VOID, batch_of, make, perfect, scene
from torch import nn


@pytest.mark.parametrize("background", ["head", "group"])
@pytest.mark.parametrize("steps", [0, 2])
@pytest.mark.parametrize("radius", [None, 8.0])
@pytest.mark.parametrize("labels", [VOID, EMPTY, OBJECTS], ids=["void", "empty", "objects"])
def test_every_term_of_the_loss_is_finite_and_so_are_its_gradients(
    background, steps, radius, labels
):
    model = make(background=background, mean_shift_steps=steps, repulsion_radius=radius)
    terms = model.losses(batch_of(labels))
    assert set(terms) == {"embedding", "semantic", "touching"}
    assert all(term.isfinite() and term >= 0 for term in terms.values())
    sum(terms.values()).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_the_loss_goes_through_mean_shift_once_the_training_is_that_far():
    model, plain = (
        make(mean_shift_steps=2, mean_shift_start=0.6, samples=999),
        make(mean_shift_steps=0, samples=999),
    )
    output = model.eval()(torch.rand(1, 3, 32, 32))

    def loss(method, progress):
        terms = method.losses_of(output, batch_of(OBJECTS[:1]), progress=progress)
        return terms["embedding"].item()

    assert loss(model, 0.5) == loss(plain, 0.5) == loss(plain, 1.0)
    assert loss(model, 0.6) == loss(model, 1.0) > loss(model, 0.5)


def test_void_pixels_weigh_nothing():
    model = make()
    terms = model.losses(batch_of(VOID))
    assert [term.item() for term in terms.values()] == [0, 0, 0]


def test_perfect_outputs_cost_next_to_nothing():
    labels = torch.from_numpy(np.kron(scene(), np.ones((4, 4), int)))[None]
    output = perfect(labels[0].numpy())
    terms = make().losses_of(output, batch_of(labels))
    assert terms["embedding"] < 1e-3
    assert terms["semantic"] < 1e-3
    worse = make().losses_of(
        output._replace(embedding=output.embedding.roll(4, 2)), batch_of(labels)
    )
    assert worse["embedding"] > 10 * terms["embedding"]


def test_what_objects_are_called_changes_no_loss():
    model = make(samples=1000)
    output = model.eval()(torch.rand(1, 3, 32, 32))
    labels = OBJECTS[:1]
    renamed = torch.where(labels > 0, 900 - 7 * labels, labels)
    terms = [model.losses_of(output, batch_of(one)).values() for one in (labels, renamed)]
    for a, b in zip(*terms, strict=True):
        torch.testing.assert_close(a, b)


def test_the_same_generator_draws_the_same_pixels():
    model = make(samples=16)
    output = model(torch.rand(2, 3, 32, 32))

    def loss(seed):
        generator = torch.Generator().manual_seed(seed)
        terms = model.losses_of(output, batch_of(OBJECTS), generator=generator)
        return terms["embedding"].item()

    assert loss(1) == loss(1)
    assert loss(1) != loss(2)


def test_classes_are_learnt_from_a_semantic_map():
    model = make(class_names=("a", "b"))
    output = model.eval()(torch.rand(1, 3, 32, 32))
    objects = OBJECTS[:1]
    wrong = model.losses_of(output, batch_of(objects))["semantic"]
    sure = output._replace(
        semantic=20.0 * nn.functional.one_hot(OBJECTS[:1].clamp(0), 3).permute(0, 3, 1, 2)
    )
    right = model.losses_of(sure, batch_of(objects, semantic=objects))["semantic"]
    assert right < 1e-3 < wrong


def test_a_learnable_concentration_learns():
    model = make(learn_concentration=True)
    sum(model.losses(batch_of(OBJECTS)).values()).backward()
    assert model.shift.log_concentration.grad.abs() > 0
