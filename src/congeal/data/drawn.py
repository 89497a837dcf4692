"""Datasets that are drawn instead of downloaded; nothing is stored."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import partial

import numpy as np

from congeal.data.sample import Dataset, LabelMap, Pixels, Sample
from congeal.data.scenes import draw_discs, draw_sticks
from congeal.errors import CongealError, unknown

__all__ = ["COUNTS", "KINDS", "DrawnDataset"]

# How many samples a split has unless told otherwise.
COUNTS = {"train": 512, "val": 32, "test": 64}

Draw = Callable[[np.random.Generator, int, int], tuple[Pixels, LabelMap]]
_KINDS: dict[str, Draw] = {"sticks": draw_sticks, "discs": draw_discs}
KINDS = (*_KINDS, "digits")
_SIDES = (96, 128)


class DrawnDataset(Dataset):
    """Crossing sticks, overlapping discs or digits; the labels are what is seen of each object.

    Sample i of a split depends on seed, kind, split, size and i only, on nothing drawn before.

    Args:
        kind: ``"sticks"``, ``"discs"`` (both RGB) or ``"digits"`` (gray).
        split: ``"train"``, ``"val"``, ``"test"``, or ``"all"`` for one after the other.
        count: number of samples; 512, 32 or 64 by split when None.
        size: side in pixels of a square image; each side 96 to 128 at random when None.
        seed: another seed, another world.

    Raises:
        CongealError: unknown kind or split, or a count, size or seed that makes no sense.

    Example:
        >>> sticks = DrawnDataset("sticks", "val", size=96)
        >>> len(sticks), sticks[0].name, sticks[0].image.shape
        (32, 'val-00000', (96, 96, 3))
    """

    def __init__(
        self,
        kind: str = "sticks",
        split: str = "train",
        *,
        count: int | None = None,
        size: int | None = None,
        seed: int = 0,
    ) -> None:
        if kind not in KINDS:
            raise unknown("kind of drawing", kind, KINDS)
        self.name = kind
        self.split = split
        self.size = size
        self.seed = seed
        self._keys = _sample_keys(split, count)
        _check_drawing(size, seed)

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, index: int) -> Sample:
        split, number = self._keys[index]
        rng = _generator(self.name, split, number, self.seed)
        height, width = _draw_size(rng, self.size)
        image, labels = _drawer(self.name, split)(rng, height, width)
        return Sample(f"{split}-{number:05d}", image, labels)

    def names(self) -> list[str]:
        """The names of all samples in order, without drawing any."""
        return [f"{split}-{number:05d}" for split, number in self._keys]


def _drawer(kind: str, split: str) -> Draw:
    if kind in _KINDS:
        return _KINDS[kind]
    from congeal.data.digits import draw_digits

    return partial(draw_digits, split=split)


def _draw_size(rng: np.random.Generator, size: int | None) -> tuple[int, int]:
    if size is not None:
        return size, size
    height, width = rng.integers(_SIDES[0], _SIDES[1] + 1, 2).tolist()
    return height, width


def _sample_keys(split: str, count: int | None) -> list[tuple[str, int]]:
    """The split and number of every sample; ``"all"`` joins the three splits."""
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


def _generator(kind: str, split: str, number: int, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(f"{kind}:{split}".encode()), number])
