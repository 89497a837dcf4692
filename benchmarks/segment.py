"""The whole of ``congeal segment`` by stage: read, network, decode, write, in ms and as a share.

    python benchmarks/segment.py [--images 40] [--split test] [--side 2048] [--threads 1]
                                 [--json FILE]

The model that ships segments ``--images`` of the nuclei pack, each from its file to a PNG of labels
and a row of measurements, and one image of ``--side`` x ``--side`` pixels made of them. Stages take
turns image by image in one process, after one image that is not counted. Where StarDist is
installed (``pip install stardist tensorflow``) its ``2D_versatile_fluo`` predicts the same images.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import Row, options, tell
from numpy.typing import NDArray
from PIL import Image

import congeal
from congeal.data import open_dataset
from congeal.data.images import read_image
from congeal.methods import Method
from congeal.segmentation import Segmentation

Picture = NDArray[Any]
STAGES = ("read", "network", "decode", "write")


def by_stage(model: Method, files: Iterable[Path], folder: Path) -> NDArray[np.float64]:
    """Seconds of each stage, ``(images, 4)``; the first image is not counted."""
    rows = []
    for file in files:
        marks = [time.perf_counter()]

        def mark(marks: list[float] = marks) -> None:
            marks.append(time.perf_counter())

        picture = read_image(file)
        mark()
        maps = model.predict_maps(picture)
        mark()
        found = model.decode(maps)
        mark()
        write(found, folder / file.name)
        mark()
        rows.append(np.diff(marks))
    return np.array(rows[1:] if len(rows) > 1 else rows)


def write(found: Segmentation, path: Path) -> None:
    """Labels and measurements, as ``congeal segment`` writes by default."""
    found.save_labels(path.with_suffix(".png"))
    found.save_csv(path.with_suffix(".csv"))


def by_stardist() -> Callable[[Picture], Any] | None:
    """What predicts an image by StarDist, if that is installed."""
    if find_spec("stardist") is None:
        return None
    normalize = import_module("csbdeep.utils").normalize
    model = import_module("stardist.models").StarDist2D.from_pretrained("2D_versatile_fluo")
    return lambda picture: model.predict_instances(
        normalize(picture.astype(np.float32).reshape(*picture.shape[:2], -1).mean(-1), 1, 99.8)
    )


def row(name: str, seconds: NDArray[np.float64], star: float | None) -> Row:
    mean = 1e3 * seconds.mean(0)
    found: Row = {"images": name, "ms an image": float(mean.sum())}
    for stage, own in zip(STAGES, mean, strict=True):
        found[f"{stage} ms"] = float(own)
        found[f"{stage} %"] = 100 * float(own / mean.sum())
    found["decode / network"] = float(mean[2] / mean[1])
    return found | ({} if star is None else {"StarDist ms": star})


def timed(predict: Callable[[Picture], Any] | None, files: Iterable[Path]) -> float | None:
    """Mean ms of a prediction, after one that is not counted."""
    if predict is None:
        return None
    times = []
    for file in files:
        picture = read_image(file)
        start = time.perf_counter()
        predict(picture)
        times.append(time.perf_counter() - start)
    return 1e3 * float(np.mean(times[1:] if len(times) > 1 else times))


def mosaic(pictures: Iterable[Picture], side: int) -> Picture:
    """One image ``(side, side)`` of several, in gray, in rows of equal height."""
    tiles = [picture.reshape(*picture.shape[:2], -1)[:256, :256, 0] for picture in pictures]
    tiles = [tile for tile in tiles if tile.shape == (256, 256)]
    count = -(-side // 256)
    rows = [
        np.concatenate([tiles[(count * i + j) % len(tiles)] for j in range(count)], 1)
        for i in range(count)
    ]
    return np.concatenate(rows)[:side, :side]


def main() -> None:
    chosen = options(
        __doc__ or "",
        images=(40, "of the nuclei pack"),
        split=("test", "of the pack"),
        side=(2048, "px, of the large image; 0: none"),
        threads=(1, "of PyTorch"),
    )
    torch.set_num_threads(chosen.threads)
    data, model, star = open_dataset("nuclei", chosen.split), congeal.load("nuclei"), by_stardist()
    pictures = [data[index].image for index in range(min(chosen.images, len(data)))]
    with tempfile.TemporaryDirectory() as given:
        folder, rows = Path(given), list[Row]()
        files = [save(picture, folder / f"{n}.png") for n, picture in enumerate(pictures)]
        results = folder / "results"
        results.mkdir()
        name = f"{len(files) - 1} of nuclei"
        rows.append(row(name, by_stage(model, files, results), timed(star, files)))
        if chosen.side:
            large = [save(mosaic(pictures, chosen.side), folder / "large.png")]
            name = f"{chosen.side} x {chosen.side}"
            rows.append(row(name, by_stage(model, large, results), timed(star, large)))
    tell("congeal segment by stage", rows, chosen.json)


def save(picture: Picture, path: Path) -> Path:
    Image.fromarray(picture.squeeze()).save(path)
    return path


if __name__ == "__main__":
    main()
