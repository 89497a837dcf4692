"""Decoding settings of DVIS that tuning varies, in steps either way."""

from __future__ import annotations

from collections.abc import Mapping

from congeal.methods.method import SearchStep

__all__ = ["SEARCH_SPACE"]


def _step(size: float, least: float, most: float) -> SearchStep:
    """Up or down by a fixed amount, within a range."""

    def ahead(value: float, way: int) -> float | None:
        moved = round(value + size * way, 4)
        return moved if least <= moved <= most else None

    return ahead


SEARCH_SPACE: Mapping[str, SearchStep] = {
    "decoding.min_score": _step(0.1, 0.0, 0.9),
    "decoding.iou_share": _step(0.25, 0.0, 1.0),
    "decoding.foreground_threshold": _step(0.1, 0.3, 1.9),
    "decoding.max_overlap": _step(0.1, 0.0, 0.9),
}
