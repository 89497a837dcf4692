"""Images of five sizes and two densities, whole or in tiles: seconds and peak memory.

    python benchmarks/tiling.py [--largest 4096] [--sizes 5] [--density both] [--tile 0] \\
        [--overlap 0] [--quick] [--json FILE]
    python benchmarks/tiling.py --mosaic [--grid 9] [--quick] [--json FILE]

An image repeats a drawn patch of nuclei, so that larger images are not harder ones. Seconds are
processor time of this process, which other work on the machine does not change. ``beyond MB`` is
the peak of memory beyond the image, less the label map (4 bytes a pixel).

``--mosaic`` scores tile sizes instead: patches of nuclei images for validation, each scaled to its
own percentiles, are laid side by side to one image with its true label map, which the model that
ships segments in tiles of 256 to 2,048 pixels.
"""

from __future__ import annotations

import sys
import time
from itertools import product
from typing import Any

import numpy as np
from measure import Row, options, peak_megabytes, tell
from numpy.typing import NDArray

import congeal
from congeal.data import open_dataset
from congeal.data.intensity import scale_intensity
from congeal.data.sample import LabelMap, Pixels, Sample
from congeal.labels import relabel
from congeal.metrics import matching
from congeal.prediction.tiled import Tiling, segment_image

SMALLEST = 512  # pixels a side
GAPS = {"dense": 32, "sparse": 128}  # pixels from one nucleus to the next
PATCH = 512
TILES = (256, 512, 1024, 2048)
PIECE = 256  # pixels of a side of a piece of the mosaic of nuclei


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
    start = time.process_time()
    peak = peak_megabytes(lambda: found.append(segment_image(model, image, tiling)))
    seconds = time.process_time() - start
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


def nuclei_mosaic(grid: int) -> tuple[NDArray[np.uint8], LabelMap]:
    """Pieces of nuclei in fluorescence, `grid` by `grid`, and their true label map."""
    pieces = [one for sample in open_dataset("nuclei:fluorescence", "val") for one in cut(sample)]
    image = np.zeros((grid * PIECE, grid * PIECE, 1), np.uint8)
    labels = np.zeros(image.shape[:2], np.int64)
    for number, (row, column) in enumerate(product(range(grid), repeat=2)):
        window = tuple(slice(PIECE * place, PIECE * (place + 1)) for place in (row, column))
        pixels, own = pieces[number % len(pieces)]
        image[*window, 0] = pixels
        labels[window] = np.where(own > 0, own + labels.max(), 0)
    return image, relabel(labels)


def cut(sample: Sample) -> list[tuple[Pixels, LabelMap]]:
    """All whole pieces of an image, scaled to 8 bit by its percentiles, with their labels."""
    scaled = (scale_intensity(sample.image)[0].clamp(0, 1) * 255).byte().numpy()
    corners = product(*(range(0, side - PIECE + 1, PIECE) for side in scaled.shape))
    windows = [(slice(top, top + PIECE), slice(left, left + PIECE)) for top, left in corners]
    return [(scaled[window], relabel(sample.labels[window].clip(0))) for window in windows]


def score_tiles(grid: int, tiles: tuple[int, ...]) -> list[Row]:
    """AP of one mosaic by the size of the tiles."""
    (image, truth), model, rows = nuclei_mosaic(grid), congeal.load("nuclei"), []
    for tile in tiles:
        start = time.process_time()
        found, seams = segment_image(model, image, Tiling(tile))
        scores = matching(prediction=found.labels, truth=truth, threshold=[0.5, 0.7])
        row: Row = {"tile": tile, "tiles": seams.tiles, "objects": len(found)}
        row |= {"true": int(truth.max()), "AP@.5": scores[0].ap, "AP@.7": scores[1].ap}
        row |= {"joined": seams.joined, "doubtful": len(seams.doubtful)}
        rows.append(row | {"seconds": time.process_time() - start})
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def main() -> None:
    chosen = options(
        __doc__ or "",
        largest=(4096, "side of the largest image"),
        sizes=(5, "how many, from 512 pixels a side up; 1: the largest alone"),
        density=("both", "dense, sparse or both"),
        tile=(0, "side of the tiles; 0: as memory says"),
        overlap=(0, "of neighbouring tiles; 0: by the size of the objects"),
        mosaic=(False, "score a mosaic of nuclei by the size of the tiles"),
        grid=(9, "pieces of 256 pixels in a row of that mosaic"),
        quick=(False, "two small images only, to see that it runs"),
    )
    if chosen.mosaic:
        grid, tiles = (2, (256, 512)) if chosen.quick else (chosen.grid, TILES)
        tell("tile sizes on a mosaic of nuclei", score_tiles(grid, tiles), chosen.json)
        return
    sides = np.geomspace(chosen.largest, SMALLEST, chosen.sizes).round().astype(int)[::-1].tolist()
    densities = [name for name in GAPS if chosen.density in (name, "both")]
    tiling = Tiling(chosen.tile or None, chosen.overlap or None)
    if chosen.quick:
        sides, tiling = [320], Tiling(256, 64)
    model = congeal.load("nuclei")
    rows = [measure(model, density, side, tiling) for density in densities for side in sides]
    tell("images of any size", rows, chosen.json)


if __name__ == "__main__":
    main()
