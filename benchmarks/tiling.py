"""Images of five sizes and two densities, whole or in tiles: seconds and peak memory.

    python benchmarks/tiling.py [--largest 4096] [--tile 0] [--overlap 0] [--quick] [--json FILE]

An image repeats a drawn patch of nuclei, so that larger images are not harder ones. ``beyond MB``
is the peak of memory beyond the image, less the label map (4 bytes a pixel).
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
from measure import Row, options, peak_megabytes, tell
from numpy.typing import NDArray

import congeal
from congeal.prediction.tiled import Tiling, segment_image

COUNT = 5  # sizes, from 512 pixels a side up
GAPS = {"dense": 32, "sparse": 128}  # pixels from one nucleus to the next
PATCH = 512


def mosaic(side: int, gap: int) -> NDArray[np.uint8]:
    """Bright discs of 20 pixels, `(side, side, 1)`."""
    rng, patch = np.random.default_rng(0), np.full((PATCH, PATCH), 20.0)
    rows, columns = np.mgrid[:PATCH, :PATCH]
    for y in range(gap // 2, PATCH, gap):
        for x in range(gap // 2, PATCH, gap):
            far = np.hypot(rows - y - rng.uniform(-3, 3), columns - x - rng.uniform(-3, 3))
            patch = np.maximum(patch, 20 + 160 * np.clip(10.5 - far, 0, 1))
    patch = (patch + rng.normal(0, 4, patch.shape)).clip(0, 255).astype(np.uint8)
    count = -(-side // PATCH)
    return np.tile(patch, (count, count))[:side, :side, None].copy()


def measure(model: Any, density: str, side: int, tiling: Tiling) -> Row:
    """Time and memory of one image; it is segmented once."""
    image, found = mosaic(side, GAPS[density]), []
    start = time.perf_counter()
    peak = peak_megabytes(lambda: found.append(segment_image(model, image, tiling)))
    seconds = time.perf_counter() - start
    print(f"{density}, {side} pixels a side: {seconds:.1f} s", file=sys.stderr, flush=True)
    return {
        "density": density,
        "side": side,
        "tiles": found[0][1].tiles,
        "objects": len(found[0][0]),
        "seconds": seconds,
        "Mpx/s": side**2 / seconds / 1e6,
        "beyond MB": None if peak is None else peak - 4 * side**2 / 2**20,
    }


def main() -> None:
    chosen = options(
        __doc__ or "",
        largest=(4096, "side of the largest image"),
        tile=(0, "side of the tiles; 0: as memory says"),
        overlap=(0, "of neighbouring tiles; 0: by the size of the objects"),
        quick=(False, "two small images only, to see that it runs"),
    )
    sides = np.geomspace(512, chosen.largest, COUNT).round().astype(int).tolist()
    tiling = Tiling(chosen.tile or None, chosen.overlap or None)
    if chosen.quick:
        sides, tiling = [320], Tiling(256, 64)
    model = congeal.load("nuclei")
    rows = [measure(model, density, side, tiling) for density in GAPS for side in sides]
    tell("images of any size", rows, chosen.json)


if __name__ == "__main__":
    main()
