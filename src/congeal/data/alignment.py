"""Detects misaligned masks: shifted, flipped or rotated against their images, or of other images.

Flow: mask outlines and image gradients -> cross-correlation over shifts, averaged over the images
-> :class:`Alignment`.
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

MAX_SHIFT = 64  # pixels in each direction, at most a quarter of the image
MIN_SHIFT = 3  # pixels; hand-drawn outlines are off by that much
MIN_SIDE = 16  # pixels; smaller images are skipped
MIN_GAIN = 1.5  # ratio of the best correlation to the one at shift 0
SIGNIFICANT = 6.0  # z-score of a peak from which masks count as shifted
INSIGNIFICANT = 5.0  # z-score of a peak below which masks fit nowhere
MAX_SIDE = 1024  # pixels; of larger images the centre is compared

TRANSFORMS: dict[str, Callable[[LabelMap], LabelMap]] = {
    "upside down": np.flipud,
    "mirrored": np.fliplr,
    "turned by 180 degrees": lambda labels: np.rot90(labels, 2),
    "transposed": np.transpose,
    "turned by 90 degrees": np.rot90,
    "turned by 270 degrees": lambda labels: np.rot90(labels, 3),
}


@dataclass(frozen=True)
class Alignment:
    """How well mask outlines fit image gradients.

    Attributes:
        images: number of images compared.
        stored: mean correlation of outlines and gradients without shift.
        best: highest mean correlation over all shifts.
        shift: rows down and columns right to move the masks by, at the best correlation.
        z_score: of the best correlation among those at other shifts.
        transform: flip or rotation that fits better than any shift, None without.
    """

    images: int
    stored: float
    best: float
    shift: tuple[int, int]
    z_score: float
    transform: str | None = None

    @property
    def is_shifted(self) -> bool:
        """Whether masks fit significantly better at another position."""
        far = max(map(abs, self.shift)) >= MIN_SHIFT
        better = self.best > MIN_GAIN * max(self.stored, 0.0)
        return self.transform is None and far and better and self.z_score > SIGNIFICANT

    @property
    def is_unrelated(self) -> bool:
        """Whether masks fit at no position, flip or rotation: they may belong to other images."""
        return self.transform is None and self.z_score < INSIGNIFICANT


def align_masks(samples: Iterable[Sample]) -> Alignment | None:
    """Find the shift, flip or rotation at which the masks of some images fit best.

    Cross-correlates object outlines with the gradient magnitude of the image, for shifts up to 64
    pixels or a quarter of the image, and averages over the images.

    Returns:
        The best alignment; None when no image has objects.

    Example:
        >>> from congeal.data.drawn import DrawnDataset
        >>> found = align_masks(DrawnDataset("discs", count=3))
        >>> found.is_shifted, found.is_unrelated, found.transform
        (False, False, None)
    """
    centres = [(_centre(s.image), _centre(s.labels)) for s in samples]
    labelled = [(i, m) for i, m in centres if (m > 0).any() and min(m.shape) >= MIN_SIDE]
    if not labelled:
        return None
    pairs = [(_gradients(image), labels) for image, labels in labelled]
    stored, best, shift, z_score = _peak(pairs)
    transform = None
    if z_score < SIGNIFICANT or max(map(abs, shift)) >= MIN_SHIFT:
        transform = _best_transform(pairs, best)
    return Alignment(len(labelled), stored, best, shift, z_score, transform)


def _centre(pixels: Pixels) -> Pixels:
    """The centre of an image or label map, at most MAX_SIDE x MAX_SIDE."""
    top, left = (max(0, side - MAX_SIDE) // 2 for side in pixels.shape[:2])
    return pixels[top : top + MAX_SIDE, left : left + MAX_SIDE]


def _best_transform(pairs: list[tuple[Field, LabelMap]], best: float) -> str | None:
    """The flip or rotation at which masks fit significantly, and better than at any shift."""
    for name, transform in TRANSFORMS.items():
        transformed = [(gradients, transform(labels)) for gradients, labels in pairs]
        same_size = [(g, labels) for g, labels in transformed if g.shape == labels.shape]
        if not same_size:
            continue
        _, highest, shift, z_score = _peak(same_size)
        near = max(map(abs, shift)) < MIN_SHIFT
        if near and z_score > SIGNIFICANT and highest > MIN_GAIN * max(best, 0.0):
            return name
    return None


def _peak(pairs: list[tuple[Field, LabelMap]]) -> tuple[float, float, tuple[int, int], float]:
    """Mean correlation at shift 0, the highest one, its shift and its z-score."""
    max_shift = min(MAX_SHIFT, min(min(gradients.shape) for gradients, _ in pairs) // 4)
    mean = np.mean([_correlation(*pair, max_shift) for pair in pairs], axis=0)
    row, column = np.unravel_index(int(mean.argmax()), mean.shape)
    elsewhere = np.ones(mean.shape, bool)
    rows = slice(max(0, row - MIN_SHIFT), row + MIN_SHIFT + 1)
    columns = slice(max(0, column - MIN_SHIFT), column + MIN_SHIFT + 1)
    elsewhere[rows, columns] = False
    others = mean[elsewhere]
    z_score = float(mean[row, column] - others.mean()) / (float(others.std()) or 1.0)
    shift = (int(row) - max_shift, int(column) - max_shift)
    return float(mean[max_shift, max_shift]), float(mean[row, column]), shift, z_score


def _correlation(gradients: Field, labels: LabelMap, max_shift: int) -> Field:
    """Normalised cross-correlation over shifts, `(2 max_shift + 1, 2 max_shift + 1)`, by FFT."""
    outlines = boundaries(labels, "thick").astype(float)
    outlines -= outlines.mean()
    norm = float(np.linalg.norm(outlines) * np.linalg.norm(gradients)) or 1.0
    shape = [side + 2 * max_shift for side in gradients.shape]
    product = np.fft.rfft2(gradients, shape) * np.conj(np.fft.rfft2(outlines, shape))
    circular = np.fft.irfft2(product, shape)
    shifts = np.arange(-max_shift, max_shift + 1)
    correlation: Field = circular[np.ix_(shifts, shifts)] / norm
    return correlation


def _gradients(image: Pixels) -> Field:
    """Gradient magnitude, clipped at its 99th percentile, minus its mean."""
    gray = image.astype(float).mean(axis=2)
    strength = ndimage.gaussian_gradient_magnitude(gray, 1.0)
    strength = np.minimum(strength, np.percentile(strength, 99))
    centred: Field = strength - strength.mean()
    return centred
