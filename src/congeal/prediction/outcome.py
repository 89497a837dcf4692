"""Outcomes of the images of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

__all__ = ["FileOutcome", "SegmentRun"]


@dataclass(frozen=True)
class FileOutcome:
    """Outcome of one image of a run.

    Args:
        path: the image.
        state: ``"done"``, ``"skipped"`` (was done before) or ``"failed"``.
        message: why it failed, or a note on a skipped image; one line.
        objects: number of objects found, when it was done; None where the task has no objects.
        seconds: time spent on it.
        files: what was written.

    Example:
        >>> FileOutcome(Path("cell.png"), "done", objects=3).state
        'done'
    """

    path: Path
    state: Literal["done", "skipped", "failed"]
    message: str = ""
    objects: int | None = None
    seconds: float = 0.0
    files: tuple[Path, ...] = ()

    @property
    def good(self) -> bool:
        """Whether its results exist."""
        return self.state != "failed"


@dataclass
class SegmentRun:
    """Outcomes of all images of a run, in order.

    Args:
        output: folder of the results.
        files: one outcome per image.
        tables: files on the whole folder that were written.
        notes: for the user, a line each.

    Example:
        >>> run = SegmentRun("out", [FileOutcome(Path("a.png"), "failed", "cut short")])
        >>> [(path.name, why) for path, why in run.failed], run.done
        ([('a.png', 'cut short')], [])
    """

    output: str | Path
    files: list[FileOutcome] = field(default_factory=list)
    tables: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def done(self) -> list[Path]:
        """Images segmented in this run."""
        return [file.path for file in self.files if file.state == "done"]

    @property
    def skipped(self) -> list[Path]:
        """Images whose results were there already."""
        return [file.path for file in self.files if file.state == "skipped"]

    @property
    def failed(self) -> list[tuple[Path, str]]:
        """Images that could not be segmented, each with the reason."""
        return [(file.path, file.message) for file in self.files if file.state == "failed"]

    @property
    def stale(self) -> list[tuple[Path, str]]:
        """Skipped images whose results come from an earlier version of the image."""
        skipped = [file for file in self.files if file.state == "skipped"]
        return [(file.path, file.message) for file in skipped if file.message]
