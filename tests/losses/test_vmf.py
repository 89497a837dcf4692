"""SegSort's losses against a loop over pixels and segments written out in float64."""

from __future__ import annotations

import math

import pytest
import torch
from cases.vmf_cases import BOTH, drawn, loss_of, same

from congeal.errors import CongealError
from congeal.losses import (
    PrototypeBank,
    intersect_segments,
    vmf,
    vmf_loss,
    vmf_n_loss,
)


def naive_loss(
    embedding,
    segments,
    semantic=None,
    *,
    concentration=10.0,
    background=False,
    reduction="images",
    held=(),
):
    """The loss by loops; ``held`` are pairs of a prototype and its class. No log-sum-exp."""
    pixels = {}  # (image, segment, class) -> unit vectors
    for b, *place in (segments >= (0 if background else 1)).nonzero().tolist():
        kind = 0 if semantic is None else int(semantic[(b, *place)])
        if kind >= 0:
            x = embedding[(b, slice(None), *place)].double()
            pixels.setdefault((b, int(segments[(b, *place)]), kind), []).append(x / x.norm())
    means = {whose: sum(own) / sum(own).norm() for whose, own in pixels.items()}
    means |= {("held", i, kind): prototype for i, (prototype, kind) in enumerate(held)}
    losses = {}  # image -> losses of its pixels
    for whose, own in pixels.items():
        for x in own:
            near = {s: math.e ** (concentration * (mu @ x)) for s, mu in means.items()}
            alike = [near[s] for s in means if s != whose and s[2] == whose[2]]
            if semantic is None or not alike:
                share = near[whose] / sum(near.values())
            else:
                share = sum(alike) / sum(near[s] for s in means if s != whose)
            losses.setdefault(whose[0], []).append(-torch.log(share))
    if reduction == "pixels":
        return torch.stack([x for own in losses.values() for x in own]).mean()
    zero = torch.zeros((), dtype=torch.float64)
    return sum((torch.stack(own).mean() for own in losses.values()), zero) / len(embedding)


def held(seed=0, count=5, dimensions=3, classes=3):
    """Prototypes with their classes, and a bank that holds them in two batches."""
    generator = torch.Generator().manual_seed(seed)
    prototypes = torch.randn(count, dimensions, generator=generator, dtype=torch.float64)
    prototypes = torch.nn.functional.normalize(prototypes)
    kinds = torch.arange(count) % classes
    bank = PrototypeBank()
    bank.push(prototypes[:2], kinds[:2])
    bank.push(prototypes[2:], kinds[2:])
    return bank, list(zip(prototypes, kinds.tolist(), strict=True))


# --- the value ---------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("reduction", ["images", "pixels"])
@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("concentration", [0.5, 10.0, 60.0])
def test_the_loss_is_the_mean_over_pixels_written_out(name, reduction, background, concentration):
    embedding, segments, semantic = drawn()
    how = {"concentration": concentration, "background": background, "reduction": reduction}
    expected = naive_loss(embedding, segments, semantic if name == "vmf_n" else None, **how)
    same(loss_of(name, embedding, segments, semantic, **how), expected)


@BOTH
def test_images_with_three_dimensions_are_taken(name):
    embedding, segments, semantic = drawn(seed=1, size=(2, 3, 2))
    expected = naive_loss(embedding, segments, semantic if name == "vmf_n" else None)
    same(loss_of(name, embedding, segments, semantic), expected)


def test_segments_of_a_bank_join_those_of_the_batch():
    embedding, segments, semantic = drawn(seed=2)
    bank, pairs = held()
    expected = naive_loss(embedding, segments, semantic, held=pairs)
    same(vmf_n_loss(embedding, segments, semantic, bank=bank), expected)
    assert len(bank) == 5


def test_a_neighbour_in_the_bank_is_enough():
    """The only segment of class 2 in the batch has company once the bank holds class 2."""
    embedding, segments, _ = drawn(seed=3, batch=1)
    semantic = torch.where(segments == 1, 2, 0)
    bank, pairs = held(classes=3)
    expected = naive_loss(embedding, segments, semantic, held=pairs)
    same(vmf_n_loss(embedding, segments, semantic, bank=bank), expected)


def test_an_empty_bank_changes_nothing():
    embedding, segments, semantic = drawn(seed=4)
    loss = vmf_n_loss(embedding, segments, semantic, bank=PrototypeBank())
    assert torch.equal(loss, vmf_n_loss(embedding, segments, semantic))


def test_where_every_class_has_one_segment_the_losses_are_one():
    embedding, segments, _ = drawn(seed=5)
    numbered = intersect_segments(segments, torch.zeros_like(segments)).labels
    same(vmf_n_loss(embedding, segments, numbered), vmf_loss(embedding, segments))


def test_where_all_segments_have_one_class_there_is_nothing_to_learn():
    embedding, segments, _ = drawn(seed=6)
    embedding.requires_grad_()
    loss = vmf_n_loss(embedding, segments, torch.ones_like(segments))
    loss.backward()
    same(loss.detach(), torch.zeros((), dtype=torch.float64))
    assert embedding.grad.abs().max() < 1e-12


def test_the_own_segment_counts_neither_above_nor_below():
    """Two segments of a class, at a right angle, and one of another class, opposite to the first.

    A pixel of the first: -log(e^0 / (e^0 + e^-k)), whatever its own mean is.
    """
    embedding = torch.tensor([[[1.0, 0.0, -1.0], [0.0, 1.0, 0.0]]])
    segments, semantic = torch.tensor([[1, 2, -1]]), torch.tensor([[5, 5, 7]])
    bank = PrototypeBank()
    bank.push(torch.tensor([[-1.0, 0.0]]), torch.tensor([7]))
    first = math.log(1 + math.exp(-2.0))
    second = math.log(1 + 1)
    loss = vmf_n_loss(embedding, segments, semantic, concentration=2.0, bank=bank)
    assert loss.item() == pytest.approx((first + second) / 2)


def test_equal_labels_in_two_images_are_two_segments():
    embedding = torch.eye(2).reshape(2, 2, 1)  # one pixel an image, at a right angle
    loss = vmf_loss(embedding, torch.ones(2, 1, dtype=torch.int64), concentration=3.0)
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-3.0)))


@BOTH
def test_more_pixels_than_a_block_give_the_same_loss_and_gradient(name, monkeypatch):
    embedding, segments, semantic = drawn(seed=7, size=(6, 7))
    embedding.requires_grad_()
    whole = loss_of(name, embedding, segments, semantic)
    (expected,) = torch.autograd.grad(whole, embedding)
    monkeypatch.setattr(vmf, "CELLS", 40)  # a few rows a block
    parts = loss_of(name, embedding, segments, semantic)
    same(parts, whole)
    same(torch.autograd.grad(parts, embedding)[0], expected)


def test_a_large_concentration_does_not_overflow():
    embedding, segments, semantic = drawn(seed=8)
    embedding = embedding.float().requires_grad_()
    for loss in (
        vmf_loss(embedding, segments, concentration=1e4),
        vmf_n_loss(embedding, segments, semantic, concentration=1e4),
    ):
        loss.backward()
        assert loss.isfinite()
    assert embedding.grad.isfinite().all()


@BOTH
def test_well_separated_segments_have_almost_no_loss(name):
    segments = 1 + torch.arange(4).repeat(6).reshape(2, 3, 4)
    embedding = torch.eye(4)[segments - 1].movedim(-1, 1) * 7
    loss = loss_of(name, embedding[:1], segments[:1], segments[:1], concentration=30.0)
    assert loss.item() == pytest.approx(0, abs=1e-6)


# --- nothing to learn from ---------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("reduction", ["images", "pixels"])
@pytest.mark.parametrize("nothing", ["void", "no segment", "void class"])
def test_a_batch_without_segments_gives_zero_with_zero_gradient(name, reduction, nothing):
    embedding, segments, semantic = drawn()
    if nothing == "void class" and name == "vmf_n":
        semantic = torch.full_like(semantic, -1)
    else:
        segments = torch.full_like(segments, -1 if nothing == "void" else 0)
    embedding.requires_grad_()
    loss = loss_of(name, embedding, segments, semantic, reduction=reduction)
    loss.backward()
    assert loss == 0
    assert embedding.grad.eq(0).all()


@BOTH
def test_a_batch_without_images_gives_zero(name):
    nothing = torch.ones(0, 4, 5, dtype=torch.int64)
    assert loss_of(name, torch.ones(0, 3, 4, 5), nothing, nothing) == 0


def test_an_image_of_void_still_counts_in_the_mean_over_images_only():
    embedding, segments, _ = drawn(seed=9)
    segments[1] = -1
    alone = vmf_loss(embedding[:1], segments[:1])
    same(vmf_loss(embedding, segments), alone / 2)
    same(vmf_loss(embedding, segments, reduction="pixels"), alone)


# --- gradients ---------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("reduction", ["images", "pixels"])
def test_the_gradient_agrees_with_finite_differences(name, reduction):
    embedding, segments, semantic = drawn(seed=10)

    def loss(x):
        return loss_of(name, x, segments, semantic, concentration=4.0, reduction=reduction)

    assert torch.autograd.gradcheck(loss, embedding.requires_grad_())


def test_the_gradient_with_a_bank_agrees_with_finite_differences():
    embedding, segments, semantic = drawn(seed=11)
    bank, _ = held()

    def loss(x):
        return vmf_n_loss(x, segments, semantic, bank=bank)

    assert torch.autograd.gradcheck(loss, embedding.requires_grad_())


@BOTH
def test_pixels_without_a_segment_get_no_gradient(name):
    embedding, segments, semantic = drawn(seed=12)
    loss_of(name, embedding.requires_grad_(), segments, semantic).backward()
    out = (segments < 1) | ((semantic < 0) if name == "vmf_n" else (segments < 1))
    assert embedding.grad.movedim(1, -1)[out].eq(0).all()
    assert embedding.grad.movedim(1, -1)[~out].ne(0).any(-1).all()


@BOTH
def test_void_pixels_that_are_not_numbers_change_nothing(name):
    embedding, segments, semantic = drawn(seed=13)
    broken = embedding.movedim(1, -1).clone()
    broken[segments == -1] = torch.nan
    broken = broken.movedim(-1, 1).requires_grad_()
    loss = loss_of(name, broken, segments, semantic)
    same(loss, loss_of(name, embedding, segments, semantic))
    loss.backward()
    assert broken.grad.movedim(1, -1)[segments > 0].isfinite().all()


@BOTH
def test_zero_vectors_give_a_finite_loss_and_gradient(name):
    embedding, segments, semantic = drawn(seed=14)
    embedding[0] = 0
    loss = loss_of(name, embedding.requires_grad_(), segments, semantic)
    loss.backward()
    assert loss.isfinite()
    assert embedding.grad.isfinite().all()


@BOTH
def test_without_gradients_the_value_is_the_same(name):
    embedding, segments, semantic = drawn(seed=15)
    expected = loss_of(name, embedding.requires_grad_(), segments, semantic)
    with torch.no_grad():
        loss = loss_of(name, embedding, segments, semantic)
    assert not loss.requires_grad
    assert torch.equal(loss, expected)


def test_a_second_derivative_is_refused_rather_than_wrong():
    embedding, segments, _ = drawn(seed=16)
    loss = vmf_loss(embedding.requires_grad_(), segments)
    (gradient,) = torch.autograd.grad(loss, embedding, create_graph=True, retain_graph=True)
    torch.testing.assert_close(gradient, torch.autograd.grad(loss, embedding)[0])
    with pytest.raises(CongealError, match="expected a first derivative only"):
        gradient.square().sum().backward()


@BOTH
def test_a_descent_along_the_gradient_sorts_the_pixels(name):
    generator = torch.Generator().manual_seed(0)
    embedding = torch.randn(1, 3, 6, 6, generator=generator).requires_grad_()
    segments = 1 + (torch.arange(36) % 6).reshape(1, 6, 6)
    semantic = segments % 2  # three segments of each class
    optimiser = torch.optim.Adam([embedding], lr=0.1)
    losses = []
    for _ in range(40):
        optimiser.zero_grad()
        losses.append(loss_of(name, embedding, segments, semantic))
        losses[-1].backward()
        optimiser.step()
    assert losses[-1] < 0.4 * losses[0]


# --- sampling ----------------------------------------------------------------------------------


@BOTH
def test_as_many_samples_as_pixels_change_nothing(name):
    embedding, segments, semantic = drawn(seed=17)
    how = {"samples": segments[0].numel()}
    same(
        loss_of(name, embedding, segments, semantic, **how),
        loss_of(name, embedding, segments, semantic),
    )


def test_the_mean_over_many_draws_is_the_loss():
    embedding, segments, _ = drawn(seed=18, size=(12, 12))
    generator = torch.Generator().manual_seed(0)
    how = {"samples": 20, "generator": generator}
    draws = torch.stack([vmf_loss(embedding, segments, **how) for _ in range(100)])
    assert draws.std() > 0
    assert (draws.mean() - vmf_loss(embedding, segments)).abs() < draws.std() / 3


def test_each_image_draws_its_samples_and_a_seed_repeats_them():
    image = torch.arange(3).repeat_interleave(torch.tensor([50, 4, 30]))
    first, again, other = (
        vmf._drawn(image, 10, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.bincount(image[first]).tolist() == [10, 4, 10]
    assert len(first.unique()) == 24
    assert torch.equal(first, again)
    assert not torch.equal(first.sort().values, other.sort().values)
