"""Whether masks lie on what the images show: shifted, turned, or of other images.

Flow: outlines of the masks and edges of the images -> correlation over shifts, averaged over the
images -> :class:`Alignment`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from congeal.data.sample import LabelMap, Pixels, Sample
from congeal.labels import boundaries

__all__ = ["Alignment", "align_masks"]

Field = NDArray[np.float64]

FARTHEST = 64  # pixels of shift that are tried each way; a quarter of the image at most
LEAST_SHIFT = 3  # pixels; outlines drawn by hand are that far off
LEAST_SIDE = 16  # pixels of an image that says anything
LEAST_GAIN = 1.5  # correlation at the best place over that at the place as stored
CLEAR = 6.0  # standard deviations above the correlation at other places
LOST = 5.0  # no place is clearer than that: the outlines fit nowhere
WIDEST = 1024  # pixels of a side that are compared, from the middle of the image

TURNS: dict[str, Callable[[LabelMap], LabelMap]] = {
    "upside down": np.flipud,
    "mirrored": np.fliplr,
    "turned by 180 degrees": lambda labels: np.rot90(labels, 2),
    "transposed": np.transpose,
    "turned by 90 degrees": np.rot90,
    "turned by 270 degrees": lambda labels: np.rot90(labels, 3),
}


@dataclass(frozen=True)
class Alignment:
    """How well outlines of masks fit edges of images.

    Attributes:
        images: how many were compared.
        stored: mean correlation of outlines and edges where they are.
        best: the highest one, at any shift.
        shift: rows down and columns to the right that masks have to move by for it.
        clearness: of the best one, in standard deviations of that at other shifts.
        turn: name of the turn that fits better than any shift, or None.
    """

    images: int
    stored: float
    best: float
    shift: tuple[int, int]
    clearness: float
    turn: str | None = None

    @property
    def is_shifted(self) -> bool:
        """Whether masks fit clearly better elsewhere."""
        far = max(map(abs, self.shift)) >= LEAST_SHIFT
        better = self.best > LEAST_GAIN * max(self.stored, 0.0)
        return self.turn is None and far and better and self.clearness > CLEAR

    @property
    def is_lost(self) -> bool:
        """Whether masks fit nowhere, neither shifted nor turned."""
        return self.turn is None and self.clearness < LOST


def align_masks(samples: Iterable[Sample]) -> Alignment | None:
    """Find where the masks of some images fit best, shifted or turned; None without any object.

    Correlates the outlines of the objects with the strength of edges in the image, for each shift
    up to 64 pixels or a quarter of the image, and takes the mean over the images.

    Example:
        >>> from congeal.data.drawn import DrawnDataset
        >>> found = align_masks(DrawnDataset("discs", count=3))
        >>> found.is_shifted, found.is_lost, found.turn
        (False, False, None)
    """
    parts = [(_middle(s.image), _middle(s.labels)) for s in samples]
    marked = [(i, m) for i, m in parts if (m > 0).any() and min(m.shape) >= LEAST_SIDE]
    if not marked:
        return None
    pairs = [(_edges(image), labels) for image, labels in marked]
    stored, best, shift, clear = _peak(pairs)
    turn = None
    if clear < CLEAR or max(map(abs, shift)) >= LEAST_SHIFT:
        turn = _best_turn(pairs, best)
    return Alignment(len(marked), stored, best, shift, clear, turn)


def _middle(pixels: Pixels) -> Pixels:
    """At most so much of the middle of an image or label map."""
    top, left = (max(0, side - WIDEST) // 2 for side in pixels.shape[:2])
    return pixels[top : top + WIDEST, left : left + WIDEST]


def _best_turn(pairs: list[tuple[Field, LabelMap]], best: float) -> str | None:
    """The turn at which the masks fit clearly, and better than as they are stored."""
    for name, turn in TURNS.items():
        turned = [(edges, turn(labels)) for edges, labels in pairs]
        fitting = [(e, labels) for e, labels in turned if e.shape == labels.shape]
        if not fitting:
            continue
        _, high, shift, clear = _peak(fitting)
        near = max(map(abs, shift)) < LEAST_SHIFT
        if near and clear > CLEAR and high > LEAST_GAIN * max(best, 0.0):
            return name
    return None


def _peak(pairs: list[tuple[Field, LabelMap]]) -> tuple[float, float, tuple[int, int], float]:
    """Correlation as stored, the highest one, its shift, and how far it stands out."""
    reach = min(FARTHEST, min(min(edges.shape) for edges, _ in pairs) // 4)
    mean = np.mean([_correlation(edges, labels, reach) for edges, labels in pairs], axis=0)
    row, column = np.unravel_index(int(mean.argmax()), mean.shape)
    aside = np.ones(mean.shape, bool)
    near = LEAST_SHIFT
    aside[max(0, row - near) : row + near + 1, max(0, column - near) : column + near + 1] = False
    others = mean[aside]
    spread = float(others.std()) or 1.0
    clear = float(mean[row, column] - others.mean()) / spread
    shift = (int(row) - reach, int(column) - reach)
    return float(mean[reach, reach]), float(mean[row, column]), shift, clear


def _correlation(edges: Field, labels: LabelMap, reach: int) -> Field:
    """Correlation of edges and outlines, `(2 reach + 1, 2 reach + 1)`, by shift of the outlines."""
    drawn = boundaries(labels, "thick").astype(float)
    drawn -= drawn.mean()
    norm = float(np.linalg.norm(drawn) * np.linalg.norm(edges)) or 1.0
    shape = [side + 2 * reach for side in edges.shape]
    product = np.fft.rfft2(edges, shape) * np.conj(np.fft.rfft2(drawn, shape))
    whole = np.fft.irfft2(product, shape)
    places = np.arange(-reach, reach + 1)
    found: Field = whole[np.ix_(places, places)] / norm
    return found


def _edges(image: Pixels) -> Field:
    """Strength of the edges of an image, of mean 0; the strongest percent are cut."""
    gray = image.astype(float).mean(axis=2)
    strength = ndimage.gaussian_gradient_magnitude(gray, 1.0)
    strength = np.minimum(strength, np.percentile(strength, 99))
    centred: Field = strength - strength.mean()
    return centred
