"""The boundary benchmark on BSDS500: seconds for 200 images at 99 thresholds, and the scores.

    python benchmarks/boundaries.py [--images 200] [--thresholds 99] [--workers N] [--json FILE]

The prediction is the length of the gradient of the smoothed gray image, over its 99th percentile:
no model is needed, and at every threshold there is something to match, as with a learnt map.
Beside it stands how well annotators agree with each other. Needs the dataset ``bsds500``.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from measure import Row, options, tell
from numpy.typing import NDArray
from rich.progress import Progress
from scipy.ndimage import gaussian_gradient_magnitude

from congeal.data import Dataset, open_dataset
from congeal.data.registry import is_available
from congeal.metrics import HumanAgreementMetric, boundary_benchmark

SMOOTHING = 2.0  # standard deviation in pixels


def gradient(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How steep the gray image is at each pixel, 0 to 1."""
    steep = gaussian_gradient_magnitude(image.mean(-1), SMOOTHING)
    return np.clip(steep / np.percentile(steep, 99), 0, 1)


class Pairs:
    """Prediction and annotators of each image, read when asked for."""

    def __init__(self, dataset: Dataset, count: int) -> None:
        self.dataset, self.count = dataset, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[NDArray[np.float64], tuple[NDArray[np.bool_], ...]]:
        if index >= self.count:
            raise IndexError(index)
        sample = self.dataset[index]
        return gradient(sample.image), sample.boundaries


def benchmark(pairs: Pairs, thresholds: int, workers: int | None) -> Row:
    start = time.perf_counter()
    with Progress() as bar:
        task = bar.add_task("matching", total=len(pairs))
        found = boundary_benchmark(
            pairs, thresholds, workers, lambda done, _: bar.update(task, completed=done)
        ).compute()
    seconds = time.perf_counter() - start
    rows = {name.upper(): found[name] for name in ("ods", "ois", "ap")}
    return {
        "prediction": "gradient" + (" (quick estimate)" if found["quick"] else ""),
        "images": len(pairs),
        "thresholds": int(found["thresholds"]),
        "minutes": seconds / 60,
        "s/image": seconds / len(pairs),
        **rows,
    }


def humans(pairs: Pairs) -> Row:
    start = time.perf_counter()
    metric = HumanAgreementMetric()
    for _, annotators in pairs:  # type: ignore[attr-defined]
        metric.update(truth=annotators)
    seconds = time.perf_counter() - start
    return {
        "prediction": "each annotator against the others",
        "images": len(pairs),
        "minutes": seconds / 60,
        "s/image": seconds / len(pairs),
        "ODS": metric.compute()["f"],
    }


def main() -> None:
    chosen = options(
        __doc__ or "",
        images=(200, "of the test images, the first so many"),
        thresholds=(99, "fewer make a quick estimate"),
        workers=(0, "processes; 0: all cores"),
    )
    if not is_available("bsds500"):
        sys.exit("bsds500 is not here: congeal data info bsds500 says where to get it")
    dataset = open_dataset("bsds500", "test")
    pairs = Pairs(dataset, min(chosen.images, len(dataset)))
    rows = [benchmark(pairs, chosen.thresholds, chosen.workers or None), humans(pairs)]
    tell("BSDS500 boundaries", rows, chosen.json)


if __name__ == "__main__":
    main()
