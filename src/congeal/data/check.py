"""Looking a dataset over before time is spent on it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from congeal.data.sample import Dataset, LabelMap, Sample
from congeal.errors import CongealError

__all__ = ["check_dataset"]

_TINY_OBJECT = 4
_TINY_SIDE = 16


@dataclass
class _Tally:
    """What can only be judged over the whole dataset."""

    read: int = 0
    objects: int = 0
    most_objects: int = 0
    parts: int = 0
    seen: dict[bytes, str] = field(default_factory=dict)


def check_dataset(
    dataset: Dataset, on_sample: Callable[[int, int], None] | None = None
) -> list[str]:
    """Read every sample and tell what is wrong or suspicious, one line for each.

    Reported are files that cannot be read or do not fit together, constant images, images
    smaller than 16 pixels, the same picture twice, objects under 4 pixels, and, for the whole,
    no objects at all or masks that look binary.

    Args:
        dataset: what to look over.
        on_sample: called with (done, total) after each sample, for a progress bar.

    Returns:
        Problems, empty when there are none.

    Example:
        >>> from congeal.data.drawn import DrawnDataset
        >>> check_dataset(DrawnDataset("discs", "val", count=2))
        []
    """
    if len(dataset) == 0:
        return ["there is no image in it"]
    tally, problems = _Tally(), []
    for index, name in enumerate(dataset.names()):
        try:
            sample = dataset[index]
        except CongealError as error:
            problems.append(f"{name}: {error}")
        else:
            problems += [f"{name}: {problem}" for problem in _sample_problems(sample, tally)]
        if on_sample is not None:
            on_sample(index + 1, len(dataset))
    return problems + _whole_problems(tally)


def _sample_problems(sample: Sample, tally: _Tally) -> list[str]:
    _count(sample.labels, tally)
    checks = (_check_image(sample), _check_twin(sample, tally), _check_objects(sample.labels))
    return [problem for check in checks for problem in check]


def _check_image(sample: Sample) -> list[str]:
    height, width = sample.labels.shape
    problems = []
    if min(height, width) < _TINY_SIDE:
        problems.append(f"the image is only {height} x {width} pixels")
    lowest, highest = sample.image.min(), sample.image.max()
    if lowest == highest:
        problems.append(f"the image is constant (every value is {lowest})")
    return problems


def _check_twin(sample: Sample, tally: _Tally) -> list[str]:
    pixels = np.ascontiguousarray(sample.image)
    digest = hashlib.sha1(repr((pixels.shape, pixels.dtype)).encode() + pixels.tobytes()).digest()
    twin = tally.seen.setdefault(digest, sample.name)
    return [] if twin == sample.name else [f"the image is the same as {twin}"]


def _check_objects(labels: LabelMap) -> list[str]:
    numbers, areas = np.unique(labels[labels > 0], return_counts=True)
    tiny = numbers[areas < _TINY_OBJECT]
    if not len(tiny):
        return []
    shown = ", ".join(str(n) for n in tiny[:5]) + (" ..." if len(tiny) > 5 else "")
    return [f"objects under {_TINY_OBJECT} pixels: {len(tiny)} (number {shown})"]


def _count(labels: LabelMap, tally: _Tally) -> None:
    from scipy.ndimage import label

    objects = len(np.unique(labels[labels > 0]))
    tally.read += 1
    tally.objects += objects
    tally.most_objects = max(tally.most_objects, objects)
    tally.parts += int(label(labels > 0, np.ones((3, 3)))[1]) if objects == 1 else 0


def _whole_problems(tally: _Tally) -> list[str]:
    if tally.read and not tally.objects:
        return ["no image has any object in its mask"]
    if tally.most_objects == 1 and tally.parts >= 3 * tally.objects:
        return [
            f"every mask has one object, in {tally.parts / tally.objects:.1f} pieces on average: "
            "if these are binary masks, number the pieces first (connected components)"
        ]
    return []
