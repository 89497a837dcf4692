"""The live line of a training: how far, how well, how long still."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

__all__ = ["LiveProgress"]

QUIET_EVERY = 10.0  # seconds between lines where there is no terminal
SMOOTH = 0.95


class LiveProgress(Callback):
    """A progress bar with loss, learning rate, validation score and time left.

    Where the output is no terminal, a line every ten seconds instead.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(file=sys.stderr)
        self.bar: Progress | None = None
        self.task = TaskID(0)
        self.loss: float | None = None
        self.spoken = 0.0
        self.scores: dict[str, float] = {}  # of the last validation

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Show the bar."""
        if trainer.is_global_zero and self.console.is_terminal:
            self.bar = Progress(
                TextColumn("training"),
                BarColumn(bar_width=24),
                TextColumn("{task.percentage:>3.0f}%  {task.fields[text]}"),
                console=self.console,
            )
            self.bar.start()
            self.task = self.bar.add_task("training", total=1.0, text="")

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the bar."""
        del outputs, batch, batch_idx
        if not trainer.is_global_zero:
            return
        loss = float(pl_module.terms["loss"])
        self.loss = loss if self.loss is None else SMOOTH * self.loss + (1 - SMOOTH) * loss
        if self.bar is not None:
            text = self._text(trainer, pl_module)
            self.bar.update(self.task, completed=pl_module.progress, text=text)
        elif time.monotonic() - self.spoken > QUIET_EVERY:
            self.spoken = time.monotonic()
            share = f"{100 * pl_module.progress:.0f}%"
            self.console.print(f"training {share}  {self._text(trainer, pl_module)}")

    def _text(self, trainer: lightning.Trainer, trainee: Any) -> str:
        progress = trainee.progress
        left = trainee.seconds * (1 - progress) / progress if progress > 0.005 else None
        parts = [
            f"step {trainer.global_step}",
            f"loss {self.loss:.3f}",
            f"lr {trainee.rate:.1e}",
        ]
        note = trainee.model.note(progress)
        if note:
            parts.append(note)
        elif self.scores:
            name, score = next(iter(self.scores.items()))
            short = name.rpartition("_")[2]  # the line has to fit a terminal of 80 columns
            parts.append(f"val {short} {score:.3f}")
        parts.append("" if left is None else f"{int(left // 60)}:{int(left % 60):02d} left")
        return "  ".join(parts)

    @contextlib.contextmanager
    def tuning(self) -> Iterator[Callable[[int, float], None]]:
        """Show that the decoding is being tuned; gives what to tell of it."""
        said = "tuning the decoding"
        with self.console.status(said) as status:

            def tell(tried: int, best: float) -> None:
                nonlocal said
                said = (
                    f"tuning the decoding  {tried} settings compared  validation score {best:.3f}"
                )
                status.update(said)

            yield tell
        self.console.print(said)

    @contextlib.contextmanager
    def status(self, title: str) -> Iterator[Callable[[str], None]]:
        """Show that something goes on; gives what to tell of it."""
        with self.console.status(title) as status:
            yield lambda said: status.update(f"{title}  {said}")

    def close(self) -> None:
        """Take the bar down, also after an error."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None
