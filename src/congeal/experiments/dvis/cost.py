"""Floating-point operations of every part, at the paper's size (table 5), and time here."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from congeal.experiments.result import Claim, FigureResult, house_style, new_figure, save_figure
from congeal.methods.dvis import DVIS
from congeal.methods.dvis.verification import SIDE

__all__ = ["count_operations", "draw_dvis_table5", "measure_seconds"]

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
    model = _paper_model(encoder).to("meta")
    side = math.ceil(side / model.divisor) * model.divisor
    image = torch.empty(1, 3, side, side, device="meta")
    body, verification = model.network.body, model.verification
    width = verification.project.out_channels
    with torch.no_grad():
        features = body.encoder(image)
        x = body.refine(body.decoder(features))
        joined = model.network._joined(features)
        seen = torch.empty(candidates, width, SIDE, SIDE, device="meta")
        mask = torch.empty(candidates, 1, SIDE, SIDE, device="meta")
        flat = verification.layers(seen)
        pixels = x.shape[-1] * x.shape[-2]
        return {
            "encoder": _operations(lambda: body.encoder(image)),
            "decoder": _operations(lambda: body.refine(body.decoder(features))),
            "value": _operations(lambda: body.heads["value"](x)),
            # sorting and one pass per bandwidth, counted as comparisons
            "mean shift": 2 * pixels * math.ceil(math.log2(pixels)),
            "projection": _operations(lambda: verification.project(joined)),
            "verification": _operations(
                lambda: (verification.join(mask), verification.layers(seen))
            ),
            "heads": _operations(lambda: (verification.classify(flat), verification.cover(flat))),
        }


def _paper_model(encoder: str) -> DVIS:
    settings = {**DVIS.presets["paper"], "network.encoder": encoder, "network.pretrained": False}
    return DVIS(**{path: v for path, v in settings.items() if "training." not in path}).eval()


@torch.inference_mode()
def measure_seconds(encoder: str, side: int, candidates: int = CANDIDATES) -> dict[str, float]:
    """Seconds of the parts of the paper's network for one square image on this machine.

    Weights are random, so a map of squares stands for the values that are grouped.

    Args:
        encoder: of timm.
        side: of the image, in pixels.
        candidates: verified, at most 16.
    """
    model = _paper_model(encoder)
    side = math.ceil(side / model.divisor) * model.divisor
    image = torch.rand(1, 3, side, side)
    output = model(image)
    values = _squares(output.values.shape[-1], candidates)
    masks = model.find(values).masks
    verification = model.verification
    return {
        "network": _seconds(lambda: model(image)),
        "mean shift": _seconds(lambda: model.find(values)),
        "second stage": _seconds(
            lambda: verification(verification.project(output.features), masks, model._ratio)
        ),
    }


def _squares(side: int, count: int) -> torch.Tensor:
    """A map ``(1, side, side)`` of so many squares on a grid of four by four."""
    values, cell = torch.zeros(1, side, side), side // 4
    for number in range(count):
        top, left = cell * (number // 4), cell * (number % 4)
        values[0, top : top + cell - 2, left : left + cell - 2] = 2.0 + number
    return values


def _seconds(run: Callable[[], object]) -> float:
    """Of the fastest of three calls."""
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return min(taken)


def draw_dvis_table5(folder: str | Path, *, quick: bool = False, seed: int = 0) -> FigureResult:
    """Count the operations of the parts for an image of VOC's size, and time them.

    Args:
        folder: where ``dvis_table5.png`` and ``dvis_table5.csv`` go.
        quick: a smaller encoder and image.
        seed: not used; nothing is random here.

    Returns:
        The files; operations of each part in billions, seconds here, and the share of the second
        stage in both.
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
    seconds = measure_seconds(encoder, side)
    of_time = seconds["second stage"] / sum(seconds.values())
    timed = Claim(
        f"the second stage takes at most {MOST:.0%} of the time of an image",
        "no time of its own given",
        f"{of_time:.1%} of {sum(seconds.values()):.2f} s on this machine",
        of_time <= MOST,
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
    rows += [{"part": name, "seconds": value} for name, value in seconds.items()]
    numbers |= {f"{name}, seconds": value for name, value in seconds.items()}
    numbers["share of the second stage in time"] = of_time
    return save_figure(folder, "dvis_table5", figure, rows, numbers, [claim, timed])
