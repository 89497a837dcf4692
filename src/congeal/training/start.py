"""Starting a training from the weights of another model."""

from __future__ import annotations

from pathlib import Path

from congeal.errors import CongealError
from congeal.methods.method import Method
from congeal.models.folder import load

__all__ = ["start_from"]


def start_from(model: Method, start: str | Path) -> int:
    """Copy the weights that fit from a saved model; what is left keeps its fresh values.

    Layers fit by name and shape, so a model of other classes, or of another method with the same
    network, lends all that does not depend on them.

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
    theirs, own = load(start).state_dict(), model.state_dict()
    fitting = {
        name: value
        for name, value in theirs.items()
        if name in own and own[name].shape == value.shape
    }
    weights = {name for name, _ in model.named_parameters()}
    if not weights & set(fitting):
        raise CongealError(
            f"expected weights in {start} that fit {model.name} with these settings, found none"
        )
    model.load_state_dict({**own, **fitting})
    return len(fitting)
