"""Decoding settings of the discriminative method that tuning varies, in steps either way."""

from __future__ import annotations

from collections.abc import Mapping

from congeal.methods.method import SearchStep

__all__ = ["SEARCH_SPACE"]

STEP = 1.25  # factor between radii that are compared


def _radius(value: float, way: int) -> float | None:
    ahead = float(f"{value * STEP**way:.3g}")
    return ahead if 1e-3 <= ahead <= 1e3 else None


def _threshold(value: float, way: int) -> float | None:
    ahead = round(value + 0.05 * way, 3)
    return ahead if 0.05 <= ahead <= 0.95 else None


SEARCH_SPACE: Mapping[str, SearchStep] = {
    "decoding.bandwidth": _radius,
    "decoding.foreground_threshold": _threshold,
    "decoding.threshold": _radius,
}
