"""Decoding settings of SegSort that tuning varies, with the steps up and down."""

from __future__ import annotations

from collections.abc import Mapping

from congeal.methods.method import SearchStep

__all__ = ["SEARCH_SPACE"]

K_VALUES = (1, 3, 5, 9, 15, 21, 31, 51)
MAX_CELLS = 16  # along a side


def _next_k(value: int, way: int) -> int | None:
    ahead = [k for k in K_VALUES[::way] if way * k > way * value]
    return ahead[0] if ahead else None


def _next_cells(value: int, way: int) -> int | None:
    ahead = value + way * max(1, value // 4)
    return ahead if 2 <= ahead <= MAX_CELLS else None


SEARCH_SPACE: Mapping[str, SearchStep] = {
    "decoding.cells": _next_cells,
    "decoding.k": _next_k,
}
