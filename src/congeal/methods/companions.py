"""Loading of other models that a method uses, such as a model that predicts classes.

``congeal.models`` lies above this package and registers its loader here when it is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from congeal.errors import CongealError

if TYPE_CHECKING:
    from congeal.methods.method import Method

__all__ = ["load_companion", "register_loader"]

_LOADERS: list[Callable[[str], Method]] = []


def register_loader(load: Callable[[str], Method]) -> None:
    """Set the function that loads a model.

    Args:
        load: takes a model folder or the name of a shipped model.
    """
    _LOADERS[:] = [load]


def load_companion(where: str) -> Method:
    """Load a model for the use of another one.

    Args:
        where: model folder, or the name of a shipped model.

    Raises:
        CongealError: there is no such model, or ``congeal.models`` has not been imported.
    """
    if not _LOADERS:
        raise CongealError(f"expected congeal.models to be imported before {where} is loaded")
    return _LOADERS[0](where)
