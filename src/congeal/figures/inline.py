"""Pictures as data URLs, to embed them in an HTML page."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike
from PIL import Image

from congeal.errors import CongealError
from congeal.figures.display import enlarge, to_display

__all__ = ["inline_file", "inline_picture"]

MAX_SIDE = 1400
"""Longer side in pixels above which a picture is reduced, to limit the size of the page."""

ENLARGED_SIDE = 768
"""Longer side in pixels up to which small pictures are enlarged; browsers would blur them."""

TYPES = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp", ".svg": "svg+xml"}


def _source(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def inline_picture(picture: ArrayLike) -> dict[str, Any]:
    """Give source, width and height of a picture `(H, W)` or `(H, W, C)` for an ``img``.

    Compression is lossless, so that outlines stay sharp.

    Raises:
        CongealError: the array is not an image.

    Example:
        >>> import numpy as np
        >>> inline_picture(np.zeros((2, 3), np.uint8))["width"]
        768
    """
    shown = to_display(picture)
    if not shown.size:
        raise CongealError(f"expected a picture with pixels, got shape {shown.shape}")
    image = Image.fromarray(enlarge(shown, ENLARGED_SIDE))
    image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    # Method 2 compresses nearly as well as the slowest method, in a fraction of its time.
    image.save(content, "WEBP", lossless=True, method=2)
    source = _source(content.getvalue(), "webp")
    return {"source": source, "width": image.width, "height": image.height, "kind": ""}


def inline_file(path: Path) -> dict[str, Any]:
    """Give source, width and height of a PNG, JPEG, WebP or SVG file for an ``img``.

    Raises:
        CongealError: the file is missing, broken or of another kind.

    Example:
        >>> inline_file(Path("figure.doc"))
        Traceback (most recent call last):
        ...
        congeal.errors.CongealError: expected a picture .png, .jpg, .webp or .svg, got figure.doc
    """
    kind = TYPES.get(path.suffix.lower())
    if kind is None:
        raise CongealError(f"expected a picture .png, .jpg, .webp or .svg, got {path}")
    try:
        content = path.read_bytes()
        width, height = _svg_size(content) if kind == "svg+xml" else _size(content)
    except OSError as error:
        raise CongealError(f"cannot read {path}: {error.strerror or 'not a picture'}") from error
    shown = "plot" if kind == "svg+xml" else ""
    return {"source": _source(content, kind), "width": width, "height": height, "kind": shown}


def _size(content: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "WEBP")) as image:
        return image.width, image.height


def _svg_size(content: bytes) -> tuple[int, int]:
    """Read the size from the view box, which matplotlib always writes."""
    box = re.search(rb'viewBox="[\d.-]+ [\d.-]+ ([\d.]+) ([\d.]+)"', content[:4000])
    return (round(float(box[1])), round(float(box[2]))) if box else (640, 400)
