"""Progress display of a training: a bar in a terminal, otherwise lines."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from congeal.progress import INTERVAL, Ticker

__all__ = ["LiveProgress"]

LOSS_DECAY = 0.95  # of the moving average of the loss
WIDE = 100  # terminal columns from which all parts of the line are shown


class LiveProgress(Callback):
    """Shows loss, learning rate, validation score and time left.

    In a terminal it is a progress bar, otherwise a line every ten seconds, during validation and
    tuning too.

    Args:
        console: where to write; None: stderr.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(file=sys.stderr)
        self.bar: Progress | None = None
        self.task = TaskID(0)
        self.loss: float | None = None  # moving average
        self.scores: dict[str, float] = {}  # of the last validation
        self.line = ""  # the next line to print
        self.ticker = Ticker(lambda: self.line, delay=INTERVAL)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Show the bar, in a terminal."""
        if not trainer.is_global_zero:
            return
        if self.console.is_terminal:
            wide = self.console.width >= WIDE
            self.bar = Progress(
                *([TextColumn("training")] if wide else []),
                BarColumn(bar_width=24 if wide else 8),
                TextColumn("{task.percentage:>3.0f}%  {task.fields[text]}"),
                console=self.console,
            )
            self.bar.start()
            self.task = self.bar.add_task("training", total=1.0, text="")

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Update the bar or the line; the first step prints its line at once."""
        del outputs, batch, batch_idx
        if not trainer.is_global_zero:
            return
        loss = float(pl_module.terms["loss"])
        first = self.loss is None
        decay = 0.0 if self.loss is None else LOSS_DECAY
        self.loss = decay * (self.loss or 0.0) + (1 - decay) * loss
        text = self._text(trainer, pl_module)
        if self.bar is not None:
            self.bar.update(self.task, completed=pl_module.progress, text=text)
            return
        self.line = f"training {100 * pl_module.progress:.0f}%  {text}"
        if first:
            print(self.line, file=self.console.file, flush=True)
            self.ticker.start()

    def validating(self, done: int, total: int) -> None:
        """Show the progress of a validation, in images."""
        text = f"validating: {done} of {total}"
        if self.bar is not None:
            self.bar.update(self.task, text=text)
        self.line = text

    def _text(self, trainer: lightning.Trainer, trainee: Any) -> str:
        progress = trainee.progress
        left = trainee.seconds * (1 - progress) / progress if progress > 0.005 else None
        parts = [f"step {trainer.global_step}", f"loss {self.loss:.3f}"]
        note = trainee.model.note(progress)
        if self.console.width >= WIDE or (self.bar is None and not note):
            parts.append(f"lr {trainee.rate:.1e}")
        if note:
            parts.append(note)
        elif self.scores:
            name, score = next(iter(self.scores.items()))
            short = name.rpartition("_")[2]  # so that the line fits 80 columns
            parts.append(f"val {short} {score:.3f}")
        parts.append("" if left is None else f"{int(left // 60)}:{int(left % 60):02d} left")
        return "  ".join(parts)

    @contextlib.contextmanager
    def tuning(self) -> Iterator[Callable[[int, int, float, str], None]]:
        """Show the progress of tuning; yields the callback ``on_try`` of tuning."""
        with self.status("tuning the decoding") as show:
            yield lambda tried, total, best, score: show(
                f"{tried} of ~{total} settings, best {score}: {best:.3f}"
            )
        print(self.line, file=self.console.file, flush=True)

    @contextlib.contextmanager
    def status(self, title: str) -> Iterator[Callable[[str], None]]:
        """Show that a task is running; yields a function that sets the text after the title."""
        self.line = title
        ticker = contextlib.nullcontext() if self.console.is_terminal else Ticker(lambda: self.line)
        with self.console.status(title) as status, ticker:

            def show(text: str) -> None:
                self.line = f"{title}: {text}"
                status.update(self.line)

            yield show

    def close(self) -> None:
        """Remove the bar and stop the lines, also after an error."""
        self.ticker.stop()
        if self.bar is not None:
            self.bar.stop()
            self.bar = None
