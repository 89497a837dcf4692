"""The training step, as Lightning wants it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import lightning
import torch
from torch import Tensor, nn

from congeal.chance import ImageChance
from congeal.clock import now
from congeal.data.batch import Batch
from congeal.methods.method import Method, Stage
from congeal.processes import batch_shared, from_first, mean_of_all
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

LEAST_SHARE = 0.1  # of the minutes for steps, however long all else takes


def poly_rate(progress: float, step: int, *, power: float, warmup: int) -> float:
    """Share of the learning rate in force: a linear rise, then (1 - progress)^power.

    Args:
        progress: 0 at the start, 1 at the end.
        step: updates done.
        power: of the fall.
        warmup: updates of the rise.

    Example:
        >>> poly_rate(0.0, 4, power=0.9, warmup=10), poly_rate(1.0, 99, power=0.9, warmup=10)
        (0.5, 0.0)
    """
    rise = min(1.0, (step + 1) / max(warmup, 1))
    return float(rise * max(0.0, 1.0 - progress) ** power)


class Trainee(lightning.LightningModule):
    """A method under training: its losses, its stages, its optimiser, and the clock.

    Args:
        model: the method.
        config: of the training.
        total_steps: updates in all, or None when only the clock ends it.
        parts: replicas of the model that a batch is split over, on a CPU.
        run: what a resumed training must have in common with this one.
        born: time by :func:`congeal.clock.now` from which the minutes count; None: the first step.
    """

    def __init__(
        self,
        model: Method,
        config: TrainConfig,
        total_steps: int | None,
        parts: int = 1,
        run: Mapping[str, Any] | None = None,
        born: float | None = None,
    ) -> None:
        super().__init__()
        self.born = born
        self.model = model
        self.settings = config.with_optimizer(model.default_optimizer)
        self.highest_rate = self.settings.learning_rate or 0.0
        self.total_steps = total_steps
        self.run = dict(run or {})
        self.stages = StageClock(model.stages())
        self.seconds_before = 0.0  # of earlier runs, when resumed
        self.started: float | None = None
        self.prepared = 0.0  # seconds before the first step, which are part of the minutes
        minutes = self.settings.max_minutes or 0.0
        self.reserve = 60 * minutes * self.settings.tuning_share  # seconds for what comes after
        self.stepped: float | None = None  # when the last step ended
        self.rate = 0.0
        self.now = 0.0  # how far this step is; by the first of several processes
        self.terms: dict[str, Tensor] = {}
        self.parts = parts
        self.replicas: Replicas | None = None

    @property
    def seconds(self) -> float:
        """Seconds of training, earlier runs included; what comes before the first step is none."""
        here = now()
        return self.seconds_before + here - (here if self.started is None else self.started)

    @property
    def spent(self) -> float:
        """Seconds up to the end of the last step; resuming what is finished adds none."""
        if self.started is None or self.stepped is None:
            return self.seconds_before
        return self.seconds_before + self.stepped - self.started

    @property
    def progress(self) -> float:
        """How far the training is, 0 to 1, by steps or by the clock, whichever is further."""
        shares = [0.0]
        if self.total_steps:
            shares.append(self.global_step / self.total_steps)
        if self.settings.max_minutes:
            shares.append(self.seconds / self._seconds_to_train(60 * self.settings.max_minutes))
        return min(1.0, max(shares))

    def _seconds_to_train(self, whole: float) -> float:
        """What is left for steps when making ready, the last validation and tuning have theirs."""
        return max(whole - self.prepared - self.reserve, LEAST_SHARE * whole)

    @property
    def stage(self) -> Stage:
        """The stage that the training is in."""
        return self.stages.current

    def on_train_start(self) -> None:
        """Start the clock once everything is loaded."""
        self.started = now()
        if self.born is not None:
            self.prepared += self.started - self.born
        if self.parts > 1:  # now that parameters are where they stay
            self.replicas = Replicas(self.model, self.parts)

    def close(self) -> None:
        """End the threads of the replicas, if there are any."""
        if self.replicas is not None:
            self.replicas.close()
            self.replicas = None

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Enter the stage, and set the learning rate of this step, alike in all processes."""
        del batch, batch_idx
        self.now = from_first(self.progress)  # clocks differ
        self.stages.move_to(self.now, self.global_step)
        self.stages.apply(self.models)
        share = poly_rate(
            self.stages.progress(self.now),
            self.global_step - self.stages.first_step,
            power=self.settings.power,
            warmup=self.settings.warmup,
        )
        self.rate = self.highest_rate * share
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.rate * group["share"]

    @property
    def models(self) -> list[Method]:
        """The model, and its replicas where it has any."""
        return [self.model] if self.replicas is None else list(self.replicas.copies)  # type: ignore[arg-type]

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Sum of the method's losses on a batch; of several processes, on this one's part of it."""
        compute = partial(self._terms, self.stage.name, self.stages.progress(self.now))
        chance = self._chance(batch_idx, len(batch))
        if self.replicas is None:
            with batch_shared():
                terms = compute(self.model, batch, chance[0])
        else:
            parts = list(zip(batch.chunk(self.parts), chance, strict=True))
            terms = self.replicas.forward(compute, parts)
        values = torch.stack(list(terms.values()))
        whole = mean_of_all(values)
        self.terms = dict(zip(terms, whole, strict=True)) | {"loss": whole.sum()}
        return values.sum()

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Note the time."""
        del outputs, batch, batch_idx
        self.stepped = now()

    def _terms(
        self,
        stage: str,
        progress: float,
        model: Method,
        batch: Batch,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        batch = batch.channels_last()
        with self.trainer.precision_plugin.forward_context():  # which each thread must enter
            return model.losses(batch, stage=stage, progress=progress, generator=generator)

    def _chance(self, batch_idx: int, count: int) -> list[ImageChance]:
        """Chance of each part: for each image a function of the number of its sample.

        So a resumed run has the same, and so has a batch that is divided in another way.
        """
        seed, world, c = self.settings.seed, self.trainer.world_size, self.settings
        number = self.global_step * c.accumulate + batch_idx % c.accumulate
        draws = [(number * count + k) * world + self.global_rank for k in range(count)]
        images = [seeded_generator(seed, draw, 4) for draw in draws]
        own = [
            seeded_generator(seed, number, self.global_rank * self.parts + part, 3).initial_seed()
            for part in range(self.parts)
        ]
        torch.manual_seed(own[-1])  # of layers that drop out
        size = count // self.parts
        return [
            ImageChance(one, images[part * size : (part + 1) * size])
            for part, one in enumerate(own)
        ]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW, SGD or Muon; no weight decay on norms and biases; the encoder at its own rate."""
        c = self.settings
        groups = _parameter_groups(self.model, c.weight_decay, c.encoder_rate)
        if c.optimizer == "sgd":
            return torch.optim.SGD(groups, lr=self.highest_rate, momentum=0.9)
        # The fused update takes a third of the time on a CPU. Lightning refuses to clip its
        # gradients on a GPU and under mixed precision.
        on_cpu = all(p.device.type == "cpu" for p in self.model.parameters())
        fused = on_cpu and choose_precision(c) == "32-true"
        if c.optimizer == "muon":
            return Muon(groups, lr=self.highest_rate, fused=fused)
        return torch.optim.AdamW(groups, lr=self.highest_rate, fused=fused)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the clock, the stage, the settings, and by which optimiser the state is."""
        checkpoint[SECONDS] = self.spent
        checkpoint[PREPARED] = self.prepared
        checkpoint[RESERVE] = self.reserve
        checkpoint[OPTIMIZER] = self.settings.optimizer
        checkpoint[STAGE] = self.stages.state()
        checkpoint[RUN] = self.run

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the clock, if the checkpoint is of this model and training at all."""
        optimizer = self.settings.optimizer
        before = str(checkpoint.get(OPTIMIZER, optimizer))
        variable = {f"model.{name}" for name in self.model.variable_buffers}
        require_fit(checkpoint["state_dict"], self.state_dict(), (before, optimizer), variable)
        require_same_run(checkpoint.get(RUN, {}), self.run)
        self.stages.load(checkpoint.get(STAGE))
        self.seconds_before = float(checkpoint[SECONDS])
        self.prepared = float(checkpoint.get(PREPARED, 0.0))
        self.born = None  # making ready counts once: a resumed training has as much time for steps
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
            "weight_decay": decay if heavy else 0.0,
            "share": encoder_rate if inside else 1.0,
        }
        for (heavy, inside), parameters in groups.items()
    ]
