"""Pictures: colours, overlays, curves, contact sheets and the report page.

Functions that need matplotlib or Jinja are imported at first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from congeal.figures.colour import (
    colour_labels,
    embedding_rgb,
    enlarge,
    label_colours,
    outline,
    overlay,
    to_display,
)
from congeal.figures.display import sphere_rgb

if TYPE_CHECKING:
    from congeal.figures.plots import (
        contact_sheet,
        plot_curves,
        plot_precision_recall,
        plot_thresholds,
    )
    from congeal.figures.report import Report

__all__ = [
    "Report",
    "colour_labels",
    "contact_sheet",
    "embedding_rgb",
    "enlarge",
    "label_colours",
    "outline",
    "overlay",
    "plot_curves",
    "plot_precision_recall",
    "plot_thresholds",
    "sphere_rgb",
    "to_display",
]

_LAZY = {
    "Report": "congeal.figures.report",
    "contact_sheet": "congeal.figures.plots",
    "plot_curves": "congeal.figures.plots",
    "plot_precision_recall": "congeal.figures.plots",
    "plot_thresholds": "congeal.figures.plots",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)
