"""A 512 x 512 embedding to a label map: time, agreement with exact mean shift, objects lost.

    python benchmarks/grouping.py [--exact 128] [--anchors 1024] [--scenes 8] [--nuclei 12]
                                  [--json FILE]

Drawn embeddings: background and discs of 20 to 100,000 pixels at right angles or opposite, 3 x 3
blur across borders, noise. The exact result (every pixel shifts) is that of ``exact`` x ``exact``
pixels spread over the image; another such grid tells how far exact results agree among themselves.
Of the scenes with 30 and 200 groups the plainest form is timed as well, which gives the machine's
measure: 2,048 random anchors shift, every pixel takes the nearest of their modes. ``--scenes``
more of 30, 100 and 200 groups are grouped for what is lost of them, and how much of that exact mean
shift of the surroundings finds.
Real ones: the embeddings of crossing sticks by the model of ``congeal demo`` (``--model
congeal-demo/model``), and of ``--nuclei`` test images of the nuclei pack by the model that ships,
their objects only. Here all of these pixels shift, and all but every hundredth, which tells how far
exact results agree among themselves, and every other pixel alone, which tells how much a sample of
that size may still say.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from measure import Row, best_seconds, options, tell
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.cluster import MeanShift as SklearnMeanShift
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.cluster import contingency_matrix
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, normalize, pad

import congeal
from congeal.data import open_dataset
from congeal.grouping import MeanShift, assign_to_modes, find_modes
from congeal.grouping.basins import let_flow
from congeal.grouping.modes import converge

KAPPA = 36.0
SCENES = 6  # of sticks
FEWEST, MOST = 4000, 26000  # pixels of nuclei in an image that is taken, so that all can shift
PLAIN = 2048  # anchors


def draw_labels(count: int, side: int, seed: int) -> NDArray[np.int64]:
    rng = np.random.default_rng(seed)
    labels = np.zeros((side, side), np.int64)
    y, x = np.mgrid[:side, :side]
    most = min(100_000, side**2 * 3 / max(count / 4, 1))
    areas = np.sort(np.exp(rng.uniform(np.log(20), np.log(most), count - 1)))[::-1]
    for number, area in enumerate(areas, 1):
        row, column = rng.uniform(0, side, 2)
        labels[(y - row) ** 2 + (x - column) ** 2 <= area / np.pi + 1] = number
    ids, seen = np.unique(labels, return_counts=True)
    labels[np.isin(labels, ids[seen < 20])] = 0
    return labels


def embed(labels: NDArray[np.int64], dimensions: int, noise: float, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(dimensions, dimensions, generator=generator))[0]
    modes = torch.cat([basis, -basis, torch.randn(256, dimensions, generator=generator)])
    order = torch.randperm(2 * dimensions, generator=generator)
    modes = normalize(torch.cat([modes[order], modes[2 * dimensions :]]), dim=1)
    clean = modes[torch.from_numpy(labels)].permute(2, 0, 1)
    blurred = avg_pool2d(pad(clean[None], (1, 1, 1, 1), mode="replicate"), 3, 1)[0]
    return normalize(blurred + noise * torch.randn(blurred.shape, generator=generator), dim=0)


def embed_by(model: congeal.RPE, image: NDArray[np.generic], size: tuple[int, ...]) -> Tensor:
    """Embedding of an image by a trained model, enlarged to so many pixels."""
    found = model.segment(image, keep_embedding=True)
    assert found.embedding is not None
    coarse = torch.from_numpy(found.embedding)[None]
    return normalize(interpolate(coarse, size=size, mode="bilinear")[0], dim=0)


def trained(folder: str, number: int, side: int = 512) -> tuple[Tensor, NDArray[np.int64]]:
    """Embedding of a drawn scene by a trained model, at full resolution, and the true labels."""
    sample = open_dataset("sticks", "test", count=SCENES)[number]
    labels = torch.from_numpy(sample.labels)[None, None].double()
    drawn = interpolate(labels, size=(side, side), mode="nearest")[0, 0].long().numpy()
    return embed_by(congeal.load(folder), sample.image, (side, side)), drawn


def nuclei(count: int, anchors: int) -> list[Row]:
    """Rows for the first test images of nuclei that have a fair number of pixels of objects."""
    model, rows = congeal.load("nuclei"), list[Row]()
    shift = MeanShift(KAPPA, smallest=21, anchors=anchors)
    for number, sample in enumerate(open_dataset("nuclei", "test") if count else []):
        mask = torch.from_numpy(sample.labels > 0)
        if len(rows) < count and FEWEST <= int(mask.sum()) <= MOST:
            embedding = embed_by(model, sample.image, sample.labels.shape)
            name = f"nuclei {number}, trained"
            rows.append(measure(name, embedding, sample.labels, None, shift, mask))
    return rows


def exact_labels(
    points: Tensor, shift: MeanShift, others: Tensor | None = None
) -> NDArray[np.int64]:
    """Mean shift of every one of the points ``(N, D)``; the modes to which these or others flow.

    Points are made one only where they have met to five digits. Twenty steps: by then what is left
    moves for as long as one likes to wait, as distant modes attract each other ever so slightly.
    """
    flow = let_flow(points, shift, torch.ones(len(points)), width=1e-5, steps=20, tolerance=0.0)
    modes = find_modes(flow.rest, margin=shift.margin, weights=flow.mass)
    area = torch.bincount(assign_to_modes(flow.rest, modes), flow.mass, len(modes))
    modes = modes[area >= min(shift.smallest, float(area.max()))]
    where = flow.where if others is None else flow.follow(others)
    return assign_to_modes(flow.rest, modes)[where].numpy()


def lost(labels: NDArray[np.int64], found: NDArray[np.int64]) -> list[int]:
    """Objects of which no group has more than half, or whose group is mostly something else."""
    missed = []
    for number in np.unique(labels):
        inside = found[labels == number]
        best = np.bincount(inside).argmax()
        shared = int((inside == best).sum())
        union = len(inside) + int((found == best).sum()) - shared
        if shared / union < 0.5:
            missed.append(int(number))
    return missed


def exact_finds(
    number: int, embedding: Tensor, labels: NDArray[np.int64], shift: MeanShift, around: int = 40
) -> bool:
    """Whether exact mean shift of the pixels of an object and those around it finds the object."""
    rows, columns = np.nonzero(labels == number)
    part = tuple(
        slice(max(0, axis.min() - around), axis.max() + around + 1) for axis in (rows, columns)
    )
    points = embedding[:, part[0], part[1]].flatten(1).T.contiguous()
    true = (labels[part] == number).ravel().astype(np.int64)
    return 1 not in lost(true, exact_labels(points, shift))


def more_scenes(count: int, scenes: int) -> Row:
    """Scenes of so many groups, together: what is lost, and what of it exact mean shift finds."""
    shift = MeanShift(KAPPA)
    true, missed, found = 0, 0, 0
    times: list[float] = []
    scores: list[float] = []
    for seed in range(1, scenes + 1):
        labels = draw_labels(count, 512, seed=1000 * count + seed)
        embedding = embed(labels, 64, 0.02, seed=seed)
        times.append(best_seconds(partial(shift.group, embedding), repeats=7))
        drawn = shift.group(embedding).labels.numpy()
        gone = lost(labels.ravel(), drawn.ravel())
        true, missed = true + len(np.unique(labels)), missed + len(gone)
        found += sum(exact_finds(number, embedding, labels, shift) for number in gone)
        scores.append(adjusted_rand_score(labels.ravel(), drawn.ravel()))
    return {
        "scenes": f"{scenes} of {count} groups",
        "ms, mean": 1e3 * float(np.mean(times)),
        "ms, most": 1e3 * max(times),
        "true": true,
        "lost": missed,
        "of these exact finds": found,
        "ARI to truth, mean": float(np.mean(scores)),
    }


def measure(
    name: str,
    embedding: Tensor,
    labels: NDArray[np.int64],
    exact: int | None,
    shift: MeanShift,
    mask: Tensor | None = None,
) -> Row:
    """A row of the table; ``exact`` is the side of the grid that shifts, None for all pixels."""
    seconds = best_seconds(lambda: shift.group(embedding, mask), repeats=7)
    groups = shift.group(embedding, mask)
    inside = np.ones(labels.shape, bool) if mask is None else mask.numpy()
    row = against_truth(
        name, len(embedding), seconds, labels[inside], groups.labels.numpy()[inside]
    )
    if exact is None:
        return row | to_all(embedding[:, torch.from_numpy(inside)], shift, groups.labels[inside])
    return row | to_grids(embedding, exact, shift, groups.labels)


def against_truth(
    name: str, dimensions: int, seconds: float, true: NDArray[np.int64], found: NDArray[np.int64]
) -> Row:
    """The columns of whatever labels pixels ``(N,)``."""
    return {
        "embedding": name,
        "pixels": len(true),
        "D": dimensions,
        "ms": seconds * 1e3,
        "groups": len(np.unique(found)),
        "true": len(np.unique(true)),
        "ARI to truth": adjusted_rand_score(true, found),
        "lost": len(lost(true, found)),
    }


def to_grids(embedding: Tensor, exact: int, shift: MeanShift, labels: Tensor) -> Row:
    """Agreement with the shift of every pixel of an even grid, and of two such grids.

    The pixels of a third grid tell; the second number is what one can ask of the first. The last
    is the agreement with the first grid at those pixels of which the two grids say the same.
    """
    step = max(1, embedding.shape[1] // exact)
    shift = for_one_of(step**2, shift)

    def grid(row: int, column: int) -> Tensor:
        return embedding[:, row::step, column::step].flatten(1).T.contiguous()

    half, last = step // 2, step - 1
    told, found = grid(last, half), labels[last::step, half::step].flatten()
    one, two = (exact_labels(points, shift, told) for points in (grid(0, 0), grid(half, last)))
    return agreement(one, two, found.numpy())


def for_one_of(count: int, shift: MeanShift) -> MeanShift:
    """The same for one pixel of so many, of which a group has fewer."""
    return MeanShift(float(shift.concentration), shift.margin, smallest=shift.smallest / count)


def to_all(points: Tensor, shift: MeanShift, labels: Tensor) -> Row:
    """Agreement with the shift of all pixels ``(D, N)``, and of that with parts of them."""
    points = points.T.contiguous()
    kept = torch.arange(len(points)) % 100 != 50
    one, two = exact_labels(points, shift), exact_labels(points[kept], shift)
    row = agreement(one[kept.numpy()], two, labels[kept].numpy())
    half = exact_labels(points[::2], for_one_of(2, shift))
    return row | {
        "ARI to exact": adjusted_rand_score(one, labels.numpy()),
        "half to exact": adjusted_rand_score(one[::2], half),
    }


def agreement(one: NDArray[np.int64], two: NDArray[np.int64], found: NDArray[np.int64]) -> Row:
    """The columns that compare what was found with an exact result, and that with another."""
    sure = agreed(one, two)
    return {
        "ARI to exact": adjusted_rand_score(one, found),
        "exact to exact": adjusted_rand_score(one, two),
        "agreed %": 100 * float(sure.mean()),
        "ARI there": adjusted_rand_score(one[sure], found[sure]),
    }


def agreed(one: NDArray[np.int64], two: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Where two labellings say the same, their groups being paired to share the most pixels."""
    table = contingency_matrix(one, two)
    rows, columns = linear_sum_assignment(table, maximize=True)
    partner = np.full(len(table), -1)
    partner[rows] = columns
    return partner[np.unique(one, return_inverse=True)[1]] == np.unique(two, return_inverse=True)[1]


def peers(embedding: Tensor, labels: NDArray[np.int64]) -> list[Row]:
    """scikit-learn on the same pixels: k-means told the count, mean shift on every 64th."""
    points = embedding.flatten(1).T.contiguous().numpy()
    count = len(np.unique(labels))
    runs: list[tuple[str, Callable[[], NDArray[np.int64]], slice]] = [
        (
            "KMeans, told the count",
            lambda: KMeans(count, n_init=1).fit_predict(points),
            slice(None),
        ),
        (
            "MeanShift, bin seeding, every 64th pixel",
            lambda: SklearnMeanShift(bandwidth=0.7, bin_seeding=True).fit_predict(points[::64]),
            slice(None, None, 64),
        ),
    ]
    rows = []
    for name, run, which in runs:
        result: list[NDArray[np.int64]] = []
        truth = labels.ravel()[which]
        row: Row = {"embedding": f"scikit-learn {name}", "pixels": len(truth), "D": points.shape[1]}
        try:
            seconds = best_seconds(lambda run=run, result=result: result.append(run()), most=5)
        except ValueError:  # no point within the bandwidth of a seed, as happens in 64 dimensions
            rows.append(row | {"ms": "fails", "true": count})
            continue
        row |= {"ms": seconds * 1e3, "groups": len(np.unique(result[-1])), "true": count}
        rows.append(row | {"ARI to truth": adjusted_rand_score(truth, result[-1])})
    return rows


def plain(embedding: Tensor) -> NDArray[np.int64]:
    """Random anchors, their modes, every pixel to the nearest: what one would write first."""
    points = embedding.flatten(1).T.contiguous()
    chosen = torch.randperm(len(points), generator=torch.Generator().manual_seed(0))[:PLAIN]
    modes = find_modes(converge(points[chosen], MeanShift(KAPPA)), margin=0.5)
    return assign_to_modes(points, modes).view(embedding.shape[1:]).numpy()


def measure_plain(embedding: Tensor, labels: NDArray[np.int64]) -> Row:
    seconds = best_seconds(lambda: plain(embedding), repeats=7)
    name, found = f"the same, {PLAIN:,} random anchors", plain(embedding).ravel()
    return against_truth(name, len(embedding), seconds, labels.ravel(), found)


def growth() -> list[Row]:
    """The same scene at twice the pixels, again and again."""
    rows, before = [], None
    for side in (256, 362, 512, 724, 1024):
        embedding = embed(draw_labels(30, side, 1), 64, 0.02, 0)
        seconds = best_seconds(lambda e=embedding: MeanShift(KAPPA).group(e), repeats=7)
        times = None if before is None else seconds / before
        rows.append({"pixels": side * side, "ms": seconds * 1e3, "times the one before": times})
        before = seconds
    return rows


def beside(path: Path | None, name: str) -> Path | None:
    """Where a further table goes: ``times.json`` has ``times-scenes.json`` beside it."""
    return path and path.with_stem(f"{path.stem}-{name}")


def main() -> None:
    chosen = options(
        __doc__ or "",
        exact=(128, "side of the image shifted exactly"),
        anchors=(1024, "pixels that shift at first"),
        model=("", "folder of a model trained on sticks"),
        nuclei=(0, "test images of nuclei, of which all pixels of objects shift"),
        scenes=(8, "more of 30, 100 and 200 groups, for what is lost of them"),
    )
    rows = []
    for count in (2, 10, 30, 100, 200):
        labels = draw_labels(count, 512, seed=count)
        embedding = embed(labels, 64, 0.02, seed=count)
        shift = MeanShift(KAPPA, anchors=chosen.anchors)
        rows.append(measure(f"drawn, {count} groups", embedding, labels, chosen.exact, shift))
        if count in (30, 200):
            rows.append(measure_plain(embedding, labels))
        if count == 30:
            compared = peers(embedding, labels)
    for number in range(SCENES if chosen.model else 0):
        embedding, labels = trained(chosen.model, number)
        shift = MeanShift(
            250.0, margin=0.85, smallest=2304, anchors=chosen.anchors
        )  # 144 pixels of the drawing
        mask = torch.from_numpy(labels > 0)
        rows.append(measure(f"sticks {number}, trained", embedding, labels, None, shift, mask))
    rows += nuclei(chosen.nuclei, chosen.anchors)
    further = [more_scenes(count, chosen.scenes) for count in (30, 100, 200) if chosen.scenes]
    growing = growth()
    tell("512 x 512 pixels to labels", rows + compared, chosen.json)
    if further:
        tell("more scenes", further, beside(chosen.json, "scenes"))
    tell("growth", growing, beside(chosen.json, "growth"))


if __name__ == "__main__":
    main()
