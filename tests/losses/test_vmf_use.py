"""SegSort's losses in use: precision, compilation, input that does not fit, the Modules."""

from __future__ import annotations

import math

import pytest
import torch
from cases.vmf_cases import BOTH, drawn, loss_of, same

from congeal.errors import CongealError
from congeal.losses import (
    PrototypeBank,
    VMFLoss,
    VMFNLoss,
    segment_prototypes,
    vmf_n_loss,
)


@BOTH
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_worked_in_float32(name, dtype):
    embedding, segments, semantic = drawn(seed=19, dimensions=16)
    half = embedding.to(dtype).requires_grad_()
    single = half.detach().float().requires_grad_()
    loss, expected = (loss_of(name, x, segments, semantic) for x in (half, single))
    loss.backward()
    expected.backward()
    assert loss.dtype == torch.float32
    assert torch.equal(loss, expected)
    torch.testing.assert_close(half.grad, single.grad.to(dtype))


@BOTH
def test_autocast_does_not_lower_the_precision(name):
    embedding, segments, semantic = drawn(seed=20, dimensions=16)
    embedding = embedding.float().requires_grad_()
    expected = loss_of(name, embedding, segments, semantic)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = loss_of(name, embedding, segments, semantic)
    assert torch.equal(loss, expected)
    (gradient,) = torch.autograd.grad(loss, embedding)
    assert torch.equal(gradient, torch.autograd.grad(expected, embedding)[0])


@BOTH
def test_a_compiled_loss_is_the_loss(name):
    embedding, segments, semantic = drawn(seed=21)
    embedding.requires_grad_()
    compiled = torch.compile(loss_of, backend="aot_eager")
    loss, expected = (f(name, embedding, segments, semantic) for f in (compiled, loss_of))
    same(loss, expected)
    same(*(torch.autograd.grad(x, embedding)[0] for x in (loss, expected)))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
def test_maps_of_any_integer_type_are_taken(dtype):
    embedding, segments, semantic = drawn(seed=22)
    segments, semantic = segments.clamp(min=0), semantic.clamp(min=0)
    loss = vmf_n_loss(embedding, segments.to(dtype), semantic.to(dtype))
    same(loss, vmf_n_loss(embedding, segments, semantic))


@BOTH
@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        ((1, 5, 4), torch.int64, r"expected embedding \(B, D, \*S\) and segments \(B, \*S\)"),
        ((4, 5), torch.int64, r"expected embedding \(B, D, \*S\) and segments \(B, \*S\)"),
        ((1, 4, 5), torch.float32, "expected segments of an integer type"),
    ],
)
def test_segments_that_do_not_fit_are_told_in_one_line(name, shape, dtype, message):
    embedding, segments = torch.ones(1, 3, 4, 5), torch.ones(shape, dtype=dtype)
    semantic = torch.ones(1, 4, 5, dtype=torch.int64)
    with pytest.raises(CongealError, match=message) as error:
        loss_of(name, embedding, segments, semantic)
    assert "\n" not in str(error.value)


def test_classes_that_do_not_fit_are_told_by_name():
    whole = torch.ones(1, 4, 5, dtype=torch.int64)
    with pytest.raises(CongealError, match=r"and semantic \(B, \*S\), got"):
        vmf_n_loss(torch.ones(1, 3, 4, 5), whole, whole.mT)


@BOTH
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"concentration": -1.0}, "expected a concentration above 0, got -1.0"),
        ({"concentration": math.nan}, "expected a concentration above 0, got nan"),
        ({"samples": 0}, "expected at least 1 sample, got 0"),
        ({"reduction": "image"}, "unknown reduction 'image'; did you mean 'images'"),
    ],
)
def test_values_outside_their_range_are_refused(name, how, message):
    with pytest.raises(CongealError, match=message):
        loss_of(name, *drawn(), **how)


def test_a_bank_of_another_dimension_is_refused():
    bank = PrototypeBank()
    bank.push(torch.eye(4), torch.zeros(4, dtype=torch.int64))
    with pytest.raises(CongealError, match="expected prototypes of dimension 4"):
        vmf_n_loss(*drawn(), bank=bank)


@BOTH
def test_the_module_is_the_function(name):
    maps = drawn(seed=23)
    how = {"concentration": 3.0, "background": True, "samples": 5, "reduction": "pixels"}
    seeds = [torch.Generator().manual_seed(1) for _ in range(2)]
    module = VMFLoss(**how) if name == "vmf" else VMFNLoss(**how)
    loss = module(*(maps[:2] if name == "vmf" else maps), seeds[0])
    same(loss, loss_of(name, *maps, generator=seeds[1], **how))


def test_the_module_remembers_the_batches_before():
    loss, bank = VMFNLoss(memory=2), PrototypeBank(2)
    for seed in range(5):
        maps = drawn(seed)
        same(loss(*maps), vmf_n_loss(*maps, bank=bank))
        bank.push(*segment_prototypes(*maps)[:2])
        assert torch.equal(loss.bank.prototypes, bank.prototypes)
    assert len(bank.sizes) == 2


def test_the_module_learns_nothing_by_heart_in_evaluation():
    loss = VMFNLoss()
    loss(*drawn(0))
    count = len(loss.bank)
    loss.eval()
    same(loss(*drawn(1)), vmf_n_loss(*drawn(1), bank=loss.bank))
    assert len(loss.bank) == count


def test_the_gradient_does_not_reach_an_earlier_batch():
    loss = VMFNLoss()
    first, *maps = drawn(0)
    first.requires_grad_()
    loss(first, *maps)
    second, *maps = drawn(1)
    loss(second.requires_grad_(), *maps).backward()
    assert first.grad is None
    assert second.grad is not None
