"""The card of a model: what it is, from what, and how well."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from congeal.methods.rpe import RPE

__all__ = ["model_card"]


def model_card(
    model: RPE,
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
        >>> print(model_card(RPE(), {"data": "sticks"}, {}).splitlines()[0])
        # A congeal model (rpe)
    """
    weights = sum(parameter.numel() for parameter in model.parameters())
    lines = [
        "# A congeal model (rpe)",
        "",
        what or "Trained with congeal: Recurrent Pixel Embedding (Kong & Fowlkes, CVPR 2018).",
        "",
        f"- weights: {weights:,}",
        f"- licence of the weights: {licence or 'not stated'}",
        "",
        "## Scores",
        "",
        *([f"- {name}: {value:.3f}" for name, value in metrics.items()] or ["- none measured"]),
        "",
        "## Training",
        "",
        *(f"- {name}: {value}" for name, value in training.items()),
        "",
        "## Settings",
        "",
        *(f"- {name}: {value}" for name, value in model.settings.items()),
        "",
    ]
    return "\n".join(lines)
