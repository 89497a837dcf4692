"""Share of a training step that the losses, and the grouping inside them, take.

    python benchmarks/training_step.py [--encoder resnet18] [--side 256] [--batch 8] [--quick]
        [--json FILE]

The network goes forward and backward once, with gradients of one at its outputs; then each
method's losses go forward and backward on embeddings of the size it gives. ``share`` is the time of
the losses over that of both. The embedding that the losses see is that of trained objects with
noise, not that of an untrained network.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from losses import Scene, draw_scene
from measure import Row, best_seconds, options, peak_megabytes, tell
from torch import Tensor

from congeal import RPE
from congeal.data.batch import Batch
from congeal.grouping import SphericalKMeans
from congeal.losses import discriminative_loss, variational_loss, vmf_n_loss
from congeal.networks.embedding import EmbeddingOutput


def network_step(model: RPE, image: Tensor) -> None:
    """Forward and backward of the network alone."""
    output = [part for part in model(image) if isinstance(part, Tensor) and part.requires_grad]
    torch.autograd.backward(output, [torch.ones_like(part) for part in output])


def sorting_loss(embedding: Tensor, semantic: Tensor) -> Tensor:
    """SegSort: k-means of every image, then vMF-N of its segments."""
    clusters = torch.stack([groups.labels for groups in SphericalKMeans()(embedding)])
    return vmf_n_loss(embedding, clusters, semantic)


def loss_steps(
    model: RPE, output: EmbeddingOutput, whole: Scene, coarse: Scene
) -> dict[str, Callable[[], Tensor]]:
    """What is minimised by each method, each on leaves of its own."""
    leaves = [part.detach().requires_grad_() for part in output.maps().values()]
    leaves[0] = coarse.embedding.detach().clone().requires_grad_()
    values = coarse.values.detach().clone().requires_grad_()
    seen = type(output)(*leaves)

    def rpe(*names: str) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        batch = Batch(image, labels=whole.labels, semantic=whole.labels.clamp(max=1))
        terms = model.losses_of(seen, batch, generator=generator)
        return torch.stack([terms[name] for name in names or terms]).sum()

    image = torch.empty(len(whole.labels), 3, *whole.labels.shape[1:])
    c = model.config.loss
    drawn = f"{c.samples:,} pixels, {c.mean_shift_steps} step"
    return {
        f"rpe: pairs, {drawn}": lambda: rpe("embedding"),
        "rpe: all terms": rpe,
        "segsort: k-means and vmf_n": lambda: sorting_loss(leaves[0], coarse.semantic),
        "dvis: variational, window": lambda: variational_loss(values, coarse.labels),
        "discriminative": lambda: discriminative_loss(leaves[0], coarse.labels),
    }


def main() -> None:
    chosen = options(
        __doc__ or "",
        encoder=("resnet18", "of timm, or compact"),
        side=(256, "side of the images in pixels"),
        batch=(8, "images"),
        quick=(False, "two images of 64 x 64, to see that it runs"),
    )
    batch, side = (2, 64) if chosen.quick else (chosen.batch, chosen.side)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = RPE(encoder=chosen.encoder).to(device).train()
    image = torch.rand(batch, 3, side, side, device=device)
    image = image.contiguous(memory_format=torch.channels_last)
    network = best_seconds(lambda: network_step(model, image), repeats=3)
    rows: list[Row] = [
        {
            "what": f"network of {chosen.encoder}",
            "ms": network * 1e3,
            "peak MB": peak_megabytes(lambda: network_step(model, image)),
        }
    ]
    with torch.no_grad():
        output = model(image)
    whole = draw_scene(batch, side, device, dimensions=1)
    coarse = draw_scene(
        batch,
        side // model.config.network.stride,
        device,
        dimensions=model.config.network.dimensions,
    )
    for name, loss in loss_steps(model, output, whole, coarse).items():
        seconds = best_seconds(lambda loss=loss: loss().backward())
        held = peak_megabytes(lambda loss=loss: loss().backward())
        share = seconds / (seconds + network)
        rows.append({"what": name, "ms": seconds * 1e3, "peak MB": held, "share": share})
    size = f"{batch} x {side} x {side}"
    tell(f"a training step, {size}, forward and backward", rows, chosen.json, images=size)


if __name__ == "__main__":
    main()
