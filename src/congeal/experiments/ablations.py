"""Ablations of RPE on drawn digits (section 3).

A small network is trained to group drawn digits. Mean-shift steps, margin, dimensions, sampling
ratio, step length and weighting are changed one at a time; all other settings are those of the
base. Each variant is trained with several seeds, and has a confidence interval over them. The
score is AP at IoU .5 on validation images, after 10 mean-shift steps. Scores are kept in the
output folder, so that an interrupted run can be resumed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from congeal.data.drawn import DrawnDataset
from congeal.experiments.digits import SIZE, STRIDE, Toy, draw_batch, read_toy
from congeal.experiments.intervals import half_width
from congeal.experiments.kept import keep, place_of
from congeal.experiments.result import Claim, FigureResult, house_style, new_figure, save_figure
from congeal.figures.plots import LINES
from congeal.grouping.mean_shift import MeanShift
from congeal.grouping.modes import assign_to_modes, find_modes
from congeal.losses.pairwise import pairwise_loss, sample_pixels
from congeal.methods.rpe import RPE
from congeal.metrics.matching import MatchingMetric
from congeal.sphere import MIN_EMBEDDING_NORM, normalise

__all__ = ["ABLATIONS", "Variant", "draw_ablations", "score_variant", "unweighted_loss"]

Row = dict[str, Any]

DECODING_STEPS = 10  # mean-shift steps of decoding, as in the toy example of the paper
MIN_AREA = 8.0  # minimum pixels of the embedding per mode


@dataclass(frozen=True)
class Variant:
    """Settings of a variant.

    Args:
        steps: mean-shift steps in the loss.
        margin: alpha, in calibrated cosine.
        dimensions: D of the embedding.
        ratio: share of the pixels of an image sampled for the loss, without replacement.
        eta: step length of mean shift.
        weighting: weights 1 / (K^2 n_i n_j) of pairs, equal for all objects; else equal for all
            pairs.
    """

    steps: int = 1
    margin: float = 0.5
    dimensions: int = 16
    ratio: float = 0.2
    eta: float = 1.0
    weighting: bool = True


ABLATIONS: Mapping[str, Sequence[Any]] = {
    "steps": (0, 1, 2, 5),
    "margin": (0.1, 0.3, 0.5, 0.7),
    "dimensions": (3, 16, 64),
    "ratio": (0.05, 0.1, 0.2, 0.5),
    "eta": (0.25, 0.5, 1.0),
    "weighting": (False, True),
}
"""Tested values of each setting, by its name."""


@dataclass(frozen=True)
class AblationEffort:
    """Amount of training and evaluation.

    Args:
        toy: steps, images, batch size and learning rate of each training.
        seeds: trainings of each variant.
        scored: number of validation images.
        values: maximum number of values of each setting; None: all.
    """

    toy: Toy
    seeds: int = 3
    scored: int = 24
    values: int | None = None


FULL = AblationEffort(Toy(steps=200, batch=6, images=300))
QUICK = AblationEffort(Toy(steps=2, batch=2, images=4), seeds=2, scored=2, values=2)


def draw_ablations(
    folder: str | Path, *, quick: bool = False, seed: int = 0, seeds: int | None = None
) -> FigureResult:
    """Train variants on drawn digits; score each, with a confidence interval over seeds.

    Args:
        folder: for ``ablations.png`` and ``ablations.csv``, and the scores in ``ablations``;
            existing trainings are not repeated.
        quick: two updates and two values of each setting, as a smoke test.
        seed: first seed.
        seeds: trainings of each variant, 3 when None.

    Returns:
        The files, and the mean AP at IoU .5 of each variant with the half width of its 95 %
        interval (``+-``).
    """
    effort, known = QUICK if quick else FULL, dict[Variant, list[float]]()
    effort = replace(effort, seeds=seeds or effort.seeds)
    rows: list[Row] = []
    for name, values in ABLATIONS.items():
        for value in values[: effort.values]:
            variant = replace(Variant(), **{name: value})
            if variant not in known:
                of = range(seed, seed + effort.seeds)
                known[variant] = [_kept(Path(folder), variant, effort, one) for one in of]
            tried = {"choice": name, "value": float(value)}
            rows += [
                {**tried, "seed": seed + k, "ap@0.5": ap} for k, ap in enumerate(known[variant])
            ]
    means = _means(rows)
    numbers = {f"{name} {value:g}": mean for (name, value), (mean, _) in means.items()}
    numbers |= {f"{name} {value:g} +-": half for (name, value), (_, half) in means.items()}
    return save_figure(folder, "ablations", _draw(means), rows, numbers, _claims(rows))


def _kept(folder: Path, variant: Variant, effort: AblationEffort, seed: int) -> float:
    """Score of one training; read from the folder if it exists."""
    own = place_of(folder / "ablations", *asdict(variant).values(), seed)
    asked = {**asdict(variant), **asdict(effort.toy), "scored": effort.scored}
    make = partial(score_variant, variant, effort, seed)
    return float(keep(own.with_name(f"{own.name}.json"), asked, make))


def score_variant(variant: Variant, effort: AblationEffort, seed: int) -> float:
    """Train a variant and score it on validation images.

    Returns:
        AP at IoU .5 of all digits.
    """
    model, metric = _train(variant, effort.toy, seed), MatchingMetric((0.5,))
    data = DrawnDataset("digits", "val", count=effort.scored, size=SIZE, seed=seed)
    for sample in data:
        image, labels = read_toy(sample)
        metric.update(prediction=_groups(model, image, variant), truth=labels.numpy())
    return metric.compute()["matching_ap@0.5"]


def unweighted_loss(unit: Tensor, groups: Tensor, margin: float) -> Tensor:
    """The pairwise loss with equal weights for all pairs, dominated by large groups.

    Args:
        unit: ``(N, D)`` unit vectors.
        groups: ``(N,)``, group of each.
        margin: alpha.

    Example:
        >>> unit = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> round(float(unweighted_loss(unit, torch.tensor([0, 1, 1]), 0.5)), 4)
        0.2222
    """
    similarity = (1 + unit @ unit.T) / 2
    same = groups[:, None] == groups
    return torch.where(same, 1 - similarity, (similarity - margin).clamp_min(0)).mean()


def _train(variant: Variant, toy: Toy, seed: int) -> RPE:
    torch.manual_seed(seed)
    model = RPE(
        dimensions=variant.dimensions, margin=variant.margin, coordinates="channels", stride=STRIDE
    ).train()
    drawn = DrawnDataset("digits", "train", count=toy.images, size=SIZE, seed=seed)
    data, chance = [read_toy(sample) for sample in drawn], torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=toy.rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, toy.rate, total_steps=max(toy.steps, 2), pct_start=0.1
    )
    for _ in range(toy.steps):
        image, labels = draw_batch(data, toy.batch, chance)
        loss = _loss(model(image).embedding, labels, variant, chance)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    return model.eval()


def _shift(variant: Variant, steps: int) -> MeanShift:
    """Mean shift whose concentration follows from the margin."""
    return MeanShift(margin=variant.margin, steps=steps, eta=variant.eta)


def _loss(embedding: Tensor, labels: Tensor, variant: Variant, chance: torch.Generator) -> Tensor:
    """Mean over batch and mean-shift steps; background is one more group."""
    samples = max(2, round(variant.ratio * labels[0].numel()))
    shift = _shift(variant, variant.steps)
    if variant.weighting:
        options: dict[str, Any] = {"margin": variant.margin, "samples": samples}
        summed = pairwise_loss(embedding, labels, grouping=shift, generator=chance, **options)
        return summed / (variant.steps + 1)
    losses = []
    for one, its in zip(embedding, labels, strict=True):
        drawn = sample_pixels(one, its, samples=samples, generator=chance)
        unit = normalise(drawn.embedding, dim=1, eps=MIN_EMBEDDING_NORM)
        trail = [unit, *(step[0] for step in shift.shift(unit[None]))]
        losses += [unweighted_loss(step, drawn.groups, variant.margin) for step in trail]
    return torch.stack(losses).mean()


@torch.inference_mode()
def _groups(model: RPE, image: Tensor, variant: Variant) -> NDArray[np.int64]:
    """Label map ``(h, w)`` of the modes; the largest group is the background."""
    shifted = _shift(variant, DECODING_STEPS)(model(image[None]).embedding)[-1][0]
    points = shifted.flatten(1).T
    modes = find_modes(points, margin=variant.margin, min_mass=MIN_AREA)
    if not len(modes):
        return np.zeros(tuple(shifted.shape[1:]), np.int64)
    nearest = assign_to_modes(points, modes)
    counts = torch.bincount(nearest, minlength=len(modes))
    rename = torch.arange(1, len(modes) + 1)
    rename[counts.argmax()] = 0
    found: NDArray[np.int64] = rename[nearest].reshape(shifted.shape[1:]).numpy()
    return found


def _means(rows: list[Row]) -> dict[tuple[str, float], tuple[float, float]]:
    """Mean and half width of the interval of each variant."""
    scores: dict[tuple[str, float], list[float]] = {}
    for row in rows:
        scores.setdefault((row["choice"], row["value"]), []).append(row["ap@0.5"])
    return {key: (float(np.mean(one)), half_width(one)) for key, one in scores.items()}


def _paired(rows: list[Row], choice: str, better: float, worse: float) -> tuple[float, float]:
    """Mean paired difference of two values of a setting, and half width; NaN if not available."""
    of = [
        [row["ap@0.5"] for row in rows if (row["choice"], row["value"]) == (choice, value)]
        for value in (better, worse)
    ]
    if not all(of):
        return float("nan"), float("nan")
    apart = [a - b for a, b in zip(*of, strict=True)]
    return float(np.mean(apart)), half_width(apart)


CLAIMS = (
    ("steps", 1.0, 0.0, "training through a mean-shift step is better than through none"),
    ("steps", 5.0, 1.0, "more steps in training are better"),
    ("dimensions", 64.0, 3.0, "more dimensions hold more objects apart"),
    ("weighting", 1.0, 0.0, "weighting pairs by the size of objects is better than none"),
)
"""Setting, value that should be better, other value, and claim."""


def _claims(rows: list[Row]) -> list[Claim]:
    found = []
    for choice, better, worse, text in CLAIMS:
        gain, half = _paired(rows, choice, better, worse)
        here = f"AP@.5 {gain:+.3f} +- {half:.3f} (drawn digits)"
        found.append(Claim(text, "shown on its own data (section 3)", here, gain > half))
    return found


def _draw(means: Mapping[tuple[str, float], tuple[float, float]]) -> Figure:
    with house_style():
        figure = new_figure(10.4, 5.6, "Choices of RPE on drawn digits")
        highest = max(mean + np.nan_to_num(half) for mean, half in means.values())
        for axes, choice in zip(figure.subplots(2, 3, sharey=True).flat, ABLATIONS, strict=True):
            own = {value: score for (name, value), score in means.items() if name == choice}
            _draw_choice(axes, choice, own)
            axes.set_ylim(0, min(1.0, 1.1 * highest) or 1.0)
    return figure


def _draw_choice(axes: Axes, choice: str, own: Mapping[float, tuple[float, float]]) -> None:
    base = float(getattr(Variant(), choice))
    places = range(len(own))
    values, halves = zip(*own.values(), strict=True)
    axes.errorbar(places, values, yerr=halves, fmt="o-", color=LINES[0], capsize=3)
    names = [f"{value:g}" + (" *" if value == base else "") for value in own]
    axes.set_xticks(list(places), names)
    axes.set(xlabel=f"{choice} (* base)")
    if axes.get_subplotspec().is_first_col():  # type: ignore[union-attr]
        axes.set_ylabel("AP at IoU .5")
