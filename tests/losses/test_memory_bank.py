"""The memory bank: first in, first out, without gradient, and kept with the model."""

from __future__ import annotations

import copy

import pytest
import torch

from congeal.errors import CongealError
from congeal.losses import PrototypeBank, VMFNLoss


def batch(number, count=3, dimensions=4):
    """Prototypes that tell which batch they are from, and their classes."""
    return torch.full((count, dimensions), float(number)), torch.full((count,), number)


def filled(*numbers, batches=2):
    bank = PrototypeBank(batches)
    for number in numbers:
        bank.push(*batch(number, count=number))
    return bank


def test_a_new_bank_is_empty():
    bank = PrototypeBank()
    prototypes, classes = bank.read(torch.ones(5, 4))
    assert len(bank) == 0
    assert prototypes.shape == (0, 4)
    assert classes.shape == (0,)


@pytest.mark.parametrize("batches", [0, 1, 2, 3, 9])
def test_the_last_batches_are_held_oldest_first(batches):
    bank = filled(1, 2, 3, 4, batches=batches)
    expected = [n for n in (1, 2, 3, 4)[max(4 - batches, 0) :] for _ in range(n)]
    assert bank.classes.tolist() == expected
    assert bank.prototypes[:, 0].tolist() == expected
    assert len(bank) == len(expected)


def test_a_batch_without_segments_counts_as_a_batch():
    bank = filled(1, 2)
    bank.push(*batch(0, count=0))
    assert bank.classes.tolist() == [2, 2]
    bank.push(*batch(0, count=0))
    assert len(bank) == 0
    bank.push(*batch(3, dimensions=7))
    assert bank.prototypes.shape == (3, 7)


def test_nothing_held_has_a_gradient_or_changes_with_what_was_pushed():
    prototypes, classes = batch(1)
    prototypes.requires_grad_()
    bank = PrototypeBank()
    bank.push(prototypes * 1, classes)
    bank.push(prototypes, classes)
    with torch.no_grad():
        prototypes.fill_(9)
    assert not bank.prototypes.requires_grad
    assert bank.prototypes.eq(1).all()
    assert not list(bank.parameters())


def test_a_bank_survives_its_state_dict():
    bank, other = filled(2, 3), filled(5)
    other.load_state_dict(bank.state_dict())
    for name, value in bank.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)
    bank.push(*batch(4))
    other.push(*batch(4))
    assert torch.equal(other.classes, bank.classes)


def test_loading_leaves_the_bank_it_came_from_alone():
    bank, other = filled(2), PrototypeBank()
    other.load_state_dict(bank.state_dict())
    other.prototypes.fill_(-1)
    assert bank.prototypes.eq(2).all()


def test_a_bank_inside_a_loss_survives_with_it():
    loss, other = VMFNLoss(memory=2), VMFNLoss(memory=2)
    loss.bank.push(*batch(3))
    other.load_state_dict(loss.state_dict())
    assert torch.equal(other.bank.prototypes, loss.bank.prototypes)


def test_a_shorter_bank_keeps_the_youngest_of_what_it_loads():
    short = PrototypeBank(batches=1)
    short.load_state_dict(filled(1, 2).state_dict())
    assert short.classes.tolist() == [2, 2]


def test_a_state_dict_that_lacks_a_part_is_told():
    state = filled(1).state_dict()
    del state["classes"]
    with pytest.raises(RuntimeError, match="classes"):
        PrototypeBank().load_state_dict(state)


def test_a_reset_bank_is_empty_and_takes_any_dimension():
    bank = filled(1, 2)
    bank.reset()
    assert len(bank) == 0
    assert len(bank.sizes) == 0
    bank.push(*batch(1, dimensions=9))
    assert bank.prototypes.shape == (3, 9)


def test_what_is_read_has_the_type_of_the_prototypes_it_joins():
    prototypes, _ = filled(2).read(torch.ones(1, 4, dtype=torch.float64))
    assert prototypes.dtype == torch.float64


def test_a_bank_can_be_copied_and_moved():
    bank = copy.deepcopy(filled(1, 2)).to(torch.float64)
    assert bank.prototypes.dtype == torch.float64
    assert bank.classes.dtype == torch.int64
    assert bank.classes.tolist() == [1, 2, 2]


def test_prototypes_of_another_dimension_are_refused():
    bank = filled(2)
    with pytest.raises(CongealError, match="expected prototypes of dimension 4, as the bank"):
        bank.push(*batch(1, dimensions=5))
    assert bank.classes.tolist() == [2, 2]


@pytest.mark.parametrize(("prototypes", "classes"), [((3, 4), (4,)), ((3,), (3,)), ((3, 4), ())])
def test_shapes_that_do_not_fit_are_refused(prototypes, classes):
    with pytest.raises(CongealError, match=r"expected prototypes \(K, D\) and classes \(K,\)"):
        PrototypeBank().push(torch.ones(prototypes), torch.ones(classes, dtype=torch.int64))


def test_a_negative_number_of_batches_is_refused():
    with pytest.raises(CongealError, match="at least 0, got -1"):
        PrototypeBank(-1)
