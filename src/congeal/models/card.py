"""Model cards: the ``README.md`` of a model folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from congeal.methods.method import Method

__all__ = ["TUNED_HEADING", "model_card"]

TUNED_HEADING = "## Tuned"  # heading of the section that tuning appends


def model_card(
    model: Method,
    training: Mapping[str, Any],
    metrics: Mapping[str, float],
    *,
    description: str = "",
    licence: str = "",
) -> str:
    """Write the ``README.md`` of a model folder.

    Args:
        model: the trained method.
        training: facts about the training by name, such as data, minutes and seed.
        metrics: scores by name.
        description: one line, what the model is for.
        licence: licence of the weights.

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
        description or f"Trained with congeal: {model.title} ({model.reference}).",
        "",
        f"- weights: {weights:,}",
        f"- licence of the weights: {licence or 'not stated'}",
        "",
        "## Scores",
        "",
        *([f"- {name}: {value:.3f}" for name, value in metrics.items()] or ["- none measured"]),
        "",
        *_fitted_section(model.fitted_values()),
        "## Training",
        "",
        *_listed(training),
        "",
        "## Settings",
        "",
        *_listed(model.config.flat()),
        "",
    ]
    return "\n".join(lines)


def _listed(values: Mapping[str, Any]) -> list[str]:
    """A list item per value; unset settings (None) and empty texts are left out."""
    return [f"- {name}: {value}" for name, value in values.items() if value not in (None, "")]


def _fitted_section(values: Mapping[str, float]) -> list[str]:
    """The section of parameters that were fitted after training, empty without any."""
    lines = [f"- {name}: {value:+.4f}" for name, value in values.items()]
    return ["## Fitted", "", *lines, ""] if lines else []
