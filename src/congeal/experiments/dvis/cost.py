"""Floating-point operations of every part, at the paper's size (table 5)."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from congeal.experiments.result import Claim, FigureResult, house_style, new_figure, save_figure
from congeal.methods.dvis import DVIS
from congeal.methods.dvis.verification import SIDE

__all__ = ["count_operations", "draw_dvis_table5"]

PAPER_SIDE = 513  # px, of images of VOC
CANDIDATES = 10  # the paper has 5 to 15 an image
MOST = 0.2  # share of the second stage that is still small


def _operations(run: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops())


def count_operations(encoder: str, side: int, candidates: int = CANDIDATES) -> dict[str, int]:
    """Floating-point operations of the parts of the paper's network for one square image.

    Products and sums count one each. Nothing is computed: shapes are enough.

    Args:
        encoder: of timm.
        side: of the image, in pixels.
        candidates: verified.
    """
    settings = {**DVIS.presets["paper"], "network.encoder": encoder, "network.pretrained": False}
    settings = {path: value for path, value in settings.items() if "training." not in path}
    model = DVIS(**settings).to("meta").eval()
    side = math.ceil(side / model.divisor) * model.divisor
    image = torch.empty(1, 3, side, side, device="meta")
    body, judge = model.network.body, model.verification
    width = judge.project.out_channels
    with torch.no_grad():
        features = body.encoder(image)
        x = body.refine(body.decoder(features))
        joined = model.network._joined(features)
        seen = torch.empty(candidates, width, SIDE, SIDE, device="meta")
        mask = torch.empty(candidates, 1, SIDE, SIDE, device="meta")
        flat = judge.layers(seen)
        pixels = x.shape[-1] * x.shape[-2]
        return {
            "encoder": _operations(lambda: body.encoder(image)),
            "decoder": _operations(lambda: body.refine(body.decoder(features))),
            "value": _operations(lambda: body.heads["value"](x)),
            # sorting and one pass per bandwidth, counted as comparisons
            "mean shift": 2 * pixels * math.ceil(math.log2(pixels)),
            "projection": _operations(lambda: judge.project(joined)),
            "verification": _operations(lambda: (judge.join(mask), judge.layers(seen))),
            "heads": _operations(lambda: (judge.classify(flat), judge.cover(flat))),
        }


def draw_dvis_table5(folder: str | Path, *, quick: bool = False, seed: int = 0) -> FigureResult:
    """Count the operations of the parts for an image of VOC's size.

    Args:
        folder: where ``dvis_table5.png`` and ``dvis_table5.csv`` go.
        quick: a smaller encoder and image.
        seed: not used; nothing is random here.

    Returns:
        The files; operations of each part in billions, and the share of the second stage.
    """
    encoder, side = ("resnet18", 129) if quick else ("resnet50", PAPER_SIDE)
    parts = count_operations(encoder, side)
    second = sum(parts[name] for name in ("projection", "verification", "heads"))
    share = second / sum(parts.values())
    claim = Claim(
        f"the second stage is cheap: at most {MOST:.0%} of the operations",
        "a small share of the network (VOC 2012)",
        f"{share:.1%} for {CANDIDATES} candidates ({encoder}, {side} x {side})",
        share <= MOST,
    )
    with house_style():
        figure = new_figure(6.4, 3.6, f"Operations of an image, {encoder}, {side} x {side}")
        axes = figure.subplots()
        axes.barh(list(parts), [value / 1e9 for value in parts.values()])
        axes.invert_yaxis()
        axes.set(xlabel="billions of operations")
    rows: list[dict[str, Any]] = [
        {"part": name, "operations": value} for name, value in parts.items()
    ]
    numbers = {f"{name}, billions": value / 1e9 for name, value in parts.items()}
    numbers["share of the second stage"] = share
    return save_figure(folder, "dvis_table5", figure, rows, numbers, [claim])
