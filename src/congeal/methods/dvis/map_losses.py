"""The four terms that the value map learns by, from the output of its network."""

from __future__ import annotations

import torch
from torch import Tensor

from congeal.losses.variational import VariationalTerms, variational_terms
from congeal.methods.dvis.config import DVISLoss
from congeal.methods.dvis.network import ValueOutput

__all__ = ["map_losses"]

TERMS = ("binary", "permutation", "mumford_shah", "quantisation")


def map_losses(
    output: ValueOutput,
    labels: Tensor,
    loss: DVISLoss,
    stride: int,
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """The weighted terms of a value map, each by its name.

    Where the network tells background from objects by an output of its own, the binary term sees
    that output, and the pairs see the values as if all pixels were of objects.

    Args:
        output: of the network.
        labels: ``(B, h, w)`` integers: -1 void, 0 background, 1..K objects.
        loss: the settings.
        stride: of the map, in pixels.
        generator: of random pairs, on the CPU.

    Example:
        >>> output = ValueOutput(torch.full((1, 1, 4, 4), 2.0), torch.zeros(1, 1, 1, 1))
        >>> terms = map_losses(output, torch.ones(1, 4, 4, dtype=torch.int64), DVISLoss(), 2)
        >>> {name: float(term) for name, term in terms.items()}
        {'binary': 0.0, 'permutation': 0.0, 'mumford_shah': 0.0, 'quantisation': 0.0}
    """
    seen = {
        "binary": output.values if output.foreground is None else output.foreground,
        "permutation": output.values if output.grown is None else output.grown,
    }
    found = {}
    for name in TERMS:
        weight = float(getattr(loss, f"{name}_weight"))
        values = seen.get(name, output.values)
        terms = _terms(values, labels, loss, stride, name, generator)
        found[name] = weight * getattr(terms, name)
    return found


def _terms(
    values: Tensor,
    labels: Tensor,
    loss: DVISLoss,
    stride: int,
    name: str,
    generator: torch.Generator | None,
) -> VariationalTerms:
    """All terms, of which one alone is worked out, and that only if it has a weight."""
    radius = loss.repulsion_radius
    weights = tuple(float(n == name and getattr(loss, f"{n}_weight") > 0) for n in TERMS)
    return variational_terms(
        values,
        labels,
        weights=weights,  # type: ignore[arg-type]
        object_margin=loss.object_margin,
        margin=loss.margin,
        theta=loss.theta,
        pairs=loss.pairs,
        window=loss.window,
        centre=loss.centre,
        dilation=loss.dilation,
        count=loss.pair_count,
        different_weight=loss.different_weight,
        repulsion_radius=None if radius is None else radius / stride,
        generator=generator,
    )
