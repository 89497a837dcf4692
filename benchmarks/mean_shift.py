"""A mean-shift step, forward and backward: time, share of the matrix peak, memory.

    python benchmarks/mean_shift.py [--most 65536] [--json FILE]

``share`` is 4 D N^2 flops (both products of attention) over the time and the peak of a matrix
product; step, backward pass and product take turns, so that all see the same machine. Half of the
similarities follow from the other half, which the blocks use, so their share may exceed one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from measure import Row, best_in_turns, matrix_product, options, peak_megabytes, tell
from torch import Tensor
from torch.nn.functional import normalize, scaled_dot_product_attention

from congeal.grouping import MeanShift

KAPPA = 36.0
WRITTEN_OUT = 16_384  # points beyond which the matrix is not written


def congeal_step(points: Tensor) -> Tensor:
    return MeanShift(KAPPA).step(points[None])[0]


def attention_step(points: Tensor) -> Tensor:
    """PyTorch's kernel as it is: no space, no masses, no half precision."""
    heads = points[None, None]
    return normalize(scaled_dot_product_attention(KAPPA * heads, heads, heads, scale=1.0)[0, 0])


def matrix_step(points: Tensor) -> Tensor:
    kernel = (KAPPA * (points @ points.T - 1)).exp()
    return normalize(kernel @ points / kernel.sum(1, keepdim=True), dim=1)


def both_ways(step: Callable[[Tensor], Tensor], points: Tensor) -> None:
    points = points.detach().requires_grad_()
    step(points).backward(points.detach().roll(1, 0))


def measure(name: str, step: Callable[[Tensor], Tensor], points: Tensor) -> Row:
    count, dimensions = points.shape
    product, flops = matrix_product(points.device.type)
    forward, there_and_back, multiplied = best_in_turns(
        torch.no_grad()(lambda: step(points)), lambda: both_ways(step, points), product
    )
    peak = flops / multiplied
    return {
        "points": count,
        "D": dimensions,
        "how": name,
        "forward ms": forward * 1e3,
        "share": 4 * dimensions * count**2 / forward / peak,
        "peak Gflops": round(peak / 1e9),
        "forward + backward ms": there_and_back * 1e3,
        "ratio": there_and_back / forward,
        "peak MB": peak_megabytes(lambda: both_ways(step, points)),
    }


def main() -> None:
    chosen = options(
        __doc__ or "",
        most=(16_384, "largest number of points"),
        dimensions=("3,16,64", "of the embedding"),
        least=(1024, "smallest number of points"),
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rows = []
    for dimensions in map(int, chosen.dimensions.split(",")):
        for count in (1024, 4096, 16_384, 65_536, 262_144):
            if not chosen.least <= count <= chosen.most:
                continue
            torch.manual_seed(0)
            points = normalize(torch.randn(count, dimensions, device=device), dim=1)
            rows.append(measure("congeal", congeal_step, points))
            if count <= WRITTEN_OUT:
                rows.append(measure("fused attention", attention_step, points))
                rows.append(measure("matrix written out", matrix_step, points))
    tell("one mean-shift step", rows, chosen.json)


if __name__ == "__main__":
    main()
