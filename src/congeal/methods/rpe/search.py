"""Decoding settings of RPE that tuning varies, with the steps up and down."""

from __future__ import annotations

from collections.abc import Mapping

from congeal.methods.method import SearchStep

__all__ = ["SEARCH_SPACE"]


def _margin(value: float, way: int) -> float | None:
    """Multiply or divide 1 - margin by 1.25."""
    ahead = round(1 - (1 - value) / 1.25**way, 3)
    return ahead if 0 <= ahead <= 0.99 else None


def _threshold(value: float, way: int) -> float | None:
    ahead = round(value + 0.05 * way, 3)
    return ahead if 0.05 <= ahead <= 0.95 else None


def _concentration(value: float, way: int) -> float | None:
    """Half or double; results change slowly with kappa."""
    ahead = float(f"{value * 2.0**way:.3g}")
    return ahead if 1 <= ahead <= 1e4 else None


SEARCH_SPACE: Mapping[str, SearchStep] = {  # largest gain on nuclei first
    "decoding.merge_margin": _margin,
    "decoding.foreground_threshold": _threshold,
    "decoding.decode_concentration": _concentration,
}
