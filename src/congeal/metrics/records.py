"""Per-image records of incremental metrics, in a well-defined order."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any, Generic, Self, TypeVar

import numpy as np

from congeal.errors import CongealError

__all__ = ["Recorded", "Records"]

R = TypeVar("R")


class Records(Generic[R]):
    """Records of images, optionally by image id.

    Some scores depend on the order of images if scores of objects are equal. Images are ordered by
    id (numbers before strings), independent of their distribution over processes, followed by
    images without id in the order of addition. An image added twice with the same record, as
    distributed samplers do for padding, is kept once.

    Example:
        >>> records = Records[int]()
        >>> records.add(5, image="b")
        >>> records.add(7, image="a")
        >>> records.ordered()
        [7, 5]
    """

    def __init__(self) -> None:
        self._named: dict[int | str, R] = {}
        self._unnamed: list[R] = []

    def __len__(self) -> int:
        """Number of images."""
        return len(self._named) + len(self._unnamed)

    def add(self, record: R, image: int | str | None = None) -> None:
        """Add the record of one image.

        Raises:
            CongealError: the image has another record already.

        Example:
            >>> Records[int]().add(3)
        """
        if image is None:
            self._unnamed.append(record)
        elif image in self._named and not _same(self._named[image], record):
            raise CongealError(f"expected each image once, got two different results for {image!r}")
        else:
            self._named[image] = record

    def merge(self, other: Records[R]) -> None:
        """Add all records of another.

        Raises:
            CongealError: an image has different records in the two.

        Example:
            >>> one, two = Records[int](), Records[int]()
            >>> two.add(3)
            >>> one.merge(two)
            >>> len(one)
            1
        """
        for image, record in other._named.items():
            self.add(record, image)
        self._unnamed += other._unnamed

    def ordered(self) -> list[R]:
        """All records in the defined order.

        Example:
            >>> Records[int]().ordered()
            []
        """
        named = sorted(self._named.items(), key=lambda item: (isinstance(item[0], str), item[0]))
        return [record for _, record in named] + self._unnamed


class Recorded(Generic[R]):
    """Base class of metrics with :class:`Records`; all other attributes are settings.

    Example:
        >>> one, two = Recorded[int](), Recorded[int]()
        >>> two._records.add(3)
        >>> len(one.merge(two)._records)
        1
    """

    def __init__(self) -> None:
        self._records = Records[R]()

    def merge(self, other: Self) -> Self:
        """Add the counts of another metric with the same settings.

        Raises:
            CongealError: the settings differ, or an image has different records in the two.
        """
        ours, theirs = self._settings(), other._settings()
        if ours != theirs:
            raise CongealError(f"expected a metric of the same settings {ours}, got {theirs}")
        self._records.merge(other._records)
        return self

    def _settings(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_records"}


def _same(one: Any, two: Any) -> bool:
    if is_dataclass(one) and type(one) is type(two):
        return all(_same(getattr(one, f.name), getattr(two, f.name)) for f in fields(one))
    if isinstance(one, tuple) and isinstance(two, tuple) and len(one) == len(two):
        return all(_same(a, b) for a, b in zip(one, two, strict=True))
    if isinstance(one, np.ndarray) or isinstance(two, np.ndarray):
        return np.array_equal(one, two)
    return bool(one == two)
