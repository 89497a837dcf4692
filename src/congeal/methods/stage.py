"""Parts of a training, in which some of the modules learn."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Stage"]


@dataclass(frozen=True)
class Stage:
    """A part of a training, in which some of the modules learn.

    Attributes:
        name: as the log shows it.
        share: of the length of the training.
        learns: names of the submodules whose parameters are updated; empty: all.
    """

    name: str = "training"
    share: float = 1.0
    learns: tuple[str, ...] = ()
