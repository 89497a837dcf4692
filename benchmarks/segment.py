"""``congeal segment`` by stage: read, network, decode, write, in ms and as a share.

    python benchmarks/segment.py [--data nuclei] [--split test] [--images 40] [--side 2048]
                                 [--rounds 3] [--threads 1] [--stardist FOLDER] [--json FILE]

The model that ships segments ``--images`` images, each from its file to a PNG of labels and a row
of measurements, and one image of ``--side`` x ``--side`` pixels made of them. Every image takes all
stages, then StarDist, before the next one starts; there are ``--rounds`` rounds after one that is
not counted. Times are processor time per thread, the median of the rounds, and a ratio is the
median of the ratios within a round: another program on the machine changes neither much.

StarDist (``pip install stardist tensorflow``) is the model in ``--stardist FOLDER``. If there is no
such folder, StarDist is trained on the training images of ``--data`` for ``--minutes`` and saved
there: the time of an image depends on how many candidates a trained model leaves.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import Row, options, tell
from numpy.typing import NDArray
from PIL import Image

import congeal
from congeal.clock import count_processor_time, now
from congeal.data import open_dataset
from congeal.data.images import read_image
from congeal.experiments.boxes import Budget
from congeal.experiments.stars import StarSegmenter, train_stars
from congeal.methods import Method
from congeal.segmentation import Segmentation

Picture = NDArray[Any]
STAGES = ("read", "network", "decode", "write")
TILE = 256  # px, side of the parts of the large image


def stages_of(model: Method, file: Path, folder: Path) -> list[float]:
    """Seconds of each stage of one image."""
    marks = [now()]

    def mark() -> None:
        marks.append(now())

    picture = read_image(file)
    mark()
    maps = model.predict_maps(picture)
    mark()
    found = model.decode(maps)
    mark()
    write(found, folder / file.name)
    mark()
    return list(np.diff(marks))


def write(found: Segmentation, path: Path) -> None:
    """Labels and measurements, as ``congeal segment`` writes by default."""
    found.save_labels(path.with_suffix(".png"))
    found.save_csv(path.with_suffix(".csv"))


def measure(
    model: Method,
    stars: Callable[[Picture], Any] | None,
    files: Sequence[Path],
    folder: Path,
    rounds: int,
) -> NDArray[np.float64]:
    """Seconds of each stage and of StarDist, ``(rounds, 5)``, the mean over the images."""
    times = np.zeros((rounds + 1, len(files), len(STAGES) + 1))
    for turn in range(rounds + 1):
        for number, file in enumerate(files):
            times[turn, number, :-1] = stages_of(model, file, folder)
            if stars is not None:
                picture, started = read_image(file), now()
                stars(picture)
                times[turn, number, -1] = now() - started
    mean: NDArray[np.float64] = times[1:].mean(1)
    return mean


def row(name: str, seconds: NDArray[np.float64], *, stars: bool) -> Row:
    """The columns of one kind of image; ``seconds`` as of :func:`measure`."""
    stages = seconds[:, :-1]
    total = stages.sum(1)
    found: Row = {"images": name, "ms an image": 1e3 * float(np.median(total))}
    for stage, own in zip(STAGES, stages.T, strict=True):
        found[f"{stage} ms"] = 1e3 * float(np.median(own))
        found[f"{stage} %"] = 100 * float(np.median(own / total))
    found["decode / network"] = float(np.median(stages[:, 2] / stages[:, 1]))
    if stars:
        predicted = stages[:, 1] + stages[:, 2]
        found["StarDist ms"] = 1e3 * float(np.median(seconds[:, -1]))
        found["network + decode / StarDist"] = float(np.median(predicted / seconds[:, -1]))
    return found


def open_stardist(folder: Path, data: str, minutes: float, threads: int) -> StarSegmenter:
    """The StarDist in a folder, trained and saved there first if there is none."""
    tensorflow = import_module("tensorflow")
    tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
    tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    if not folder.exists():
        training, held_out = (open_dataset(data, split) for split in ("train", "val"))
        stars = train_stars(training, held_out, Budget(minutes=minutes)).model
        folder.mkdir(parents=True)
        stars.keras_model.save_weights(str(folder / "weights_best.h5"))
        (folder / "config.json").write_text(json.dumps(vars(stars.config)))
        (folder / "thresholds.json").write_text(json.dumps(stars.thresholds._asdict()))
    make = import_module("stardist.models").StarDist2D
    return StarSegmenter(make(None, name=folder.name, basedir=str(folder.parent)), minutes)


def mosaic(pictures: Sequence[Picture], side: int) -> Picture:
    """One image ``(side, side)`` of several, in gray, in rows of equal height."""
    tiles = [picture.reshape(*picture.shape[:2], -1)[:TILE, :TILE, 0] for picture in pictures]
    tiles = [tile for tile in tiles if tile.shape == (TILE, TILE)]
    count = -(-side // TILE)
    rows = [
        np.concatenate([tiles[(count * i + j) % len(tiles)] for j in range(count)], 1)
        for i in range(count)
    ]
    return np.concatenate(rows)[:side, :side]


def save(picture: Picture, path: Path) -> Path:
    Image.fromarray(picture.squeeze()).save(path)
    return path


def main() -> None:
    chosen = options(
        __doc__ or "",
        data=("nuclei", "a dataset by name, or a folder"),
        images=(40, "of the data"),
        split=("test", "of the data"),
        side=(2048, "px, of the large image; 0: none"),
        rounds=(3, "over all images"),
        threads=(1, "of PyTorch and TensorFlow"),
        stardist=("", "folder of a StarDist model, made if there is none; empty: no StarDist"),
        minutes=(10.0, "to train StarDist, if there is no folder"),
    )
    torch.set_num_threads(chosen.threads)
    data, model, stars = open_dataset(chosen.data, chosen.split), congeal.load("nuclei"), None
    pictures = [data[index].image for index in range(min(chosen.images, len(data)))]
    with tempfile.TemporaryDirectory() as given, count_processor_time():
        if chosen.stardist:
            model_folder = Path(chosen.stardist)
            stars = open_stardist(model_folder, chosen.data, chosen.minutes, chosen.threads).segment
        folder, rows = Path(given), list[Row]()
        files = [save(picture, folder / f"{n}.png") for n, picture in enumerate(pictures)]
        sets = {f"{len(files)} of {chosen.data}": files}
        if chosen.side:
            large = save(mosaic(pictures, chosen.side), folder / "large.png")
            sets[f"{chosen.side} x {chosen.side}"] = [large]
        results = folder / "results"
        results.mkdir()
        for name, some in sets.items():
            times = measure(model, stars, some, results, chosen.rounds)
            rows.append(row(name, times, stars=stars is not None))
    tell("congeal segment by stage", rows, chosen.json)


if __name__ == "__main__":
    main()
