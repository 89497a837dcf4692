"""The card of a model: what it is, from what, and how well."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from congeal.methods.method import Method

__all__ = ["HEADING", "model_card"]

HEADING = "## Tuned"  # of the section that tuning writes


def model_card(
    model: Method,
    training: Mapping[str, Any],
    metrics: Mapping[str, float],
    *,
    what: str = "",
    licence: str = "",
) -> str:
    """Write the ``README.md`` of a model folder.

    Args:
        model: the method.
        training: data, minutes, seed and so on.
        metrics: scores by name.
        what: a line on what it is for.
        licence: of the weights.

    Returns:
        Markdown.

    Example:
        >>> from congeal.methods import find_method
        >>> print(model_card(find_method("rpe")(), {"data": "sticks"}, {}).splitlines()[0])
        # A congeal model (rpe, instances)
    """
    weights = sum(parameter.numel() for parameter in model.parameters())
    lines = [
        f"# A congeal model ({model.name}, {model.task.name})",
        "",
        what or f"Trained with congeal: {model.title} ({model.reference}).",
        "",
        f"- weights: {weights:,}",
        f"- licence of the weights: {licence or 'not stated'}",
        "",
        "## Scores",
        "",
        *([f"- {name}: {value:.3f}" for name, value in metrics.items()] or ["- none measured"]),
        "",
        *_fitted(model.fitted_values()),
        "## Training",
        "",
        *(f"- {name}: {value}" for name, value in training.items()),
        "",
        "## Settings",
        "",
        *(f"- {name}: {value}" for name, value in model.config.flat().items()),
        "",
    ]
    return "\n".join(lines)


def _fitted(told: Mapping[str, float]) -> list[str]:
    """Section on what was fitted after the training, if anything was."""
    lines = [f"- {name}: {value:+.4f}" for name, value in told.items()]
    return ["## Fitted", "", *lines, ""] if lines else []
