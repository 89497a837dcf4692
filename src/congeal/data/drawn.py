"""Synthetic datasets: samples are drawn on access, nothing is stored."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from congeal.data.drawn_kinds import DRAWN_KINDS, draw_kind
from congeal.data.sample import Dataset, Sample
from congeal.errors import CongealError, unknown

__all__ = ["COUNTS", "KINDS", "DrawnDataset", "split_drawing"]

# Default number of samples by split.
COUNTS = {"train": 512, "val": 32, "test": 64}

KINDS = tuple(DRAWN_KINDS)
_CLASS_PROTOCOLS = ("miou", "apr")
_MAX_OBJECTS = 2000  # per image


class DrawnDataset(Dataset):
    """Synthetic images; labels mark the visible part of each object.

    Sample i is a pure function of seed, kind, split, size, objects, overlap and i. Kinds with
    classes fill ``classes`` and ``semantic``.

    Args:
        kind: one of ``KINDS``: ``"sticks"``, ``"discs"``, ``"digits"``, ``"shapes"``,
            ``"shapes:two"``, ``"rods"``, ``"worms"``, ``"fibres"``, ``"rings"``, ``"cells"``,
            ``"specks"`` or ``"rosettes"``.
        split: ``"train"``, ``"val"``, ``"test"``, or ``"all"`` (concatenated).
        count: number of samples; None: 512, 32 or 64 by split.
        size: side of a square image in pixels; None: default of the kind.
        seed: of all random numbers.
        objects: number of objects per image, or minimum and maximum; None: default of the kind.
            Objects are drawn smaller, and finally omitted, if they do not fit.
        overlap: largest fraction of an object that others may hide, 0..1; None: default of the
            kind.

    Raises:
        CongealError: kind or split is unknown, or count, size, seed, number of objects or overlap
            is out of range.

    Example:
        >>> sticks = DrawnDataset("sticks", "val", size=96)
        >>> len(sticks), sticks[0].name, sticks[0].image.shape
        (32, 'val-00000', (96, 96, 3))
        >>> int(DrawnDataset("rings", "val", size=96, objects=5)[0].labels.max())
        5
    """

    def __init__(
        self,
        kind: str = "sticks",
        split: str = "train",
        *,
        count: int | None = None,
        size: int | None = None,
        seed: int = 0,
        objects: int | tuple[int, int] | None = None,
        overlap: float | None = None,
    ) -> None:
        if kind not in KINDS:
            raise unknown("kind of synthetic images", kind, KINDS)
        self.kind = kind
        self.split = split
        self.size = size
        self.seed = seed
        self.objects = (objects, objects) if isinstance(objects, int) else objects
        self.overlap = overlap
        self.class_names = DRAWN_KINDS[kind].class_names
        self.other_protocols = _CLASS_PROTOCOLS if self.class_names else ()
        self._keys = _sample_keys(split, count)
        _check_drawing(size, seed)
        _check_objects(self.objects, overlap)
        self.name = kind + _options_text(self.objects, overlap)

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, index: int) -> Sample:
        split, number = self._keys[index]
        rng = _generator(self.kind, split, number, self.seed)
        size = _draw_size(rng, self.size, DRAWN_KINDS[self.kind].sides)
        image, labels, classes = draw_kind(
            self.kind, rng, size, split=split, objects=self.objects, overlap=self.overlap
        )
        semantic = None if classes is None else np.append(0, classes)[labels]
        name = f"{split}-{number:05d}"
        return Sample(name, image, labels, semantic=semantic, classes=classes)

    def names(self) -> list[str]:
        """Names of all samples in order, without drawing them."""
        return [f"{split}-{number:05d}" for split, number in self._keys]


def split_drawing(spec: str) -> tuple[str, dict[str, Any]] | None:
    """Parse the name of a synthetic dataset with options.

    The syntax is ``KIND:OPTION,OPTION...`` with the options ``objects=8`` or ``objects=4-9``
    (short: ``8``, ``4-9``), ``overlap=0.3`` and ``size=128``.

    Args:
        spec: such as ``"sticks:8"`` or ``"shapes:two:objects=2-5,overlap=0"``.

    Returns:
        Kind and arguments of `DrawnDataset`; None if the name is not that of a synthetic dataset.

    Raises:
        CongealError: an option is invalid.

    Example:
        >>> split_drawing("sticks:8"), split_drawing("nuclei:histology")
        (('sticks', {'objects': (8, 8)}), None)
    """
    if spec in KINDS:
        return spec, {}
    kind, mark, text = spec.rpartition(":")
    if not mark or kind not in KINDS:
        return None
    return kind, dict(_option(spec, kind, part) for part in text.split(","))


def _option(spec: str, kind: str, text: str) -> tuple[str, Any]:
    key, mark, value = text.strip().partition("=")
    key, value = (key, value) if mark else ("objects", key)
    try:
        if key == "objects":
            low, mark, high = value.partition("-")
            return key, (int(low), int(high if mark else low))
        if key in ("overlap", "size"):
            return key, float(value) if key == "overlap" else int(value)
    except ValueError:
        pass
    others = "".join(f", or the name {name}" for name in KINDS if name.startswith(f"{kind}:"))
    raise CongealError(
        f"expected options as in {kind}:8 or {kind}:objects=4-9,overlap=0.3,size=128{others}; "
        f"got {spec[:80]!r}"
    )


def _options_text(objects: tuple[int, int] | None, overlap: float | None) -> str:
    """Format the options in the syntax of `split_drawing`."""
    parts = []
    if objects is not None:
        low, high = objects
        parts.append(f"objects={low}" if low == high else f"objects={low}-{high}")
    if overlap is not None:
        parts.append(f"overlap={overlap:g}")
    return ":" * bool(parts) + ",".join(parts)


def _draw_size(
    rng: np.random.Generator, size: int | None, sides: tuple[int, int]
) -> tuple[int, int]:
    if size is not None:
        return size, size
    if sides[0] == sides[1]:
        return sides
    height, width = rng.integers(sides[0], sides[1] + 1, 2).tolist()
    return height, width


def _sample_keys(split: str, count: int | None) -> list[tuple[str, int]]:
    """Split and index of every sample; ``"all"`` concatenates the three splits."""
    if split not in (*COUNTS, "all"):
        raise unknown("split", split, (*COUNTS, "all"))
    if count is not None and count < 1:
        raise CongealError(f"expected a count of 1 or more samples, got {count}")
    if split != "all":
        return [(split, number) for number in range(count or COUNTS[split])]
    return [(part, number) for part, n in COUNTS.items() for number in range(n)][:count]


def _check_drawing(size: int | None, seed: int) -> None:
    if size is not None and size < 32:
        raise CongealError(f"expected a size of 32 pixels or more, got {size}")
    if seed < 0:
        raise CongealError(f"expected a seed of 0 or more, got {seed}")


def _check_objects(objects: tuple[int, int] | None, overlap: float | None) -> None:
    if objects is not None and not 1 <= objects[0] <= objects[1] <= _MAX_OBJECTS:
        raise CongealError(
            f"expected 1 to {_MAX_OBJECTS} objects, minimum first, got {objects[0]} to {objects[1]}"
        )
    if overlap is not None and not 0 <= overlap <= 1:
        raise CongealError(f"expected an overlap of 0 to 1, got {overlap:g}")


def _generator(kind: str, split: str, number: int, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(f"{kind}:{split}".encode()), number])
