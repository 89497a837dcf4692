"""Stages of a training: which one it is in, how far, and what learns in it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from congeal.errors import CongealError
from congeal.methods.method import Method, Stage

__all__ = ["StageClock"]


class StageClock:
    """Tells the stage by the progress of the training, and holds still what does not learn in it.

    Args:
        stages: of the method, in order; their shares add up to 1.

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
        self.first_step = 0  # of the stage
        self._usual: dict[int, list[bool]] = {}

    @property
    def current(self) -> Stage:
        """The stage."""
        return self.stages[self.index]

    def progress(self, whole: float) -> float:
        """How far the stage is, 0 to 1, when the training is ``whole`` done."""
        before = sum(stage.share for stage in self.stages[: self.index])
        return min(1.0, max(0.0, (whole - before) / self.current.share))

    def move_to(self, whole: float, step: int) -> None:
        """Go on to the next stage when its time has come; never back."""
        while self.index + 1 < len(self.stages) and self.progress(whole) >= 1:
            self.index += 1
            self.first_step = step

    def apply(self, models: Iterable[Method]) -> None:
        """Let the stage's submodules learn, and put all others in evaluation mode."""
        if len(self.stages) == 1:
            return
        for model in models:
            if id(model) not in self._usual:  # what the method holds still in every stage
                self._usual[id(model)] = [p.requires_grad for p in model.parameters()]
            for parameter, usual in zip(model.parameters(), self._usual[id(model)], strict=True):
                parameter.requires_grad_(usual)
            if self.current.learns:
                _hold_others(model, self.current.learns)

    def state(self) -> dict[str, int]:
        """What a resumed training needs to know."""
        return {"index": self.index, "first_step": self.first_step}

    def load(self, state: Mapping[str, Any] | None) -> None:
        """Take up where the training was."""
        if state:
            self.index, self.first_step = int(state["index"]), int(state["first_step"])


def _hold_others(model: Method, learns: tuple[str, ...]) -> None:
    kept = {id(p) for name in learns for p in model.get_submodule(name).parameters()}
    for parameter in model.parameters():
        if id(parameter) not in kept:
            parameter.requires_grad_(False)
    model.eval()
    for name in learns:
        model.get_submodule(name).train()
