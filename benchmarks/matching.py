"""Matching of label maps: seconds for one pair, and the memory that many pairs take.

    python benchmarks/matching.py [--side 1024] [--objects 300] [--pairs 1000] [--json FILE]

One pair has blobs of a random size and a prediction that is shifted, partly missing and partly
cut in two. Beside ours stand what pycocotools needs for the same intersections (encoding of the
masks, then IoU of all pairs) and, where it is installed, ``stardist.matching``. Seconds are CPU
time of the process, the best of several calls, so that a busy machine changes little. Of many
pairs the mean is told, with the memory that arrays hold at most and by how much the process grew.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
from measure import Row, options, peak_megabytes, tell
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from scipy import ndimage

from congeal.metrics import MatchingMetric, matching

Labels = NDArray[np.int64]

THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
LOW = 0.3  # below one half objects have to be assigned


def draw_pair(side: int, objects: int, seed: int) -> tuple[Labels, Labels]:
    """True and predicted label map; the true one has ``objects`` blobs."""
    rng = np.random.default_rng(seed)
    across = int(np.ceil(np.sqrt(objects)))
    grid = side / across
    seeds = np.stack(np.divmod(rng.permutation(across**2)[:objects], across)) * grid
    seeds = (seeds + rng.uniform(grid / 4, 3 * grid / 4, seeds.shape)).astype(int)
    empty = np.ones((side, side), bool)
    empty[tuple(seeds)] = False
    distance, (near_row, near_col) = ndimage.distance_transform_edt(empty, return_indices=True)
    numbers = np.zeros((side, side), np.int64)
    numbers[tuple(seeds)] = np.arange(1, seeds.shape[1] + 1)
    radii = np.concatenate([[0], rng.uniform(grid / 4, 0.7 * grid, seeds.shape[1])])
    true = numbers[near_row, near_col]
    true[distance > radii[true]] = 0
    pred = np.roll(true, rng.integers(1, 5, 2), axis=(0, 1))
    fate = rng.random(seeds.shape[1] + 1)[pred]
    pred[fate < 0.05] = 0
    halves = (fate > 0.9) & (np.arange(side) % 2 == 0)
    pred[halves & (pred > 0)] += seeds.shape[1]
    return true, pred


def cpu_seconds(run: Callable[[], Any], repeats: int = 5) -> float:
    """Least CPU time of several calls, after one that is not counted."""
    run()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return min(times)


def run_lengths(labels: Labels) -> list[dict[str, Any]]:
    """Every object of a label map as pycocotools holds it."""
    ids = np.unique(labels[labels > 0])
    return [coco_mask.encode(np.asfortranarray(labels == label, np.uint8)) for label in ids]


def time_one(true: Labels, pred: Labels) -> list[Row]:
    """Seconds for one pair, by whom and for what."""
    first, second = run_lengths(true), run_lengths(pred)
    crowd = [0] * len(first)
    jobs: dict[tuple[str, str], Callable[[], Any]] = {
        ("congeal", "IoU >= 0.5"): lambda: matching(prediction=pred, truth=true),
        ("congeal", "ten thresholds, 0.5 to 0.95"): lambda: matching(
            prediction=pred, truth=true, threshold=THRESHOLDS
        ),
        ("congeal", f"IoU >= {LOW}"): lambda: matching(prediction=pred, truth=true, threshold=LOW),
        ("pycocotools", "encode both maps"): lambda: (run_lengths(true), run_lengths(pred)),
        ("pycocotools", "IoU of all pairs"): lambda: coco_mask.iou(second, first, crowd),
    }
    try:
        theirs = import_module("stardist.matching").matching
    except ImportError:
        print("stardist is not installed: its rows are left out")
    else:
        jobs["stardist", "IoU >= 0.5"] = lambda: theirs(true, pred, thresh=0.5)
        jobs["stardist", "ten thresholds, 0.5 to 0.95"] = lambda: theirs(true, pred, THRESHOLDS)
        jobs["stardist", f"IoU >= {LOW}"] = lambda: theirs(true, pred, thresh=LOW)
    rows = []
    for (by, what), run in jobs.items():
        found = getattr(run(), "tp", None)  # none where there are several thresholds
        rows.append(
            {"by": by, "what": what, "seconds": cpu_seconds(run), "matches": found and int(found)}
        )
    return rows


def time_many(pairs: list[tuple[Labels, Labels]], count: int) -> list[Row]:
    """Seconds and memory while a metric sees more and more pairs, ten thresholds each."""
    rows = []
    for images in sorted({max(count // 100, 1), max(count // 10, 1), count}):

        def feed(images: int = images) -> None:
            metric = MatchingMetric(THRESHOLDS)
            for image in range(images):
                true, pred = pairs[image % len(pairs)]
                metric.update(prediction=pred, truth=true)

        start = time.process_time()
        resident = peak_megabytes(feed)
        seconds = (time.process_time() - start) / images
        rows.append(
            {
                "by": "congeal",
                "what": f"ten thresholds, a pair of {images:,}",
                "seconds": seconds,
                "peak MB": _traced_megabytes(feed),
                "resident MB": resident,
            }
        )
    return rows


def _traced_megabytes(run: Callable[[], Any]) -> float:
    """Most memory that arrays of ``run`` hold at once, as Python traces it."""
    tracemalloc.start()
    run()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / 2**20


def main() -> None:
    """Draw, measure and tell."""
    chosen = options(
        "Time and memory of matching label maps.",
        side=(1024, "side of the maps in pixels"),
        objects=(300, "objects in each"),
        pairs=(1000, "pairs for the measure of memory"),
    )
    pairs = [draw_pair(chosen.side, chosen.objects, seed) for seed in range(4)]
    true, pred = pairs[0]
    size = f"{chosen.side} x {chosen.side}, {len(np.unique(true)) - 1} objects"
    rows = time_one(true, pred) + time_many(pairs, chosen.pairs)
    tell(f"Matching a pair of {size}: CPU seconds for each pair", rows, chosen.json, maps=size)


if __name__ == "__main__":
    main()
