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

AUTO = "auto"  # start from the model in Method.starts if its encoder fits, else from scratch


def start_from(model: Method, start: str | Path) -> int:
    """Copy the weights of a saved model that fit by name and shape; the others stay as they are.

    The start model may be of another method. :meth:`Method.translate_weights` may convert weights
    of another shape, such as a head for other classes.

    Args:
        model: model to train, changed in place.
        start: model folder, or the name of a shipped model.

    Returns:
        The number of tensors copied.

    Raises:
        CongealError: no weight fits, or there is no such model.

    Example:
        >>> from congeal.methods import find_method
        >>> start_from(find_method("rpe")(wavelengths=(24.0, 129.6)), "nuclei") > 100
        True
    """
    source = load(start)
    own = model.state_dict()
    fitting = {n: tensor for n, tensor in source.state_dict().items() if _fits(n, tensor, own)}
    weights = {name for name, _ in model.named_parameters()}
    if not weights & set(fitting):
        raise CongealError(
            f"expected weights in {start} that fit {model.name} with these settings, found none"
        )
    fitting |= model.translate_weights(source)
    model.load_state_dict({**own, **fitting})
    return len(fitting)


def misfit(model: Method, start: Method) -> str | None:
    """Reason why the encoder weights of a start model do not fit; None if they do.

    All encoder weights must fit, the first layer with its image channels included. Heads may
    differ.

    Args:
        model: model to train.
        start: start model.

    Example:
        >>> from congeal.methods import find_method
        >>> rpe = find_method("rpe")
        >>> misfit(rpe(), rpe(dimensions=8)) is None
        True
        >>> misfit(rpe(encoder="mobilenetv3_small_050"), rpe())
        'network.encoder is mobilenetv3_small_050, not compact'
    """
    available = dict(start.named_parameters())
    encoder = {id(parameter) for parameter in model.encoder_parameters()}
    parameters = dict(model.named_parameters())
    wanted = {n: p for n, p in parameters.items() if id(p) in encoder} or parameters
    missing = [name for name, value in wanted.items() if not _fits(name, value, available)]
    if not missing:
        return None
    own, other = model.config.flat(), start.config.flat()
    differ = [n for n in own if n.startswith("network.") and n in other and own[n] != other[n]]
    if differ:
        name = differ[0]
        return f"{name} is {own[name]}, not {other[name]}"
    return f"its {missing[0]} has another shape"


def _fits(name: str, value: Tensor, other: Mapping[str, Any]) -> bool:
    return name in other and other[name].shape == value.shape
