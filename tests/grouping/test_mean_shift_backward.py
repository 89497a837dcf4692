"""Gradients of mean shift against the paper's formulas, finite differences, and themselves."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize

from congeal.grouping import MeanShift, mean_shift_step


def sphere(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)


def forward_by_hand(X, kappa, eta):
    """Y = X P of points in columns, ``(D, N)``, with all that the backward pass needs."""
    K = (kappa * X.T @ X).exp()
    q = 1 / K.sum(0)
    P = (1 - eta) * torch.eye(X.shape[1], dtype=X.dtype) + eta * K * q
    return X @ P, P, K, q


def backward_by_hand(X, dZ, kappa, eta):
    """dX of Z = Y / |Y|, by the formulas of the paper for dY -> dX."""
    Y, P, K, q = forward_by_hand(X, kappa, eta)
    length = Y.norm(dim=0)
    Z = Y / length
    dY = (dZ - Z * (Z * dZ).sum(0)) / length
    dP = X.T @ dY
    dK = eta * dP * q
    dq = eta * (dP * K).sum(0)
    dd = -dq * q**2
    dK = dK + dd
    dS = kappa * K * dK
    return dY @ P.T + X @ (dS + dS.T)


@pytest.mark.parametrize("eta", [0.3, 1.0])
@pytest.mark.parametrize("kappa", [1.0, 6.0, 36.0])
def test_the_gradient_of_a_step_is_that_of_the_paper(kappa, eta):
    x, dz = sphere(25, 4).requires_grad_(), sphere(25, 4, seed=1)
    z = mean_shift_step(x[None], concentration=kappa, eta=eta)[0]
    z.backward(dz)
    by_hand = backward_by_hand(x.detach().T, dz.T, kappa, eta).T
    torch.testing.assert_close(x.grad, by_hand, atol=1e-10, rtol=1e-10)


def test_the_gradient_through_several_steps_is_the_paper_s_chained():
    x, dz = sphere(15, 3).requires_grad_(), sphere(15, 3, seed=1)
    trail = MeanShift(concentration=6.0, steps=4).shift(x[None])
    trail[-1][0].backward(dz)
    gradient = dz.T
    for points in [trail[2], trail[1], trail[0], x[None]]:
        gradient = backward_by_hand(points[0].detach().T, gradient, 6.0, 1.0)
    torch.testing.assert_close(x.grad, gradient.T, atol=1e-10, rtol=1e-10)


def test_weights_and_location_have_the_gradient_of_finite_differences():
    weights = torch.tensor([[1.0, 2.0, 0.0, 0.5, 1.0, 3.0]], dtype=torch.float64)
    place = torch.cartesian_prod(torch.arange(2), torch.arange(3))[None]

    def step(x):
        return mean_shift_step(x, concentration=4.0, weights=weights, location=place, sigma=1.5)

    assert torch.autograd.gradcheck(step, sphere(1, 6, 3).requires_grad_())


def test_weights_get_the_gradient_of_finite_differences():
    x = sphere(1, 6, 3)
    weights = torch.rand(1, 6, dtype=torch.float64) + 0.1

    def step(m):
        return mean_shift_step(x, concentration=4.0, weights=m)

    assert torch.autograd.gradcheck(step, weights.requires_grad_())


def test_a_weight_of_zero_gets_a_finite_gradient():
    weights = torch.tensor([[0.0, 1.0, 2.0]], dtype=torch.float64, requires_grad=True)
    mean_shift_step(sphere(1, 3, 3), concentration=4.0, weights=weights).sum().backward()
    assert weights.grad.isfinite().all()


def test_a_masked_pixel_gets_no_gradient_from_the_others():
    embedding = sphere(1, 3, 4, 4).requires_grad_()
    mask = torch.arange(16).reshape(1, 4, 4) % 3 > 0
    moved = MeanShift(concentration=5.0, steps=2)(embedding, mask)[-1]
    moved[mask[:, None].expand_as(moved)].sum().backward()
    assert embedding.grad[~mask[:, None].expand_as(moved)].eq(0).all()


@pytest.mark.parametrize("radius", [None, 4.0])
@pytest.mark.parametrize("learnable", [False, True])
def test_recomputing_gives_the_same_gradients(learnable, radius):
    embedding = sphere(1, 3, 5, 5)
    gradients = []
    for recompute in (False, True):
        x = embedding.clone().requires_grad_()
        shift = MeanShift(
            6.0, steps=3, learnable=learnable, kernel_radius=radius, recompute=recompute
        )
        sum(step[:, 0].sum() for step in shift(x)).backward()
        gradients.append([x.grad, *(p.grad for p in shift.parameters())])
    for kept, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(kept, recomputed, atol=1e-12, rtol=1e-12)


def test_recomputing_keeps_less_for_the_backward_pass():
    def kept(recompute):
        sizes = []
        hook = torch.autograd.graph.saved_tensors_hooks(
            lambda t: (sizes.append(t.numel()), t)[1], lambda t: t
        )
        with hook:
            MeanShift(steps=4, recompute=recompute)(sphere(1, 3, 8, 8).requires_grad_())
        return sum(sizes)

    assert kept(True) < kept(False)


def test_nothing_of_the_size_of_the_kernel_matrix_is_kept():
    sizes = []
    hook = torch.autograd.graph.saved_tensors_hooks(
        lambda t: (sizes.append(t.numel()), t)[1], lambda t: t
    )
    with hook:
        MeanShift(steps=1)(sphere(1, 3, 32, 32).float().requires_grad_())
    assert max(sizes) <= 1024 * 8


def test_a_learnable_concentration_gets_the_gradient_of_finite_differences():
    embedding, target = sphere(1, 3, 4, 4), sphere(1, 3, 4, 4, seed=1)
    shift = MeanShift(concentration=5.0, steps=2, learnable=True).double()

    def loss():
        return (shift(embedding)[-1] * target).sum()

    loss().backward()
    by_autograd = shift.log_concentration.grad.item()
    around = []
    for change in (1e-5, -2e-5):
        with torch.no_grad():
            shift.log_concentration.add_(change)
        around.append(loss().item())
    assert by_autograd == pytest.approx((around[0] - around[1]) / 2e-5, rel=1e-5)


def test_a_zero_vector_does_not_spoil_the_gradient():
    embedding = sphere(1, 3, 4, 4)
    embedding[..., 0, 0] = 0
    embedding.requires_grad_()
    MeanShift(steps=2)(embedding)[-1].sum().backward()
    assert embedding.grad.isfinite().all()
