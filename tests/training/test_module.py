import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from congeal.methods.rpe import RPE
from congeal.training.config import TrainConfig
from congeal.training.module import Trainee, poly_rate
from congeal.training.muon import Muon, is_matrix


def test_the_rate_rises_in_a_line_then_falls_to_zero():
    rates = [poly_rate(0.0, step, power=0.9, warmup=4) for step in range(6)]
    assert rates == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert poly_rate(0.5, 100, power=0.9, warmup=4) == pytest.approx(0.5**0.9)
    assert poly_rate(1.0, 100, power=0.9, warmup=4) == 0
    assert poly_rate(0.7, 0, power=0, warmup=0) == 1


@given(
    a=st.floats(0, 1.5), b=st.floats(0, 1.5), step=st.integers(0, 10**6), power=st.floats(0.1, 3)
)
def test_the_rate_never_rises_with_progress_and_stays_between_0_and_1(a, b, step, power):
    first, second = (poly_rate(p, step, power=power, warmup=50) for p in sorted((a, b)))
    assert 1 >= first >= second >= 0


def trainee(model, **settings):
    return Trainee(model, TrainConfig(**settings), total_steps=10)


def test_norms_and_biases_do_not_decay_and_the_encoder_has_its_own_rate():
    model = RPE(dimensions=4)
    optimizer = trainee(model, weight_decay=0.3, encoder_rate=0.1).configure_optimizers()
    encoder = {id(p) for p in model.network.encoder.parameters()}
    seen = set()
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            assert group["weight_decay"] == (0.3 if parameter.ndim > 1 else 0.0)
            assert group["share"] == (0.1 if id(parameter) in encoder else 1.0)
            seen.add(id(parameter))
    assert seen == {id(p) for p in model.parameters()}


def test_what_is_frozen_is_not_optimised():
    model = RPE(dimensions=4, encoder="resnet10t", freeze_norm=True)
    optimizer = trainee(model, optimizer="sgd").configure_optimizers()
    assert isinstance(optimizer, torch.optim.SGD)
    assert all(p.requires_grad for group in optimizer.param_groups for p in group["params"])


def test_muon_takes_the_matrices_and_keeps_decay_and_rates():
    model = RPE(dimensions=4)
    optimizer = trainee(
        model, optimizer="muon", weight_decay=0.3, encoder_rate=0.1
    ).configure_optimizers()
    assert isinstance(optimizer, Muon)
    encoder = {id(p) for p in model.network.encoder.parameters()}
    groups = [(group, p) for group in optimizer.param_groups for p in group["params"]]
    assert {id(p) for _, p in groups} == {id(p) for p in model.parameters()}
    for group, parameter in groups:
        assert group["orthogonal"] == is_matrix(parameter)
        assert group["weight_decay"] == (0.3 if parameter.ndim > 1 else 0.0)
        assert group["share"] == (0.1 if id(parameter) in encoder else 1.0)


def test_the_time_for_tuning_is_not_trained_in():
    module = Trainee(RPE(dimensions=4), TrainConfig(max_minutes=1, tuning_share=0.25), None)
    module.seconds_before = 22.5
    assert module.progress == 0.5
    module.seconds_before = 45.0
    assert module.progress == 1


def test_progress_is_that_of_the_clock_when_only_the_clock_counts():
    settings = TrainConfig(max_minutes=1, tuning_share=0)
    module = Trainee(RPE(dimensions=4), settings, total_steps=None)
    module.seconds_before = 30.0
    assert module.progress == 0.5  # making ready takes none of the time
    module.on_train_start()
    assert 0.5 < module.progress < 0.6
    module.seconds_before = 90.0
    assert module.progress == 1
