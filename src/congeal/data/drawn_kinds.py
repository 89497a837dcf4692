"""The kinds of synthetic images: drawing function and default settings of each."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from congeal.data.sample import LabelMap, Pixels

__all__ = ["DRAWN_KINDS", "DrawnKind", "draw_kind"]


@dataclass(frozen=True)
class DrawnKind:
    """Drawing function and defaults of a kind of synthetic images.

    Attributes:
        draw: module and function within ``congeal.data``.
        objects: default minimum and maximum number of objects per image.
        sides: default minimum and maximum side of an image in pixels.
        overlap: default for the largest fraction of an object that others may hide, 0..1.
        per_area: whether the default number of objects is proportional to the image area.
        class_names: class names, background first; empty without classes.
    """

    draw: str
    objects: tuple[int, int]
    sides: tuple[int, int]
    overlap: float
    per_area: bool = False
    class_names: tuple[str, ...] = ()


_SHAPES = ("background", "disc", "square", "triangle", "star")

DRAWN_KINDS = {
    "sticks": DrawnKind("scenes:draw_sticks", (4, 9), (96, 128), 1.0),
    "discs": DrawnKind("scenes:draw_discs", (5, 14), (96, 128), 1.0),
    "digits": DrawnKind("digits:draw_digits", (4, 9), (96, 128), 1.0),
    "shapes": DrawnKind("scenes_shapes:draw_shapes", (2, 8), (96, 96), 0.6, class_names=_SHAPES),
    "shapes:two": DrawnKind(
        "scenes_shapes:draw_shapes", (4, 6), (96, 96), 0.5, class_names=_SHAPES[:3]
    ),
    "rods": DrawnKind("scenes_lines:draw_rods", (12, 40), (320, 320), 0.4, per_area=True),
    "worms": DrawnKind("scenes_lines:draw_worms", (4, 12), (256, 256), 0.35),
    "fibres": DrawnKind("scenes_lines:draw_fibres", (15, 40), (256, 256), 0.5),
    "rings": DrawnKind("scenes_cells:draw_rings", (8, 24), (256, 256), 0.5, per_area=True),
    "cells": DrawnKind("scenes_cells:draw_cells", (40, 110), (256, 256), 0.5, per_area=True),
    "specks": DrawnKind("scenes_cells:draw_specks", (150, 400), (256, 256), 0.25, per_area=True),
    "rosettes": DrawnKind("scenes_plants:draw_rosettes", (5, 25), (320, 320), 0.75),
}
# Kinds with the older signature draw(rng, height, width, count=...); their images must not change.
_OLDER_SIGNATURE = ("sticks", "discs", "digits")


def draw_kind(
    kind: str,
    rng: np.random.Generator,
    size: tuple[int, int],
    *,
    split: str = "train",
    objects: tuple[int, int] | None = None,
    overlap: float | None = None,
) -> tuple[Pixels, LabelMap, LabelMap | None]:
    """Draw an image of a given kind.

    Args:
        kind: a key of `DRAWN_KINDS`.
        rng: source of randomness.
        size: height and width in pixels.
        split: ``"train"``, ``"val"`` or ``"test"``; affects only the kind ``digits``.
        objects: minimum and maximum number of objects; None: default of the kind.
        overlap: largest fraction of an object that others may hide; None: default of the kind.

    Returns:
        Image `(H, W, C)` uint8, labels `(H, W)`, and classes `(K,)` or None.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> image, labels, classes = draw_kind("shapes", rng, (96, 96), objects=(3, 3))
        >>> image.shape, int(labels.max()), len(classes)
        ((96, 96, 3), 3, 3)
    """
    defaults = DRAWN_KINDS[kind]
    module, name = defaults.draw.split(":")
    draw = getattr(importlib.import_module(f"congeal.data.{module}"), name)
    max_hidden = defaults.overlap if overlap is None else overlap
    if kind in _OLDER_SIGNATURE:
        count = None if objects is None else int(rng.integers(objects[0], objects[1] + 1))
        extra: dict[str, Any] = {"split": split} if kind == "digits" else {}
        return (*draw(rng, *size, count=count, overlap=max_hidden, **extra), None)
    number = _number_of_objects(defaults, rng, size, objects)
    if not defaults.class_names:
        return (*draw(rng, size, number, max_hidden), None)
    image, labels, classes = draw(rng, size, number, max_hidden, shapes=defaults.class_names[1:])
    return image, labels, classes


def _number_of_objects(
    defaults: DrawnKind,
    rng: np.random.Generator,
    size: tuple[int, int],
    objects: tuple[int, int] | None,
) -> int:
    low, high = defaults.objects if objects is None else objects
    count = int(rng.integers(low, high + 1))
    if objects is not None or not defaults.per_area:
        return count
    return max(round(count * size[0] * size[1] / defaults.sides[0] ** 2), 1)
