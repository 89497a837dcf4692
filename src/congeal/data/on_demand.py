"""A sequence whose items are made when they are asked for, such as the planes of a stack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar, overload

__all__ = ["OnDemand"]

Item = TypeVar("Item", covariant=True)


class OnDemand(Sequence[Item], Generic[Item]):
    """Items that are made each time they are asked for; none is kept.

    Args:
        count: number of items.
        make: gives the item of a number from 0.

    Example:
        >>> squares = OnDemand(4, lambda number: number**2)
        >>> len(squares), squares[-1], list(squares), list(squares[1:3])
        (4, 9, [0, 1, 4, 9], [1, 4])
    """

    def __init__(self, count: int, make: Callable[[int], Item]) -> None:
        self._count = count
        self._make = make

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Item]: ...
    def __getitem__(self, index: int | slice) -> Any:
        numbers = range(self._count)[index]
        if isinstance(numbers, range):
            return OnDemand(len(numbers), lambda number: self._make(numbers[number]))
        return self._make(numbers)
