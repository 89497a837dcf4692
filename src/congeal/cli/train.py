"""``congeal train``: images and masks to a model folder."""

from __future__ import annotations


def train() -> None:
    """Train a model."""
