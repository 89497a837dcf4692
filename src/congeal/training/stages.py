"""Stages of a training: the current stage, its progress, and which modules it trains."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from congeal.errors import CongealError
from congeal.methods.method import Method, Stage

__all__ = ["StageClock"]


class StageClock:
    """Selects the stage by the progress of the training and freezes the modules it does not train.

    Args:
        stages: stages of the method, in order.

    Raises:
        CongealError: the shares of the stages do not add up to 1.

    Example:
        >>> clock = StageClock((Stage("map", 0.75), Stage("verification", 0.25)))
        >>> clock.move_to(0.8, step=120)
        >>> clock.current.name, round(clock.progress(0.8), 3), clock.first_step
        ('verification', 0.2, 120)
    """

    def __init__(self, stages: tuple[Stage, ...]) -> None:
        total = sum(stage.share for stage in stages)
        if not stages or not math.isclose(total, 1.0, abs_tol=1e-6):
            raise CongealError(f"expected stages whose shares add up to 1, got {total:g}")
        self.stages = stages
        self.index = 0
        self.first_step = 0  # update step at which the current stage began
        self._trainable: dict[int, list[bool]] = {}  # requires_grad by model, before any stage

    @property
    def current(self) -> Stage:
        """The current stage."""
        return self.stages[self.index]

    def progress(self, total: float) -> float:
        """Share of the current stage that is done, 0 to 1.

        Args:
            total: share of the training that is done, 0 to 1.
        """
        before = sum(stage.share for stage in self.stages[: self.index])
        return min(1.0, max(0.0, (total - before) / self.current.share))

    def move_to(self, total: float, step: int) -> None:
        """Advance to the stage that belongs to the progress; never back.

        Args:
            total: share of the training that is done, 0 to 1.
            step: number of the update step.
        """
        while self.index + 1 < len(self.stages) and self.progress(total) >= 1:
            self.index += 1
            self.first_step = step

    def apply(self, models: Iterable[Method]) -> None:
        """Train the submodules of the stage; freeze all others, in evaluation mode."""
        if len(self.stages) == 1:
            return
        for model in models:
            if id(model) not in self._trainable:  # some parameters are frozen in every stage
                self._trainable[id(model)] = [p.requires_grad for p in model.parameters()]
            flags = self._trainable[id(model)]
            for parameter, trainable in zip(model.parameters(), flags, strict=True):
                parameter.requires_grad_(trainable)
            if self.current.learns:
                _freeze_others(model, self.current.learns)

    def state(self) -> dict[str, int]:
        """State that a resumed training continues from."""
        return {"index": self.index, "first_step": self.first_step}

    def load(self, state: Mapping[str, Any] | None) -> None:
        """Restore the state of the training that is resumed; None: nothing to restore."""
        if state:
            self.index, self.first_step = int(state["index"]), int(state["first_step"])


def _freeze_others(model: Method, learns: tuple[str, ...]) -> None:
    """Freeze all parameters but those of the submodules named."""
    trained = {id(p) for name in learns for p in model.get_submodule(name).parameters()}
    for parameter in model.parameters():
        if id(parameter) not in trained:
            parameter.requires_grad_(False)
    model.eval()
    for name in learns:
        model.get_submodule(name).train()
