"""Alone, everything that processes share is the plain computation."""

import pytest
import torch
from torch import nn

from congeal import processes
from congeal.errors import CongealError
from congeal.processes import (
    SharedBatchNorm,
    batch_shared,
    from_first,
    gather_rows,
    is_lost,
    join,
    mean_of_all,
    rank,
    shared_count,
    world_size,
)


@pytest.fixture
def one_of_one(tmp_path, monkeypatch):
    """A group of one process, which the functions for several take for several."""
    from torch import distributed

    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/f", rank=0, world_size=1)
    monkeypatch.setattr(processes._Shared, "group", distributed.group.WORLD)
    monkeypatch.setattr(processes._Shared, "joined", True)
    yield
    distributed.destroy_process_group()


def norms():
    torch.manual_seed(0)
    for shape, kind in (((6, 3), nn.BatchNorm1d), ((2, 3, 4, 5), nn.BatchNorm2d)):
        for how in ({}, {"affine": False}, {"track_running_stats": False}, {"momentum": None}):
            yield kind(3, **how).double(), torch.randn(shape).double().requires_grad_()


def test_shared_batch_norm_is_batch_norm_where_there_is_one_process(one_of_one):
    for layer, image in norms():
        twin, its = type(layer)(3, layer.eps, layer.momentum, layer.affine), image.detach().clone()
        twin = twin.double() if layer.running_mean is not None else None
        expected = nn.functional.batch_norm(
            image, None, None, layer.weight, layer.bias, True, 0.1, layer.eps
        )
        with batch_shared():
            found = layer(its.requires_grad_())
        torch.testing.assert_close(found, expected)
        weights = torch.randn_like(found)
        (found * weights).sum().backward()
        (expected * weights).sum().backward()
        torch.testing.assert_close(its.grad, image.grad)
        if twin is not None:
            twin(image.detach())
            torch.testing.assert_close(dict(layer.named_buffers()), dict(twin.named_buffers()))


def test_layers_in_evaluation_mode_are_left_alone(one_of_one):
    layer, image = nn.BatchNorm2d(3).eval(), torch.randn(2, 3, 4, 4)
    with batch_shared():
        torch.testing.assert_close(layer(image), layer(image))
    assert int(layer.num_batches_tracked) == 0


def test_half_precision_is_normalised_in_float32(one_of_one):
    image = 1000 + torch.randn(4, 2, 8, 8)
    with batch_shared():
        found = nn.BatchNorm2d(2)(image.bfloat16())
    assert found.dtype == torch.bfloat16
    assert float(found.detach().float().std()) == pytest.approx(1, abs=0.1)


def test_gathered_rows_hand_their_gradient_back(one_of_one):
    rows = torch.randn(3, 2, requires_grad=True)
    with batch_shared():
        (table,), first = gather_rows(rows)
    assert first == 0
    torch.testing.assert_close(table, rows)
    (table * torch.arange(6.0).reshape(3, 2)).sum().backward()
    torch.testing.assert_close(rows.grad, torch.arange(6.0).reshape(3, 2))


def test_counts_are_at_least_one_as_before(one_of_one):
    count = torch.tensor([0, 5])
    alone = shared_count(count)
    with batch_shared():
        assert shared_count(count).tolist() == alone.tolist() == [1, 5]
        assert shared_count(count, minimum=0).tolist() == [0, 5]


def test_alone_nothing_is_exchanged(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR"):
        monkeypatch.delenv(name, raising=False)
    assert not join()
    assert (rank(), world_size()) == (0, 1)
    with batch_shared():
        assert from_first("x") == "x"
        assert mean_of_all(torch.ones(2)).tolist() == [1, 1]
        assert gather_rows(torch.ones(2, 1))[1] == 0


def test_functions_other_than_batch_norm_are_as_ever():
    with SharedBatchNorm():
        assert float(torch.relu(torch.tensor(-1.0)) + nn.functional.gelu(torch.tensor(0.0))) == 0


def test_an_environment_without_numbers_is_told():
    odd = {"RANK": "x", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost"}
    with pytest.raises(CongealError, match="environment variable RANK, got 'x'"):
        rank(odd)


def test_errors_of_lost_processes_are_known_by_what_gloo_says():
    assert is_lost(RuntimeError("[x/gloo/transport/tcp/pair.cc:598] Connection closed by peer"))
    assert not is_lost(RuntimeError("shapes differ"))
    assert not is_lost(ValueError("Connection closed by peer"))
