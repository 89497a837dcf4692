"""The version of the package, for those that must not import the package root."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
