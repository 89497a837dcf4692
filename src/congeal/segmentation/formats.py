"""The files a result can be written to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from congeal.segmentation.result import Segmentation


def save(result: Segmentation, path: Path, image: ArrayLike | None = None) -> Path:
    """Write a result."""
    raise NotImplementedError
