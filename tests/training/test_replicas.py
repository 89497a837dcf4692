"""Replicas: what threads compute apart is what one would have computed alone."""

import os
import signal
import threading

import pytest
import torch
from torch import nn

from congeal.errors import CongealError
from congeal.methods.rpe import RPE
from congeal.models.config import read_config
from congeal.models.folder import load
from congeal.training.config import train_config
from congeal.training.machine import choose_replicas
from congeal.training.replicas import Replicas, uses_dropout


def deep():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)).double()


def terms(model, image, target):
    found = model(image)
    return {"square": (found - target).square().mean(), "size": 0.1 * found.abs().mean()}


@pytest.fixture
def replicas():
    made = []

    def make(*args, **settings):
        made.append(Replicas(*args, **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_gradients_are_those_of_the_mean_over_the_batch(replicas, count):
    model = deep()
    image, target = torch.randn(6, 3).double(), torch.randn(6, 2).double()
    whole = terms(model, image, target)
    sum(whole.values()).backward()
    expected = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    parts = list(zip(image.chunk(count), target.chunk(count), strict=True))
    found = replicas(model, count).forward(terms, parts)
    assert list(found) == list(whole)
    for name, value in found.items():
        torch.testing.assert_close(value.detach(), whole[name].detach())
    (sum(found.values()) / 4).backward()  # as where four batches are gathered
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient / 4)


def test_gradients_add_up_until_they_are_cleared(replicas):
    model = deep()
    image, target = torch.randn(4, 3).double(), torch.randn(4, 2).double()
    both = replicas(model, 2)
    parts = list(zip(image.chunk(2), target.chunk(2), strict=True))
    both.forward(terms, parts)["square"].backward()
    once = [p.grad.clone() for p in model.parameters()]
    both.forward(terms, parts)["square"].backward()
    for parameter, gradient in zip(model.parameters(), once, strict=True):
        torch.testing.assert_close(parameter.grad, 2 * gradient)


def test_every_replica_sees_the_parameters_after_an_update(replicas):
    model = nn.Linear(1, 1, bias=False)
    both = replicas(model, 2)

    def value(model):
        return {"weight": model.weight.sum()}

    optimiser = torch.optim.AdamW(model.parameters(), lr=0.5, fused=True)
    for _ in range(3):
        optimiser.zero_grad()
        found = both.forward(value, [(), ()])["weight"]
        assert found.item() == pytest.approx(model.weight.item())
        found.backward()
        optimiser.step()


def test_each_replica_has_a_thread_of_its_own_with_its_part_of_the_cores(replicas):
    seen, meet = set(), threading.Barrier(2, timeout=20)

    def look(model):
        meet.wait()  # only ever passed when both are here
        seen.add((threading.get_ident(), torch.get_num_threads()))
        return {"weight": model.weight.sum()}

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        replicas(nn.Linear(1, 1), 2).forward(look, [(), ()])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert len(seen) == 2
    assert {cores for _, cores in seen} == {1}


def test_frozen_parameters_and_terms_without_gradient_do_no_harm(replicas):
    model = deep()
    model[0].weight.requires_grad_(False)

    def some(model, image):
        return {"mean": model(image).mean(), "constant": image.mean()}

    found = replicas(model, 2).forward(some, [(torch.ones(1, 3).double(),)] * 2)
    sum(found.values()).backward()
    assert model[0].weight.grad is None
    assert model[2].weight.grad is not None


@pytest.mark.parametrize("training", [True, False])
def test_copies_train_where_the_model_does(replicas, training):
    model = nn.Sequential(nn.BatchNorm1d(1)).train(not training)
    both = replicas(model, 2)
    model.train(training)

    def look(model):
        modes.append(model[0].training)
        return {"weight": model[0].weight.sum()}

    modes = []
    both.forward(look, [(), ()])
    assert modes == [training, training]


def test_what_a_replica_raises_comes_out(replicas):
    def fail(model):
        raise CongealError("no such thing")

    with pytest.raises(CongealError, match="no such thing"):
        replicas(deep(), 2).forward(fail, [(), ()])


def test_a_training_in_replicas_has_the_same_weights_every_time(brief, tmp_path):
    settings = {"batch_size": 4, "cpu_replicas": 2, "epochs": 2}
    first, second = (load(brief(tmp_path / name, **settings)).state_dict() for name in "ab")
    assert all(torch.equal(first[name], second[name]) for name in first)
    whole = load(brief(tmp_path / "c", **settings | {"cpu_replicas": 1})).state_dict()
    assert not all(torch.equal(first[name], whole[name]) for name in first)


def test_a_training_in_replicas_resumes_to_the_same_weights(brief, eventful, tmp_path):
    settings = {"batch_size": 4, "cpu_replicas": 2, "accumulate": 2, "epochs": 3}
    whole = load(brief(tmp_path / "whole", **settings)).state_dict()
    interrupt = eventful({12: lambda: os.kill(os.getpid(), signal.SIGINT)})
    broken = brief(tmp_path / "broken", interrupt, **settings)
    assert read_config(broken).training["steps"] < 6
    found = load(brief(broken, resume=True, **settings)).state_dict()
    assert all(torch.equal(found[name], whole[name]) for name in whole)


@pytest.mark.parametrize(
    ("batch", "threads", "settings", "expected"),
    [
        (8, 2, {}, 2),
        (8, 1, {}, 1),
        (4, 2, {}, 1),
        (32, 6, {}, 4),
        (4, 2, {"cpu_replicas": 2}, 2),
        (8, 2, {"devices": 2}, 1),
        (8, 2, {"nodes": 3}, 1),
    ],
)
def test_a_batch_has_as_many_parts_as_cores_where_that_leaves_four_images(
    batch, threads, settings, expected
):
    config = train_config({"batch_size": batch, "threads": threads, "device": "cpu", **settings})
    assert choose_replicas(config, RPE(dimensions=4)) == expected


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"cpu_replicas": 3}, "a divisor of the batch size 8, got 3"),
        ({"cpu_replicas": 2, "devices": 2}, "1 on a GPU or with several processes, got 2"),
        ({"cpu_replicas": 2, "device": "cuda"}, "1 on a GPU or with several processes, got 2"),
    ],
)
def test_replicas_that_do_not_fit_are_told(settings, told):
    with pytest.raises(CongealError, match=told):
        choose_replicas(train_config({"device": "cpu", **settings}), RPE(dimensions=4))


def test_layers_that_drop_out_are_noticed_where_they_do():
    assert uses_dropout(nn.Sequential(nn.Linear(1, 1), nn.Dropout2d(0.1)))
    assert not uses_dropout(RPE(dimensions=4))


def test_a_loss_that_compares_images_of_a_batch_is_never_divided():
    class Comparing(RPE):
        couples_batch = True

    model, wide = Comparing(dimensions=4), {"batch_size": 8, "threads": 2, "device": "cpu"}
    assert choose_replicas(train_config(wide), model) == 1
    with pytest.raises(CongealError, match=r"cpu_replicas: expected 1, .* compares images"):
        choose_replicas(train_config({**wide, "cpu_replicas": 2}), model)
