"""Other models that a method consults; the layer of model folders says how one is loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from congeal.errors import CongealError

if TYPE_CHECKING:
    from congeal.methods.method import Method

__all__ = ["load_companion", "register_loader"]

_LOADERS: list[Callable[[str], Method]] = []


def register_loader(load: Callable[[str], Method]) -> None:
    """Tell how the model of a folder, or a shipped one by name, is loaded."""
    _LOADERS[:] = [load]


def load_companion(where: str) -> Method:
    """Load a model that another one consults.

    Args:
        where: its folder, or the name of a shipped model.

    Raises:
        CongealError: there is no such model, or ``congeal.models`` has not been imported.
    """
    if not _LOADERS:
        raise CongealError(f"expected congeal.models to be imported before {where} is loaded")
    return _LOADERS[0](where)
