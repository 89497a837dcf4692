"""Pictures: colours, overlays, curves, contact sheets and the report page."""

from congeal.figures.colour import (
    colour_labels,
    embedding_rgb,
    enlarge,
    label_colours,
    outline,
    overlay,
    to_display,
)

__all__ = [
    "colour_labels",
    "embedding_rgb",
    "enlarge",
    "label_colours",
    "outline",
    "overlay",
    "to_display",
]
