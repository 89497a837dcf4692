"""A stage of a training."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Stage"]


@dataclass(frozen=True)
class Stage:
    """A stage of a training, in which some submodules are trained and the others are frozen.

    Attributes:
        name: name in the log.
        share: share of the length of the training, 0 to 1.
        learns: names of the submodules that are trained; empty: all.

    Example:
        >>> Stage("verification", share=0.25, learns=("verification",)).share
        0.25
    """

    name: str = "training"
    share: float = 1.0
    learns: tuple[str, ...] = ()
