"""Starting a training from the weights of another model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from congeal.errors import CongealError
from congeal.methods.method import Method
from congeal.models.folder import load

__all__ = ["AUTO", "misfit", "start_from"]

AUTO = "auto"  # in place of a model: the one that the method names, where it fits


def start_from(model: Method, start: str | Path) -> int:
    """Copy the weights that fit from a saved model; what is left keeps its fresh values.

    Layers fit by name and shape, so a model of another method with the same network lends all that
    does not depend on it. A method may fit what does not, such as a head of other classes.

    Args:
        model: to be trained.
        start: folder or name of a model.

    Returns:
        The number of tensors copied.

    Raises:
        CongealError: no tensor fits.

    Example:
        >>> from congeal.methods import find_method
        >>> start_from(find_method("rpe")(wavelengths=(24.0, 129.6)), "nuclei") > 100
        True
    """
    begun = load(start)
    theirs, own = begun.state_dict(), model.state_dict()
    fitting = {name: value for name, value in theirs.items() if _fits(name, value, own)}
    weights = {name for name, _ in model.named_parameters()}
    if not weights & set(fitting):
        raise CongealError(
            f"expected weights in {start} that fit {model.name} with these settings, found none"
        )
    fitting |= model.translate_weights(begun)
    model.load_state_dict({**own, **fitting})
    return len(fitting)


def misfit(model: Method, start: Method) -> str | None:
    """Why a model is not worth starting from another one; None where it is.

    The encoder has to fit whole, channels of the image included. Heads may differ.

    Args:
        model: to be trained.
        start: to begin with.

    Example:
        >>> from congeal.methods import find_method
        >>> rpe = find_method("rpe")
        >>> misfit(rpe(), rpe(dimensions=8)) is None
        True
        >>> misfit(rpe(encoder="mobilenetv3_small_050"), rpe())
        'network.encoder is mobilenetv3_small_050, not compact'
    """
    theirs = dict(start.named_parameters())
    encoder = {id(parameter) for parameter in model.encoder_parameters()}
    named = dict(model.named_parameters())
    wanted = {n: p for n, p in named.items() if id(p) in encoder} or named
    missing = [name for name, value in wanted.items() if not _fits(name, value, theirs)]
    if not missing:
        return None
    mine, its = model.config.flat(), start.config.flat()
    differ = [n for n in mine if n.startswith("network.") and n in its and mine[n] != its[n]]
    if differ:
        name = differ[0]
        return f"{name} is {mine[name]}, not {its[name]}"
    return f"its {missing[0]} has another shape"


def _fits(name: str, value: Tensor, other: Mapping[str, Any]) -> bool:
    return name in other and other[name].shape == value.shape
