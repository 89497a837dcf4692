"""Writing seam reports: JSON and a picture."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from congeal.figures.colour import overlay
from congeal.files import atomic_path, write_json
from congeal.prediction.seams import Seams
from congeal.segmentation import Segmentation

__all__ = ["SEAMS", "save_seams", "seam_files"]

SEAMS = "seams"  # folder of the reports

LONGEST = 2048  # pixels of a side of the picture
SEAM, DOUBT = (255, 255, 255), (255, 0, 0)


def seam_files(folder: Path, name: str) -> tuple[Path, Path]:
    """The report on an image, and its picture.

    Example:
        >>> [path.as_posix() for path in seam_files(Path("out"), "cell")]
        ['out/seams/cell.json', 'out/seams/cell.png']
    """
    return folder / SEAMS / f"{name}.json", folder / SEAMS / f"{name}.png"


def save_seams(path: Path, seams: Seams, result: Segmentation, image: NDArray[Any]) -> Path:
    """Write the report as JSON, and beside it a picture.

    The picture shows the objects with the edges of the cores in white. A red ring is around each
    doubtful place: two tiles agree on a quarter to a half of an object there.

    Args:
        path: of the JSON file; the picture has the ending ``.png``.
        seams: the report.
        result: of the image.
        image: `(H, W, C)`.

    Raises:
        CongealError: writing fails.
    """
    write_json(path, seams.to_dict())
    step = math.ceil(max(result.shape) / LONGEST)
    labels = result.labels_as(np.int32)[::step, ::step]
    picture = Image.fromarray(overlay(np.asarray(image)[::step, ::step], labels))
    pen = ImageDraw.Draw(picture)
    for row in seams.rows:
        pen.line([(0, row // step), (picture.width, row // step)], SEAM)
    for column in seams.columns:
        pen.line([(column // step, 0), (column // step, picture.height)], SEAM)
    radius = max(6, max(picture.size) // 100)
    for place in seams.doubtful:
        y, x = place["y"] // step, place["x"] // step
        pen.ellipse([(x - radius, y - radius), (x + radius, y + radius)], outline=DOUBT, width=2)
    with atomic_path(path.with_suffix(".png")) as temporary:
        picture.save(temporary, format="PNG")
    return path
