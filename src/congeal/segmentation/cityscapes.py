"""Export to the prediction files of the Cityscapes benchmark: a text file and object masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from congeal.errors import CongealError
from congeal.files import atomic_path, write_text
from congeal.metrics.cityscapes_ids import CLASSES
from congeal.segmentation.contents import Contents

__all__ = ["save_cityscapes"]

NUMBERS = {name: number for number, name in CLASSES.items()}


def save_cityscapes(result: Contents, path: Path) -> Path:
    """Write ``NAME_pred.txt``, one line per object: mask file, label id, score.

    Masks (8 bit, 255 inside) are written to the folder ``NAME_pred`` beside it, and listed by
    relative path, as the official evaluation program requires. Objects of classes that
    Cityscapes does not evaluate are omitted.

    Raises:
        CongealError: the result has no objects or no class of Cityscapes, or writing fails.
    """
    evaluated = [name for name in result.class_names if name in NUMBERS]
    if not result.has_objects or not evaluated:
        raise CongealError(
            f"cannot write {path}: Cityscapes' files need objects of the classes "
            f"{', '.join(NUMBERS)}, got {', '.join(result.class_names)}"
        )
    masks = path.with_suffix("")
    lines: list[str] = []
    for crop, score, kind in zip(result.crops(), result.scores, result.classes, strict=True):
        number = NUMBERS.get(result.class_names[int(kind) - 1])
        if number is None:
            continue
        mask = np.zeros(result.shape, np.uint8)
        mask[crop.window] = 255 * crop.mask
        file = masks / f"{len(lines):03d}_{number}.png"
        with atomic_path(file) as temporary:
            Image.fromarray(mask).save(temporary, format="PNG")
        lines.append(f"{masks.name}/{file.name} {number} {float(score):.6f}\n")
    write_text(path, "".join(lines))
    _remove_others(masks, len(lines))
    return path


def _remove_others(masks: Path, count: int) -> None:
    """Remove masks left by an earlier result with more objects."""
    for file in masks.glob("[0-9][0-9][0-9]*_[0-9][0-9].png"):
        if int(file.name.split("_")[0]) >= count:
            file.unlink(missing_ok=True)
