"""Decoding settings of the method ``discriminative`` that tuning varies, with their steps."""

from __future__ import annotations

from collections.abc import Mapping

from congeal.methods.method import SearchStep

__all__ = ["SEARCH_SPACE"]

RADIUS_FACTOR = 1.25  # between neighbouring radii
THRESHOLD_STEP = 0.05


def _step_radius(value: float, direction: int) -> float | None:
    following = float(f"{value * RADIUS_FACTOR**direction:.3g}")
    return following if 1e-3 <= following <= 1e3 else None


def _step_threshold(value: float, direction: int) -> float | None:
    following = round(value + THRESHOLD_STEP * direction, 3)
    return following if 0.05 <= following <= 0.95 else None


SEARCH_SPACE: Mapping[str, SearchStep] = {
    "decoding.bandwidth": _step_radius,
    "decoding.foreground_threshold": _step_threshold,
    "decoding.threshold": _step_radius,
}
