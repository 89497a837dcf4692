"""Pairs in blocks against all pairs at once."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from congeal.errors import CongealError
from congeal.losses import hinged_pairs as module
from congeal.losses import pairwise_loss
from congeal.losses.hinged_pairs import hinged_pairs


def matrix(unit, groups, weights, location, margin, repulsion_radius):
    """The sum and the weight of its pairs, by the whole matrix."""
    pair = weights[:, None] * weights * (groups[:, None] != groups)
    if repulsion_radius is not None:
        pair = pair * (torch.cdist(location, location) < repulsion_radius)
    similarity = 0.5 + 0.5 * unit @ unit.T
    return (pair * (similarity - margin).relu()).sum(), pair.sum()


def drawn(count, objects, seed=0):
    generator = torch.Generator().manual_seed(seed)
    unit = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    groups = torch.randint(objects, (count,), generator=generator).unique(return_inverse=True)[1]
    weights = torch.rand(count, generator=generator, dtype=torch.float64)
    place = torch.randint(9, (count, 2), generator=generator).double()
    return torch.nn.functional.normalize(unit, dim=1), groups, weights, place


@given(
    st.integers(1, 40),
    st.integers(1, 45),
    st.sampled_from([(1, 1), (2, 7), (5, 3), (64, 64)]),
    st.sampled_from([None, 1.0, 3.5]),
    st.integers(0, 999),
)
@settings(deadline=None, max_examples=60)
def test_blocks_of_any_size_give_the_sum_and_gradient_of_the_matrix(n, k, block, radius, seed):
    unit, groups, weights, place = drawn(n, k, seed)
    unit.requires_grad_()
    expected, mass = matrix(unit, groups, weights, place, 0.3, radius)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CPU_BLOCK", block)
        total, within = hinged_pairs(
            unit, groups, weights, place, margin=0.3, repulsion_radius=radius
        )
    torch.testing.assert_close(total, expected, atol=1e-12, rtol=1e-10)
    ours, theirs = (torch.autograd.grad(value, unit)[0] for value in (total, expected))
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-10)
    if radius is not None:
        torch.testing.assert_close(within, mass, atol=1e-12, rtol=1e-10)


def test_more_pixels_than_a_block_have_the_sum_of_the_matrix():
    unit, groups, weights, place = drawn(4500, 7)
    found = hinged_pairs(unit, groups, weights, place, margin=0.4, repulsion_radius=2.5)
    expected = matrix(unit, groups, weights, place, 0.4, 2.5)
    torch.testing.assert_close(torch.stack(found), torch.stack(expected))


def test_whole_positions_far_out_are_measured_exactly():
    place = torch.tensor([[4000.0, 4000.0], [4003.0, 4004.0], [0.0, 0.0]])
    unit, groups, weights = torch.ones(3, 1), torch.arange(3), torch.ones(3)
    for radius, pairs in ((5.0, 0), (5.01, 2)):
        _, within = hinged_pairs(unit, groups, weights, place, repulsion_radius=radius)
        assert within == pairs


def test_the_radius_does_not_move_with_the_precision_of_products():
    unit, groups, weights, place = drawn(200, 5)
    exact = hinged_pairs(unit, groups, weights, place, repulsion_radius=3.0)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        again = hinged_pairs(unit, groups, weights, place, repulsion_radius=3.0)
    finally:
        torch.set_float32_matmul_precision(before)
    torch.testing.assert_close(again, exact)


def test_a_second_derivative_is_refused_in_one_line():
    embedding = torch.randn(1, 3, 4, 4, requires_grad=True)
    labels = torch.arange(16).reshape(1, 4, 4) % 3
    loss = pairwise_loss(embedding, labels, margin=0.1)
    (gradient,) = torch.autograd.grad(loss, embedding, create_graph=True)
    with pytest.raises(CongealError, match="expected a first derivative only") as error:
        gradient.square().sum().backward()
    assert "\n" not in str(error.value)


def test_a_graph_of_the_gradient_has_the_same_gradient():
    embedding = torch.randn(1, 3, 4, 4, requires_grad=True)
    labels = torch.arange(16).reshape(1, 4, 4) % 3
    plain, kept = (
        torch.autograd.grad(pairwise_loss(embedding, labels), embedding, create_graph=create)[0]
        for create in (False, True)
    )
    assert torch.equal(plain, kept)


def test_a_compiled_loss_has_the_same_value_and_gradient():
    embedding = torch.randn(2, 3, 5, 5, requires_grad=True)
    labels = torch.arange(50).reshape(2, 5, 5) % 4
    compiled = torch.compile(pairwise_loss, backend="aot_eager")
    values = [
        loss(embedding, labels, margin=0.2, repulsion_radius=3.0)
        for loss in (pairwise_loss, compiled)
    ]
    torch.testing.assert_close(*values)
    torch.testing.assert_close(*(torch.autograd.grad(value, embedding)[0] for value in values))
