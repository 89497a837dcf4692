"""The live line of a training: how far, how well, how long still."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from congeal.progress import EVERY, Ticker

__all__ = ["LiveProgress"]

SMOOTH = 0.95
WIDE = 100  # columns of a terminal that all parts of the line fit in


class LiveProgress(Callback):
    """A progress bar with loss, learning rate, validation score and time left.

    Where the output is no terminal, a line every ten seconds instead, also while validation and
    tuning go on.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(file=sys.stderr)
        self.bar: Progress | None = None
        self.task = TaskID(0)
        self.loss: float | None = None
        self.scores: dict[str, float] = {}  # of the last validation
        self.said = ""  # what the next line says
        self.ticker = Ticker(lambda: self.said, first=EVERY)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Show the bar, or begin to say lines."""
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
        """Move the bar; say the first line."""
        del outputs, batch, batch_idx
        if not trainer.is_global_zero:
            return
        loss = float(pl_module.terms["loss"])
        first = self.loss is None
        self.loss = loss if self.loss is None else SMOOTH * self.loss + (1 - SMOOTH) * loss
        text = self._text(trainer, pl_module)
        if self.bar is not None:
            self.bar.update(self.task, completed=pl_module.progress, text=text)
            return
        self.said = f"training {100 * pl_module.progress:.0f}%  {text}"
        if first:
            print(self.said, file=self.console.file, flush=True)
            self.ticker.start()

    def validating(self, done: int, total: int) -> None:
        """Show how far a validation is."""
        text = f"validating: {done} of {total}"
        if self.bar is not None:
            self.bar.update(self.task, text=text)
        self.said = text

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
            short = name.rpartition("_")[2]  # the line has to fit a terminal of 80 columns
            parts.append(f"val {short} {score:.3f}")
        parts.append("" if left is None else f"{int(left // 60)}:{int(left % 60):02d} left")
        return "  ".join(parts)

    @contextlib.contextmanager
    def tuning(self) -> Iterator[Callable[[int, int, float, str], None]]:
        """Show that the decoding is being tuned; gives what to tell of it."""
        with self.status("tuning the decoding") as show:
            yield lambda tried, total, best, score: show(
                f"{tried} of ~{total} settings, best {score}: {best:.3f}"
            )
        print(self.said, file=self.console.file, flush=True)

    @contextlib.contextmanager
    def status(self, title: str) -> Iterator[Callable[[str], None]]:
        """Show that something goes on; gives what to tell of it."""
        self.said = title
        quiet = contextlib.nullcontext() if self.console.is_terminal else Ticker(lambda: self.said)
        with self.console.status(title) as status, quiet:

            def show(what: str) -> None:
                self.said = f"{title}: {what}"
                status.update(self.said)

            yield show

    def close(self) -> None:
        """Take the bar down, also after an error."""
        self.ticker.stop()
        if self.bar is not None:
            self.bar.stop()
            self.bar = None
