"""What happens beside the training step: log, clock, validation, saving."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback

from congeal.data.sample import Dataset
from congeal.errors import CongealError
from congeal.figures.colour import colour_labels, to_display
from congeal.files import atomic_path
from congeal.metrics.matching import MatchingMetric
from congeal.metrics.metric import gather
from congeal.training.module import Trainee

__all__ = ["THRESHOLDS", "Clock", "History", "Validation", "spread"]

THRESHOLDS = (0.5, 0.7)
DRAWN = 4  # validation images drawn


class History(Callback):
    """Appends to ``log.csv`` every few steps, and at each validation.

    Args:
        path: of the file; rows later than the step resumed from are cut off.
        every: steps between rows.
    """

    COLUMNS = (
        "step",
        "epoch",
        "seconds",
        "lr",
        "loss",
        "embedding",
        "semantic",
        "touching",
        *(f"matching_ap@{t}" for t in THRESHOLDS),
    )

    def __init__(self, path: Path, every: int = 10) -> None:
        self.path = path
        self.every = every
        self.written = 0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Keep the rows up to this step; write the header of a new file."""
        if not trainer.is_global_zero:
            return
        self.written = trainer.global_step
        rows = _rows_until(self.path, trainer.global_step)
        with atomic_path(self.path) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, self.COLUMNS, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write a row now and then."""
        del outputs, batch, batch_idx
        due = trainer.global_step % self.every == 0 and trainer.global_step > self.written
        if trainer.is_global_zero and due:
            self.written = trainer.global_step
            terms = {name: float(term) for name, term in pl_module.terms.items()}
            self.write(trainer, pl_module, {"lr": pl_module.rate, **terms})
            for logger in trainer.loggers:
                logger.log_metrics({"lr": pl_module.rate, **terms}, trainer.global_step)

    def write(self, trainer: lightning.Trainer, trainee: Trainee, values: dict[str, float]) -> None:
        """Append one row."""
        row: dict[str, Any] = {
            "step": trainer.global_step,
            "epoch": trainer.current_epoch,
            "seconds": f"{trainee.seconds:.1f}",
        }
        row.update({name: f"{value:.6g}" for name, value in values.items()})
        try:
            with self.path.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, self.COLUMNS, extrasaction="ignore").writerow(row)
        except OSError as error:
            raise CongealError(f"cannot write {self.path}: {error.strerror}") from error


def _rows_until(path: Path, step: int) -> list[dict[str, str]]:
    """The whole rows of a log up to a step; none when the training begins."""
    if not step or not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if None not in row.values()]
    return [row for row in rows if row.get("step", "").isdecimal() and int(row["step"]) <= step]


class Clock(Callback):
    """Ends the training when its steps are done, its time is up, or it is asked to stop."""

    def __init__(self) -> None:
        self.asked = False

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Do nothing more when what is resumed was at its end."""
        self._stop_if(pl_module.progress >= 1, trainer)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop after this update when it is time, never between the batches of an update."""
        del outputs, batch
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0:
            self._stop_if(self.asked or pl_module.progress >= 1, trainer)

    @staticmethod
    def _stop_if(wish: bool, trainer: lightning.Trainer) -> None:
        if trainer.strategy.reduce_boolean_decision(wish, all=False):
            trainer.should_stop = True


class Validation(Callback):
    """Segments validation images at the end of epochs, as often as its share of time allows.

    Args:
        dataset: of validation images; may be empty.
        images: at most so many are looked at.
        share: of the training time that validation may take.
        patience: validations without gain before the training stops.
        overlays: folder for pictures, or None.
        history: takes the scores.
        save: called with the scores, and whether they are as good as the best so far, but for one
            standard error: the later weights have seen more, and a falling rate has calmed them.
    """

    def __init__(
        self,
        dataset: Dataset | None,
        *,
        images: int,
        share: float,
        patience: int | None,
        overlays: Path | None,
        history: History,
        save: Callable[[dict[str, float], bool], None],
    ) -> None:
        self.dataset = dataset
        self.images = images
        self.share = share
        self.patience = patience
        self.overlays = overlays
        self.history = history
        self.save = save
        self.best = -1.0
        self.counted = 0  # objects that the last score is of
        self.last: dict[str, float] = {}
        self.without_gain = 0
        self.spent = 0.0

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs to know."""
        names = ("best", "last", "without_gain", "spent")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up where the training was."""
        for name, value in state_dict.items():
            setattr(self, name, value)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Do nothing more when what is resumed had stopped for want of gain."""
        del pl_module
        self._stop_without_gain(trainer)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Validate, if it is time or the end."""
        _require_finite(pl_module, trainer.global_step)
        due = trainer.should_stop or self.spent <= self.share * pl_module.seconds
        if not trainer.strategy.broadcast(due):  # the clocks of processes differ
            return
        if self.dataset is None or not len(self.dataset):
            self.save({}, True)
            return
        started = time.monotonic()
        self.last = self._score(trainer, pl_module)
        self.spent += time.monotonic() - started
        self._judge(trainer, pl_module)

    def _judge(self, trainer: lightning.Trainer, trainee: Trainee) -> None:
        score = float(np.mean([self.last[f"matching_ap@{t}"] for t in THRESHOLDS]))
        better = score >= self.best - _standard_error(score, self.counted)
        self.without_gain = 0 if score > self.best else self.without_gain + 1
        self.best = max(self.best, score)
        if trainer.is_global_zero:
            self.history.write(trainer, trainee, self.last)
            for logger in trainer.loggers:
                logger.log_metrics(self.last, trainer.global_step)
        self.save(self.last, better)
        self._stop_without_gain(trainer)

    def _stop_without_gain(self, trainer: lightning.Trainer) -> None:
        if self.patience and self.without_gain >= self.patience:
            trainer.should_stop = True

    def _score(self, trainer: lightning.Trainer, trainee: Trainee) -> dict[str, float]:
        assert self.dataset is not None
        metric = MatchingMetric(THRESHOLDS)
        places = spread(len(self.dataset), self.images)
        model = trainee.model
        with (
            torch.autocast(trainee.device.type, enabled=False),
            trainer.precision_plugin.forward_context(),
        ):
            for place in range(trainer.global_rank, len(places), trainer.world_size):
                sample = self.dataset[places[place]]
                result = model.segment(sample.image)
                metric.update(sample.labels, result.labels)
                if self.overlays is not None and place < DRAWN:
                    self._draw(sample.name, sample.image, sample.labels, result.labels)
        metric = gather(metric)
        pooled, scores = metric.pooled()[0], metric.compute()
        self.counted = pooled.tp + pooled.fp + pooled.fn
        return {f"matching_ap@{t}": float(scores[f"matching_ap@{t}"]) for t in THRESHOLDS}

    def _draw(self, name: str, image: Any, true: Any, found: Any) -> None:
        from PIL import Image

        assert self.overlays is not None
        row = np.concatenate([to_display(image), colour_labels(true), colour_labels(found)], 1)
        with atomic_path(self.overlays / f"{Path(name).name}.png") as temporary:
            Image.fromarray(row).save(temporary)


def spread(length: int, most: int) -> list[int]:
    """At most so many places of a list, evenly spread: of validation, and of tuning after it.

    Example:
        >>> spread(9, 3), spread(2, 3)
        ([0, 3, 6], [0, 1])
    """
    count = min(most, length)
    return [place * length // count for place in range(count)]


def _standard_error(share: float, counted: int) -> float:
    """Of a share of so many objects, each taken by itself; 0 where nothing was counted.

    Example:
        >>> _standard_error(0.5, 100), _standard_error(0.5, 0)
        (0.05, 0.0)
    """
    return math.sqrt(max(0.0, share * (1 - share)) / counted) if counted else 0.0


def _require_finite(trainee: Trainee, step: int) -> None:
    """Let neither model nor checkpoint be overwritten by one that is lost."""
    sums = torch.stack([p.detach().sum().float() for p in trainee.model.parameters()])
    if not bool(sums.isfinite().all()):
        raise CongealError(
            f"the weights are no longer finite after step {step}; try a lower learning_rate "
            f"than {trainee.highest_rate:g}, or precision 32"
        )
