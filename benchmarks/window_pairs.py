"""Share of a step of DVIS that the pairs of its stratified window take, at 129/8/8.

    python benchmarks/window_pairs.py [--batch 8] [--encoder resnet50] [--quick] [--json FILE]

The network of the value map goes forward and backward, then the window term does on a map of the
size that it gives, 65 x 65 and 128 x 128; both take turns. ``ratio`` is the time of the term over
that of the network; the aim is half at most.
"""

from __future__ import annotations

import torch
from losses import draw_scene
from measure import Row, best_in_turns, options, tell

from congeal.losses import permutation_term
from congeal.methods.dvis import DVIS

SIDES = (65, 128)


def network_step(model: DVIS, image: torch.Tensor) -> None:
    """Forward and backward of the network alone."""
    values = model(image).values
    values.backward(torch.ones_like(values))


def measure(model: DVIS, batch: int, side: int, device: str) -> Row:
    """Times of the network and of the window term for maps of one size."""
    shown = -(-side * model.config.network.stride // model.divisor) * model.divisor
    image = torch.rand(batch, 3, shown, shown, device=device)
    image = image.contiguous(memory_format=torch.channels_last)
    scene = draw_scene(batch, side, device, objects=8, dimensions=1)
    values = scene.values.detach().requires_grad_()
    network, term = best_in_turns(
        lambda: network_step(model, image),
        lambda: permutation_term(values, scene.labels).backward(),
    )
    return {
        "encoder": model.config.network.encoder,
        "image": shown,
        "map": side,
        "network ms": network * 1e3,
        "window ms": term * 1e3,
        "ratio": term / network,
    }


def main() -> None:
    chosen = options(
        __doc__ or "",
        batch=(8, "images, as in a training"),
        encoder=("resnet50", "of the paper's network"),
        quick=(False, "the smaller map and the compact network only, to see that it runs"),
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    models = [DVIS()]
    if not chosen.quick:
        models.append(DVIS(encoder=chosen.encoder, stride=4, coordinates="none"))
    rows = [
        measure(model.to(device).train(), chosen.batch, side, device)
        for model in models
        for side in SIDES[: 1 if chosen.quick else None]
    ]
    tell("the window term beside the network", rows, chosen.json, images=chosen.batch)


if __name__ == "__main__":
    main()
