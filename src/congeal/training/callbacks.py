"""Callbacks of the training: the log as CSV, and the clock that ends the training."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback

from congeal.errors import CongealError
from congeal.files import atomic_path
from congeal.training.module import Trainee

__all__ = ["Clock", "History"]


class History(Callback):
    """Appends rows to ``log.csv``: every few steps, at the first of a stage, at each validation.

    Columns are step, epoch, stage, seconds, learning rate, loss, the loss terms of the method and
    the scores of the task. A term that first appears in a later stage gets a new column.

    Args:
        path: path of the file. When a training is resumed, rows after its step are removed.
        every: steps between rows.
    """

    COLUMNS = ("step", "epoch", "stage", "seconds", "lr", "loss")

    def __init__(self, path: Path, every: int = 10) -> None:
        self.path = path
        self.every = every
        self.written = 0  # last step with a row
        self.columns = list(self.COLUMNS)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Rewrite the file with the rows up to this step; a new file gets its header."""
        if not trainer.is_global_zero:
            return
        self.written = trainer.global_step
        self._rewrite(_rows_until(self.path, trainer.global_step))

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write a row every ``every`` steps and at the first step of a stage."""
        del outputs, batch, batch_idx
        first = trainer.global_step == pl_module.stages.first_step + 1
        due = first or trainer.global_step % self.every == 0
        if trainer.is_global_zero and due and trainer.global_step > self.written:
            self.written = trainer.global_step
            terms = {name: float(term) for name, term in pl_module.terms.items()}
            self.write(trainer, pl_module, {"lr": pl_module.rate, **terms})
            for logger in trainer.loggers:
                logger.log_metrics({"lr": pl_module.rate, **terms}, trainer.global_step)

    def write(self, trainer: lightning.Trainer, trainee: Trainee, values: dict[str, float]) -> None:
        """Append one row.

        Raises:
            CongealError: the file cannot be written.
        """
        row: dict[str, Any] = {
            "step": trainer.global_step,
            "epoch": trainer.current_epoch,
            "stage": trainee.stage.name,
            "seconds": f"{trainee.seconds:.1f}",
        }
        row.update({name: f"{value:.6g}" for name, value in values.items()})
        new = [name for name in row if name not in self.columns]
        if new:
            self.columns += new
            self._rewrite(_rows_until(self.path, trainer.global_step))
        try:
            with self.path.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, self.columns).writerow(row)
        except OSError as error:
            raise CongealError(f"cannot write {self.path}: {error.strerror}") from error

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        stored = list(rows[0]) if rows else []
        self.columns += [name for name in stored if name not in self.columns]
        with atomic_path(self.path) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            writer.writerows(rows)


def _rows_until(path: Path, step: int) -> list[dict[str, str]]:
    """Complete rows of a log up to a step; none at step 0."""
    if not step or not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if None not in row.values()]
    return [row for row in rows if row.get("step", "").isdecimal() and int(row["step"]) <= step]


class Clock(Callback):
    """Ends the training when its steps or its time are used up, or a stop is requested."""

    def __init__(self) -> None:
        self.stop_requested = False
        self.signal: int | None = None  # number of the signal that requested it

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Stop at once if the training that is resumed was complete."""
        self._stop_if(self._time_is_up(trainer, pl_module), trainer)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop after a complete update step, never between its accumulated batches."""
        del outputs, batch
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0:
            self._stop_if(self._time_is_up(trainer, pl_module) or self.stop_requested, trainer)

    @staticmethod
    def _time_is_up(trainer: lightning.Trainer, trainee: Trainee) -> bool:
        """By the clock of the first process; False in all others."""
        return bool(trainer.is_global_zero and trainee.progress >= 1)

    @staticmethod
    def _stop_if(wanted: bool, trainer: lightning.Trainer) -> None:
        """Stop all processes if any of them wants to."""
        if trainer.strategy.reduce_boolean_decision(wanted, all=False):
            trainer.should_stop = True
