"""Choice of the training settings that the user left open, by the images and the clock."""

from __future__ import annotations

from collections.abc import Callable

from congeal.clock import now
from congeal.data.sample import Dataset
from congeal.errors import CongealError
from congeal.methods.method import Method
from congeal.processes import from_first
from congeal.training.adapt import crop_range, suggest_crop, suggest_sampling_power
from congeal.training.budget import expectation_lines, fit_to_time, is_timed
from congeal.training.config import TrainConfig
from congeal.training.machine import is_on_cpu
from congeal.training.plan import Plan

__all__ = ["fit_settings"]


def fit_settings(
    plan: Plan,
    training: Dataset,
    model: Method,
    start_time: float,
    on_line: Callable[[str], None],
) -> TrainConfig:
    """Choose image sampling, crop and batch size where the user left them open.

    Args:
        plan: plan of the training.
        training: training images.
        model: model to train; unchanged.
        start_time: time by :func:`congeal.clock.now` at which the training minutes begin.
        on_line: called with each choice as a line of text.

    Returns:
        The complete settings of the training.

    Raises:
        CongealError: the crop given is not a multiple of the network's divisor, or too small.
    """
    config = plan.training
    given = set(config.model_fields_set)
    if config.object_sampling_power is None:
        power = suggest_sampling_power(training, model) if config.cache_gb else 0.0
        config = config.model_copy(update={"object_sampling_power": power})
    if config.crop is not None:
        _check_crop(config, model)
    small = is_on_cpu(config.device)
    if is_timed(config, given):
        assert config.max_minutes is not None
        crops = crop_range(training, model, small=small) if config.crop is None else (0, 0)
        seconds = 60 * config.max_minutes - (now() - start_time)
        # All processes measure at the same time, as they will train; the first one decides.
        fitted = fit_to_time(config, given, model, training, crops, seconds)
        config, updates = from_first(fitted)
        for line in expectation_lines(config, updates, plan.start):
            on_line(line)
    elif config.crop is None:
        crop = suggest_crop(training, model, small=small)
        config = config.model_copy(update={"crop": crop})
    return config


def _check_crop(config: TrainConfig, model: Method) -> None:
    assert config.crop is not None
    if config.crop % model.divisor:
        raise CongealError(f"crop: expected a multiple of {model.divisor}, got {config.crop}")
    if config.crop == model.divisor and config.batch_size == 1:
        raise CongealError(
            f"crop: expected at least {2 * model.divisor} with batches of one, got {config.crop}"
        )
