"""Decoding of the discriminative method against its network, and the way of an image in parts.

    python benchmarks/discriminative.py [--threads 2] [--quick] [--json FILE]

First table: decoding of 512 x 512 pixels with 100 objects of one class, by each grouping, over the
forward pass of the default network at that size. The embedding is made up: means at random,
more than 2 delta_d apart, and noise as a trained network leaves, .15 in each of 8 dimensions, at
stride 2. Second table: reading a PNG of 512 x 256 pixels, ENet, decoding, writing the label map.
What ENet says after no training is nothing, so its maps are replaced by made-up ones of 12 objects.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from measure import Row, best_in_turns, options, tell
from PIL import Image
from torch import Tensor

from congeal.data.images import read_image
from congeal.methods import MapPrediction
from congeal.methods.discriminative import Discriminative

NOISE = 0.15  # of each dimension of the embedding; .42 from the mean in 8 of them
SURE = 4.0  # logits of foreground and background
SIDE = 512


def made_up(
    height: int, width: int, objects: int, stride: int, dimensions: int = 8
) -> tuple[Tensor, Tensor]:
    """Embedding ``(D, h, w)`` and logits ``(2, H, W)`` of objects in a grid, half of it covered."""
    rng = torch.Generator().manual_seed(0)
    columns = round((objects * width / height) ** 0.5)
    rows = -(-objects // columns)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    tall, wide = height / rows, width / columns
    index = (y / tall).long() * columns + (x / wide).long()
    away = torch.hypot((y % tall - tall / 2) / tall, (x % wide - wide / 2) / wide)
    inside = (away < 0.4) & (index < objects)
    means = 6 * torch.randn(objects + columns * rows, dimensions, generator=rng)
    small = index[::stride, ::stride]
    noise = torch.randn(dimensions, *small.shape, generator=rng)
    embedding = means[small].movedim(-1, 0) + NOISE * noise
    logits = torch.where(inside, SURE, -SURE)
    return embedding, torch.stack([-logits / 2, logits / 2])


def decoding_rows(side: int, objects: int) -> list[Row]:
    """Seconds of decoding by each grouping, over those of the forward pass."""
    model = Discriminative(min_area=8).eval()
    embedding, semantic = made_up(side, side, objects, 2)
    maps = MapPrediction({"embedding": embedding, "semantic": semantic}, (side, side), stride=2)
    image = torch.rand(1, 3, side, side)

    def forward() -> None:
        with torch.inference_mode():
            model.network(image)

    rows = []
    for grouping in ("flat-shift", "flat-shift-sampled"):
        model.configure(grouping=grouping)
        found = len(model.decode(maps))
        ours, network = best_in_turns(lambda: model.decode(maps), forward)
        row = {"grouping": grouping, "true": objects, "found": found}
        rows.append(row | {"decoding s": ours, "network s": network, "ratio": ours / network})
    return rows


def pipeline_rows(width: int, height: int, folder: Path) -> list[Row]:
    """Seconds of each part of the way of an image by ENet, and their shares."""
    model = Discriminative(name="enet", coordinates="none", min_area=8).eval()
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3)).astype(np.uint8)
    path = folder / "street.png"
    Image.fromarray(pixels).save(path)
    stride = int(model.network.stride)
    embedding, semantic = made_up(height, width, 12, stride)
    maps = MapPrediction({"embedding": embedding, "semantic": semantic}, (height, width), stride)
    result = model.decode(maps)
    parts = {
        "read": lambda: read_image(path),
        "network": lambda: model.predict_maps(pixels),
        "decode": lambda: model.decode(maps),
        "write": lambda: result.save_labels(folder / "out.png"),
    }
    seconds = best_in_turns(*parts.values())
    total = sum(seconds)
    rows: list[Row] = [
        {"part": name, "s": one, "share": one / total}
        for name, one in zip(parts, seconds, strict=True)
    ]
    return [*rows, {"part": f"all: {1 / total:.3g} images/s", "s": total, "share": 1.0}]


def main() -> None:
    """Measure both and tell."""
    chosen = options(
        "Decoding of the discriminative method against its network.",
        threads=(2, "of the processor"),
        quick=(False, "small images, which show only that it runs"),
    )
    torch.set_num_threads(chosen.threads)
    side, size = (64, (64, 32)) if chosen.quick else (SIDE, (512, 256))
    rows = decoding_rows(side, 4 if chosen.quick else 100)
    tell(f"{side} x {side}, decoding against the forward pass", rows, chosen.json)
    with tempfile.TemporaryDirectory() as folder:
        tell(f"ENet, {size[0]} x {size[1]}", pipeline_rows(*size, Path(folder)))


if __name__ == "__main__":
    main()
