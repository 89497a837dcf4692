"""Embeddings to groups by the pipeline of ``congeal segment``: time, agreement with exact.

    python benchmarks/grouping.py [--nuclei 12] [--exact 128] [--anchors 1024] [--growth 1]
                                  [--json FILE]

Nuclei: ``--nuclei`` validation images by the model that ships, exactly what ``congeal segment``
groups: its maps, its settings, its kernel in space. Exact is the same kernel over all pixels of the
foreground, none left out, until no pixel moves by more than 1e-3 (60 steps at most); neighbours
that then agree are one group.
Drawn: 512 x 512 pixels, D = 64, without a radius. Background and discs of 20 to 100,000 pixels at
right angles or opposite, 3 x 3 blur across borders, noise. Exact is the mean shift of every pixel
of a grid of ``exact`` x ``exact`` pixels spread over the image, compared there. The plainest form
is timed beside: 2,048 random anchors shift, every pixel takes the nearest of their modes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import Row, best_seconds, options, tell
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.cluster import MeanShift as SklearnMeanShift
from sklearn.metrics import adjusted_rand_score
from torch import Tensor
from torch.nn.functional import avg_pool2d, normalize, pad

import congeal
from congeal.data import open_dataset
from congeal.grouping import MeanShift, assign_to_modes, connect, find_modes
from congeal.grouping.flow import converge

KAPPA = 36.0
MOST = 12_000  # pixels of the foreground, so that all can shift
PLAIN = 2048  # random anchors of the plainest form


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


def nuclei(count: int) -> list[Row]:
    """Rows for the first validation images of nuclei whose pixels can all shift."""
    model, rows, group = congeal.load("nuclei"), list[Row](), MeanShift.group
    for number, sample in enumerate(open_dataset("nuclei", "val") if count else []):
        caught: list[tuple[MeanShift, Tensor, Tensor, Tensor]] = []

        def note(shift: MeanShift, *given: Any, caught: list[Any] = caught) -> Any:
            caught.append((shift, *given))
            return group(shift, *given)

        MeanShift.group = note  # type: ignore[method-assign]
        try:
            model.segment(sample.image)
        finally:
            MeanShift.group = group  # type: ignore[method-assign]
        if not caught or int(caught[0][2].sum()) > MOST:
            continue
        rows.append(as_segmented(f"nuclei {number}", *caught[0]))
        if len(rows) == count:
            break
    return rows


def mean_of(rows: list[Row]) -> Row:
    names = ("pixels", "ms", "groups", "exact groups", "ARI to exact")
    return {"embedding": "mean"} | {
        name: float(np.mean([row[name] for row in rows])) for name in names
    }


def as_segmented(name: str, shift: MeanShift, embedding: Tensor, mask: Tensor, mass: Tensor) -> Row:
    seconds = best_seconds(lambda: shift.group(embedding, mask, mass))
    found = shift.group(embedding, mask, mass).labels[mask].numpy()
    exact = exact_nearby(embedding, mask, mass, shift)[mask.numpy()]
    return {
        "embedding": name,
        "pixels": len(found),
        "D": len(embedding),
        "ms": 1e3 * seconds,
        "groups": len(np.unique(found)),
        "exact groups": len(np.unique(exact)),
        "ARI to exact": adjusted_rand_score(exact, found),
    }


def exact_nearby(
    embedding: Tensor, mask: Tensor, mass: Tensor, shift: MeanShift
) -> NDArray[np.int64]:
    """Mean shift of every pixel of the mask; the parts of neighbours that agree, ``(h, w)``."""
    points, weight = embedding[:, mask].T.contiguous()[None], mass[mask][None]
    place = mask.nonzero().float()[None]
    for _ in range(60):
        before, points = points, shift.step(points, weight, place)
        if float((points - before).abs().max()) < 1e-3:
            break
    settled = torch.zeros_like(embedding)
    settled[:, mask] = points[0].T
    down = (settled[:, 1:] * settled[:, :-1]).sum(0) > shift.margin
    right = (settled[:, :, 1:] * settled[:, :, :-1]).sum(0) > shift.margin
    return connect(mask.numpy(), down.numpy(), right.numpy())


def exact_labels(points: Tensor, shift: MeanShift) -> NDArray[np.int64]:
    """Mean shift of every one of the points ``(N, D)``, and the modes to which they flow.

    Points are made one only where they have met to five digits. Twenty steps: later, distant modes
    attract each other ever so slightly.
    """
    flow = converge(points, shift, torch.ones(len(points)), width=1e-5, steps=20, tolerance=0.0)
    modes = find_modes(flow.rest, margin=shift.margin, weights=flow.mass)
    area = torch.bincount(assign_to_modes(flow.rest, modes), flow.mass, len(modes))
    modes = modes[area >= min(shift.min_area, float(area.max()))]
    return assign_to_modes(flow.rest, modes)[flow.where].numpy()


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


def measure(
    name: str, embedding: Tensor, labels: NDArray[np.int64], side: int, shift: MeanShift
) -> Row:
    """A row for a drawn scene; ``side`` is that of the grid that shifts exactly."""
    seconds = best_seconds(lambda: shift.group(embedding), repeats=5)
    found = shift.group(embedding).labels.numpy()
    row = against_truth(name, len(embedding), seconds, labels.ravel(), found.ravel())
    step = max(1, embedding.shape[1] // side)
    points = embedding[:, ::step, ::step].flatten(1).T.contiguous()
    sparse = MeanShift(float(shift.concentration), min_area=shift.min_area / step**2)
    exact = exact_labels(points, sparse)
    return row | {"ARI to exact": adjusted_rand_score(exact, found[::step, ::step].ravel())}


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
    shift = MeanShift(KAPPA, steps=50, tolerance=1e-4)
    modes = find_modes(shift.shift(points[chosen][None])[-1][0], margin=0.5)
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
        exact=(128, "side of the grid shifted exactly"),
        anchors=(1024, "points that shift"),
        nuclei=(0, "validation images of nuclei, of which all pixels of objects shift"),
        drawn=("2,10,30,100,200", "groups of the drawn scenes; empty: none"),
        growth=(1, "whether to time a scene of twice the pixels, again and again"),
    )
    real, rows, compared = nuclei(chosen.nuclei), list[Row](), list[Row]()
    if real:
        real.append(mean_of(real))
        tell("embeddings of nuclei to groups", real, beside(chosen.json, "nuclei"))
    for count in map(int, filter(None, chosen.drawn.split(","))):
        labels = draw_labels(count, 512, seed=count)
        embedding = embed(labels, 64, 0.02, seed=count)
        shift = MeanShift(KAPPA, anchors=chosen.anchors)
        rows.append(measure(f"drawn, {count} groups", embedding, labels, chosen.exact, shift))
        if count == 30:
            rows.append(measure_plain(embedding, labels))
            compared = peers(embedding, labels)
    if rows:
        tell("512 x 512 pixels to labels", rows + compared, chosen.json)
    if chosen.growth:
        tell("growth", growth(), beside(chosen.json, "growth"))


if __name__ == "__main__":
    main()
