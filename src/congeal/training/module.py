"""The training step as a Lightning module: losses, stages, learning rate, clock, checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import lightning
import torch
from torch import Tensor, nn

from congeal.clock import now
from congeal.data.batch import Batch
from congeal.methods.method import Method, Stage
from congeal.processes import batch_shared, from_first, mean_of_all
from congeal.randomness import BatchGenerator
from congeal.training.checkpoint import (
    OPTIMIZER,
    PREPARED,
    RESERVE,
    RUN,
    SECONDS,
    STAGE,
    require_fit,
    require_same_run,
)
from congeal.training.config import TrainConfig
from congeal.training.machine import choose_precision
from congeal.training.muon import Muon
from congeal.training.replicas import Replicas
from congeal.training.stages import StageClock
from congeal.training.stream import seeded_generator

__all__ = ["Trainee", "poly_rate"]

MIN_STEP_SHARE = 0.1  # of the minutes for update steps, however long everything else takes


def poly_rate(progress: float, step: int, *, power: float, warmup: int) -> float:
    """Factor on the highest learning rate: min(1, (step + 1) / warmup) * (1 - progress)^power.

    Args:
        progress: share of the training done, 0 to 1.
        step: update steps done.
        power: exponent of the decay.
        warmup: update steps of the linear warm-up; 0: none.

    Example:
        >>> poly_rate(0.0, 4, power=0.9, warmup=10), poly_rate(1.0, 99, power=0.9, warmup=10)
        (0.5, 0.0)
    """
    warm = min(1.0, (step + 1) / max(warmup, 1))
    return float(warm * max(0.0, 1.0 - progress) ** power)


class Trainee(lightning.LightningModule):
    """A method under training, with its losses, stages, optimiser and clock.

    Args:
        model: the method.
        config: settings of the training.
        total_steps: number of update steps, or None when only the clock ends the training.
        parts: number of CPU replicas that a batch is split over.
        run: data and settings that a resumed training must share with this one.
        start_time: time by :func:`congeal.clock.now` at which the training minutes begin; None:
            at the first update step.
    """

    def __init__(
        self,
        model: Method,
        config: TrainConfig,
        total_steps: int | None,
        parts: int = 1,
        run: Mapping[str, Any] | None = None,
        start_time: float | None = None,
    ) -> None:
        super().__init__()
        self.start_time = start_time
        self.model = model
        self.settings = config.with_optimizer(model.default_optimizer)
        self.highest_rate = self.settings.learning_rate or 0.0
        self.total_steps = total_steps
        self.run = dict(run or {})
        self.stages = StageClock(model.stages())
        self.seconds_before = 0.0  # of earlier runs of a resumed training
        self.first_step_time: float | None = None
        self.last_step_time: float | None = None  # end of the last step
        self.prepared = 0.0  # seconds before the first step; they count towards the minutes
        minutes = self.settings.max_minutes or 0.0
        # Seconds for what follows the last step: validation, fitting, tuning.
        self.reserve = 60 * minutes * self.settings.tuning_share
        self.rate = 0.0  # learning rate of this step
        self.step_progress = 0.0  # progress at this step, the same in all processes
        self.terms: dict[str, Tensor] = {}  # loss terms of the last step
        self.parts = parts
        self.replicas: Replicas | None = None

    @property
    def seconds(self) -> float:
        """Seconds since the first step, earlier runs included; 0 before the first step."""
        if self.first_step_time is None:
            return self.seconds_before
        return self.seconds_before + now() - self.first_step_time

    @property
    def spent(self) -> float:
        """Seconds from the first to the last step, earlier runs included."""
        if self.first_step_time is None or self.last_step_time is None:
            return self.seconds_before
        return self.seconds_before + self.last_step_time - self.first_step_time

    @property
    def progress(self) -> float:
        """Share of the training done, 0 to 1: the larger of the shares of steps and of time."""
        shares = [0.0]
        if self.total_steps:
            shares.append(self.global_step / self.total_steps)
        if self.settings.max_minutes:
            shares.append(self.seconds / self._step_seconds(60 * self.settings.max_minutes))
        return min(1.0, max(shares))

    def _step_seconds(self, total: float) -> float:
        """Seconds for update steps: the total without preparation and reserve."""
        return max(total - self.prepared - self.reserve, MIN_STEP_SHARE * total)

    @property
    def stage(self) -> Stage:
        """The current stage."""
        return self.stages.current

    def on_train_start(self) -> None:
        """Start the clock and the replicas."""
        self.first_step_time = now()
        if self.start_time is not None:
            self.prepared += self.first_step_time - self.start_time
        if self.parts > 1:  # parameters no longer move in memory, so replicas can share them
            self.replicas = Replicas(self.model, self.parts)

    def close(self) -> None:
        """End the threads of the replicas."""
        if self.replicas is not None:
            self.replicas.close()
            self.replicas = None

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Set the stage and the learning rate of this step, the same in all processes."""
        del batch, batch_idx
        self.step_progress = from_first(self.progress)  # the clocks of the processes differ
        self.stages.move_to(self.step_progress, self.global_step)
        self.stages.apply(self.models)
        factor = poly_rate(
            self.stages.progress(self.step_progress),
            self.global_step - self.stages.first_step,
            power=self.settings.power,
            warmup=self.settings.warmup,
        )
        self.rate = self.highest_rate * factor
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.rate * group["share"]

    @property
    def models(self) -> list[Method]:
        """The model and its replicas."""
        return [self.model] if self.replicas is None else list(self.replicas.copies)  # type: ignore[arg-type]

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Sum of the loss terms on this process's part of the batch, a scalar."""
        progress = self.stages.progress(self.step_progress)
        compute = partial(self._terms, self.stage.name, progress)
        generators = self._generators(batch_idx, len(batch))
        if self.replicas is None:
            with batch_shared():
                terms = compute(self.model, batch, generators[0])
        else:
            parts = list(zip(batch.chunk(self.parts), generators, strict=True))
            terms = self.replicas.forward(compute, parts)
        values = torch.stack(list(terms.values()))
        means = mean_of_all(values)
        self.terms = dict(zip(terms, means, strict=True)) | {"loss": means.sum()}
        return values.sum()

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Record the time."""
        del outputs, batch, batch_idx
        self.last_step_time = now()

    def _terms(
        self,
        stage: str,
        progress: float,
        model: Method,
        batch: Batch,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        batch = batch.channels_last()
        # Autocast is a state of the thread, and each replica computes in a thread of its own.
        with self.trainer.precision_plugin.forward_context():
            return model.losses(batch, stage=stage, progress=progress, generator=generator)

    def _generators(self, batch_idx: int, count: int) -> list[BatchGenerator]:
        """A random generator for each part of the batch, with one for each of its images.

        An image's generator is seeded by the number of its sample. Random numbers are therefore
        the same in a resumed training, and however the batch is divided over processes or replicas.
        """
        seed, world, c = self.settings.seed, self.trainer.world_size, self.settings
        number = self.global_step * c.accumulate + batch_idx % c.accumulate
        draws = [(number * count + k) * world + self.global_rank for k in range(count)]
        images = [seeded_generator(seed, draw, 4) for draw in draws]
        part_seeds = [
            seeded_generator(seed, number, self.global_rank * self.parts + part, 3).initial_seed()
            for part in range(self.parts)
        ]
        torch.manual_seed(part_seeds[-1])  # for dropout layers
        size = count // self.parts
        return [
            BatchGenerator(part_seed, images[part * size : (part + 1) * size])
            for part, part_seed in enumerate(part_seeds)
        ]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW, SGD or Muon; norms and biases without weight decay; the encoder's own rate."""
        c = self.settings
        groups = _parameter_groups(self.model, c.weight_decay, c.encoder_rate)
        if c.optimizer == "sgd":
            return torch.optim.SGD(groups, lr=self.highest_rate, momentum=0.9)
        # The fused update takes a third of the time on a CPU. On a GPU and under mixed precision
        # Lightning does not support gradient clipping with it.
        on_cpu = all(p.device.type == "cpu" for p in self.model.parameters())
        fused = on_cpu and choose_precision(c) == "32-true"
        if c.optimizer == "muon":
            return Muon(groups, lr=self.highest_rate, fused=fused)
        return torch.optim.AdamW(groups, lr=self.highest_rate, fused=fused)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the clock, the stage, the name of the optimiser, and data and settings."""
        checkpoint[SECONDS] = self.spent
        checkpoint[PREPARED] = self.prepared
        checkpoint[RESERVE] = self.reserve
        checkpoint[OPTIMIZER] = self.settings.optimizer
        checkpoint[STAGE] = self.stages.state()
        checkpoint[RUN] = self.run

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the clock and the stage.

        Raises:
            CongealError: the checkpoint is of another model, optimiser, data or settings.
        """
        optimizer = self.settings.optimizer
        stored = str(checkpoint.get(OPTIMIZER, optimizer))
        variable = {f"model.{name}" for name in self.model.variable_buffers}
        require_fit(checkpoint["state_dict"], self.state_dict(), (stored, optimizer), variable)
        require_same_run(checkpoint.get(RUN, {}), self.run)
        self.stages.load(checkpoint.get(STAGE))
        self.seconds_before = float(checkpoint[SECONDS])
        self.prepared = float(checkpoint.get(PREPARED, 0.0))
        self.start_time = None  # the preparation of the first run is counted already
        self.reserve = float(checkpoint.get(RESERVE, self.reserve))


def _parameter_groups(model: Method, decay: float, encoder_rate: float) -> list[dict[str, Any]]:
    encoder = {id(p) for p in model.encoder_parameters()}
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            key = (parameter.ndim > 1, id(parameter) in encoder)
            groups.setdefault(key, []).append(parameter)
    return [
        {
            "params": parameters,
            "weight_decay": decay if is_weight else 0.0,
            "share": encoder_rate if in_encoder else 1.0,  # of the learning rate
        }
        for (is_weight, in_encoder), parameters in groups.items()
    ]
