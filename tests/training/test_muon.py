import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from congeal.training.muon import Muon, is_matrix, orthogonalised

SIZES = st.tuples(st.integers(1, 12), st.integers(1, 12))


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_singular_values(matrix, rounds=5):
    """The definition: the quintic, again and again, on the singular values alone."""
    left, values, right = torch.linalg.svd(matrix / matrix.norm(), full_matrices=False)
    for _ in range(rounds):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    return left @ values.diag() @ right


@given(size=SIZES, seed=st.integers(0, 1000), rounds=st.integers(0, 6))
def test_it_is_the_quintic_of_the_singular_values(size, seed, rounds):
    matrix = drawn(*size, seed=seed)
    expected = by_singular_values(matrix, rounds)
    torch.testing.assert_close(orthogonalised([matrix], rounds)[0], expected, atol=1e-8, rtol=1e-6)


def test_float32_gives_what_float64_gives_where_singular_values_span_a_thousand():
    matrix = drawn(64, 300) * torch.logspace(0, -3, 64, dtype=torch.float64)[:, None]
    single = orthogonalised([matrix.float()])[0]
    torch.testing.assert_close(single.double(), orthogonalised([matrix])[0], atol=1e-4, rtol=0)


def test_singular_values_come_near_one():
    values = torch.linalg.svdvals(orthogonalised([drawn(20, 60)])[0])
    assert values.min() > 0.6
    assert values.max() < 1.25


@given(size=SIZES, scale=st.floats(1e-3, 1e3))
def test_the_length_does_not_matter_and_turning_or_transposing_goes_through(size, scale):
    matrix, turn = drawn(*size), torch.linalg.qr(drawn(size[0], size[0], seed=1))[0]
    once = orthogonalised([matrix])[0]
    for other, expected in (
        (scale * matrix, once),
        (-matrix, -once),
        (matrix.mT, once.mT),
        (turn @ matrix, turn @ once),
    ):
        torch.testing.assert_close(orthogonalised([other])[0], expected, atol=1e-7, rtol=1e-5)


def test_many_matrices_at_once_are_as_each_alone():
    many = [drawn(4, 9), drawn(9, 4, seed=1), drawn(4, 4, seed=2), drawn(3, 7, seed=3)]
    for alone, together in zip(many, orthogonalised(many), strict=True):
        torch.testing.assert_close(orthogonalised([alone])[0], together)


def test_nothing_stays_nothing():
    assert not orthogonalised([torch.zeros(3, 5)])[0].any()


def test_depthwise_filters_norms_and_biases_are_no_matrices():
    shapes = {
        (8, 1, 3, 3): False,
        (1, 8, 3, 3): False,
        (8,): False,
        (8, 4): True,
        (8, 4, 3, 3): True,
    }
    assert {shape: is_matrix(torch.zeros(shape)) for shape in shapes} == shapes


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Conv2d(6, 6, 3, groups=6), nn.Conv2d(6, 2, 1)
    ).double()


def gradients(model, seed=0):
    image = drawn(2, 3, 8, 8, seed=seed)
    model(image).square().sum().backward()


def test_matrices_step_as_defined_and_all_else_by_adamw():
    model, other = network(), network()
    muon = Muon([{"params": list(model.parameters())}], lr=0.01, momentum=0.9, weight_decay=0.2)
    adamw = torch.optim.AdamW(other.parameters(), lr=0.01, weight_decay=0.2)
    expected = model[0].weight.detach().clone()
    mean = torch.zeros_like(expected)
    for seed in range(3):
        gradients(model, seed)
        gradient = model[0].weight.grad.clone()
        for one, its in zip(other.parameters(), model.parameters(), strict=True):
            one.grad = its.grad.clone()
        muon.step()
        adamw.step()
        mean = 0.9 * mean + 0.1 * gradient
        update = by_singular_values((0.1 * gradient + 0.9 * mean).flatten(1)).view_as(gradient)
        expected = expected * (1 - 0.01 * 0.2) - 0.01 * 0.2 * 27**0.5 * update
        muon.zero_grad()
    torch.testing.assert_close(model[0].weight.detach(), expected, atol=1e-9, rtol=1e-7)
    for ours, theirs in zip(model[2].parameters(), other[2].parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)  # depthwise
    torch.testing.assert_close(model[1].weight, other[1].weight)
    assert not torch.allclose(model[3].weight, other[3].weight)


def test_gradients_are_left_as_they_were_and_what_has_none_stays():
    model = network()
    optimiser = Muon([{"params": list(model.parameters())}], lr=0.01)
    still = model[3].weight.detach().clone()
    gradients(model)
    model[3].weight.grad = None
    before = model[0].weight.grad.clone()
    optimiser.step()
    assert torch.equal(model[0].weight.grad, before)
    assert torch.equal(model[3].weight, still)
    optimiser.zero_grad()
    optimiser.step()  # nothing has a gradient


def test_a_closure_is_called_once_and_its_loss_given_back():
    model, calls = network(), []
    optimiser = Muon([{"params": list(model.parameters())}], lr=0.01)

    def closure():
        calls.append(1)
        gradients(model)
        return 7.0

    before = model[0].weight.detach().clone()
    assert optimiser.step(closure) == 7.0
    assert len(calls) == 1
    assert not torch.equal(model[0].weight, before)


@pytest.mark.parametrize("fused", [False, True])
def test_a_restored_state_continues_as_without_interruption(fused):
    model = network().float()
    model_inputs = drawn(2, 3, 8, 8).float()

    def go(one, optimiser):
        optimiser.zero_grad()
        one(model_inputs).square().sum().backward()
        optimiser.step()

    def make(one):
        return Muon([{"params": list(one.parameters())}], lr=0.01, fused=fused)

    first = make(model)
    go(model, first)
    again = copy.deepcopy(model)
    second = make(again)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    go(model, first)
    go(again, second)
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
