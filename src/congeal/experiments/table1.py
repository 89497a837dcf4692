"""Class-agnostic object proposals: recall of the first N (RPE, section 4.2, table 1).

For each dataset a model is trained and scored on the test images by AR@N. For comparison:
connected components of the true foreground; Felzenszwalb's segments at several scales, pooled and
ranked like our proposals; selective search, if opencv-contrib is installed (boxes, scored as filled
boxes); and the true objects, largest first, as an approximate upper bound for N masks. The numbers
of the paper are for PASCAL VOC 2012, which is not used here. Models and scores are kept in the
output folder, so that an interrupted run can be resumed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from skimage.segmentation import felzenszwalb

from congeal.data.registry import is_available, open_dataset
from congeal.data.sample import Dataset, Sample, Subset
from congeal.errors import CongealError
from congeal.evaluation.comparison import Comparison
from congeal.evaluation.judge import make_judge
from congeal.experiments.intervals import half_width
from congeal.experiments.kept import keep, place_of, train_or_resume
from congeal.experiments.result import Claim, FigureResult, house_style, new_figure, save_figure
from congeal.figures.display import to_display
from congeal.figures.plots import LINES
from congeal.grouping.components import split_parts
from congeal.labels import areas, relabel
from congeal.methods.method import Method
from congeal.methods.rpe.pooling import pool_proposals
from congeal.metrics.protocols import PROTOCOLS
from congeal.models import load
from congeal.networks.weights import PACKAGED
from congeal.segmentation import Segmentation
from congeal.training.validation import evenly_spread

__all__ = ["PAPER", "Table1", "draw_table1"]

PAPER: Mapping[int, float] = {10: 0.769, 60: 0.814}
"""Recall at IoU .5 on PASCAL VOC 2012 val by the number of proposals, from the paper."""
COUNTS = (1, 2, 5, 10, 20, 40, 60, 100)
REPORTED = (10, 60, 100)  # of COUNTS, in the numbers of the result
ENCODER = "tf_efficientnet_lite0"
SCALES = (30.0, 100.0, 300.0, 1000.0)  # of Felzenszwalb's segments
SIGMA = 0.8  # px, smoothing before it
MIN_SEGMENT = 20  # px, minimum area of Felzenszwalb's segments

Propose = Callable[[Sample], Segmentation]
Row = dict[str, Any]


@dataclass(frozen=True)
class Table1:
    """Plan of trainings and evaluation.

    Args:
        data: settings of the model, by name of the dataset.
        training: settings of each training.
        counts: numbers of training and test images for drawn data.
        tested: number of test images, None for all.
        seeds: trainings on each dataset.
        pretrained: datasets for which the encoder starts from ImageNet weights, if installed.
    """

    data: Mapping[str, Mapping[str, Any]] = field(
        default_factory=lambda: {
            "coco_mini": {"network.dimensions": 64},
            "nuclei": {},
            "cables": {"network.dimensions": 64},
        }
    )
    training: Mapping[str, Any] = field(default_factory=lambda: {"max_minutes": 30.0})
    counts: tuple[int, int] | None = None
    tested: int | None = None
    seeds: int = 1
    pretrained: tuple[str, ...] = ("coco_mini", "cables")


QUICK = Table1(
    data={"shapes": {"network.dimensions": 4}},
    training={"epochs": 1, "steps_per_epoch": 2, "batch_size": 2, "crop": 64, "tuning_share": 0},
    counts=(4, 2),
    pretrained=(),
)


def draw_table1(
    folder: str | Path,
    *,
    quick: bool = False,
    seed: int = 0,
    minutes: float | None = None,
    seeds: int | None = None,
    data: Sequence[str] | None = None,
    images: int | None = None,
) -> FigureResult:
    """Train and score proposals on every available dataset, and compare with other methods.

    Args:
        folder: for ``table1.png`` and ``table1.csv``, and models and scores in ``table1``;
            existing trainings are not repeated.
        quick: two updates on drawn shapes, as a smoke test.
        seed: first seed on each dataset.
        minutes: minutes of each training, 30 when None.
        seeds: trainings on each dataset, 1 when None.
        data: some of coco_mini, nuclei and cables; all when None.
        images: number of test images, evenly spread; all when None.

    Returns:
        The files; for each dataset and method AR@10, 60 and 100, averaged over IoU .5 to .95
        (``ar@N``) and at IoU .5 (``recall_0.5@N``), mean over the seeds.

    Raises:
        CongealError: no dataset is found, or a name is not one of these.
    """
    plan, place = _plan(quick, minutes, seeds, data, images), Path(folder) / "table1"
    here = [name for name in plan.data if is_available(name)]
    if not here:
        raise CongealError(f"expected one of {', '.join(plan.data)} to propose in, found none")
    found = {name: _scores(name, plan, seed, place) for name in here}
    rows = [
        {"data": data, "method": method, "proposals": count, **_at(scores, count)}
        for data, methods in found.items()
        for method, scores in methods.items()
        for count in COUNTS
    ]
    numbers = {
        f"{data} {method} {key}": value
        for data, methods in found.items()
        for method, scores in methods.items()
        for count in REPORTED
        for key, value in (
            (f"ar@{count}", scores[f"ar@{count}"]),
            (f"recall_0.5@{count}", scores[f"recall_0.5@{count}"]),
        )
    }
    return save_figure(folder, "table1", _draw(found), rows, numbers, _claims(found))


def _plan(
    quick: bool,
    minutes: float | None,
    seeds: int | None,
    data: Sequence[str] | None,
    images: int | None,
) -> Table1:
    plan = QUICK if quick else Table1()
    for name in data or ():
        if name not in plan.data:
            raise CongealError(f"expected data of {', '.join(plan.data)}, got {name!r}")
    chosen = {name: plan.data[name] for name in data or plan.data}
    training = plan.training if minutes is None else {"max_minutes": minutes}
    return replace(plan, data=chosen, training=training, seeds=seeds or plan.seeds, tested=images)


def _at(scores: Mapping[str, float], count: int) -> Row:
    row: Row = {"ar": scores[f"ar@{count}"], "recall at .5": scores[f"recall_0.5@{count}"]}
    return row | {"ar +-": scores.get(f"ar@{count} +-")}


def _scores(name: str, plan: Table1, seed: int, place: Path) -> dict[str, dict[str, float]]:
    """Scores of all methods on the test images of a dataset; of ours the mean over seeds."""
    test = _images(name, "test", plan)
    asked = {"images": len(test)}

    def score(method: str, propose: Propose) -> dict[str, float]:
        path = place / f"{place_of(place, name, method).name}.json"
        scores: dict[str, float] = keep(path, asked, lambda: _score(propose, test))
        return scores

    ours = [_of_one(name, plan, number, place, test) for number in range(seed, seed + plan.seeds)]
    methods = {"felzenszwalb": _segments, "components of the truth": _components, "ceiling": _truth}
    if has_selective_search():
        methods["selective search"] = _selective_search
    return {"rpe": _mean(ours)} | {method: score(method, one) for method, one in methods.items()}


def _of_one(name: str, plan: Table1, seed: int, place: Path, test: Dataset) -> dict[str, float]:
    """Scores of one training; read from the folder if they exist."""
    own = place_of(place, name, "rpe", seed)

    def make() -> dict[str, float]:
        model = _train(name, plan, seed, own)
        return _score(lambda sample: model.segment(sample.image), test)

    asked = {"images": len(test), "training": {**plan.training}}
    scores: dict[str, float] = keep(own.with_name(f"{own.name}.json"), asked, make)
    return scores


def _mean(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Means, and for several trainings half widths of the 95 % intervals (``+-``).

    Example:
        >>> _mean([{"ar@10": 0.2}]), _mean([{"ar@10": 0.2}, {"ar@10": 0.4}])["ar@10"]
        ({'ar@10': 0.2}, 0.30000000000000004)
    """
    of = {key: [one[key] for one in scores] for key in scores[0]}
    means = {key: float(np.mean(values)) for key, values in of.items()}
    if len(scores) < 2:
        return means
    return means | {f"{key} +-": half_width(values) for key, values in of.items()}


def _images(name: str, split: str, plan: Table1) -> Dataset:
    if plan.counts is None:
        data = open_dataset(name, split)
    else:
        data = open_dataset(name, split, size=64, count=plan.counts[split == "test"])
    if plan.tested is None or split != "test":
        return data
    return Subset(data, evenly_spread(len(data), plan.tested))


def _train(name: str, plan: Table1, seed: int, place: Path) -> Method:
    given: dict[str, Any] = {"seed": seed, "overlays": False, "task": "proposals"}
    given |= {**plan.training, **plan.data[name]}
    if name in plan.pretrained and find_spec(PACKAGED[ENCODER][0]) is not None:
        given |= {"network.encoder": ENCODER, "network.pretrained": True}
    training, held_out = (_images(name, split, plan) for split in ("train", "val"))
    return load(train_or_resume(place, "rpe", training, held_out, **given), device="auto")


def _score(propose: Propose, test: Dataset) -> dict[str, float]:
    judge = make_judge(PROTOCOLS["proposals"], test, {"counts": COUNTS})
    for sample in test:
        judge.update(Comparison(sample, propose(sample), test))
    return {name: float(value) for name, value in judge.compute().items()}


def _segments(sample: Sample) -> Segmentation:
    """Felzenszwalb's segments at several scales, pooled and ranked by stability."""
    display = to_display(sample.image)
    maps = [
        np.asarray(felzenszwalb(display, scale, SIGMA, MIN_SEGMENT), np.int64) + 1
        for scale in SCALES
    ]
    even = [np.ones(int(one.max())) for one in maps]
    ranked = pool_proposals(maps, even, max_proposals=COUNTS[-1])
    return Segmentation.from_masks(ranked.masks, ranked.scores)


def _components(sample: Sample) -> Segmentation:
    """Connected components of the true foreground, largest first."""
    return _largest_first(split_parts((sample.labels > 0).astype(np.int64)))


def _truth(sample: Sample) -> Segmentation:
    """The true objects, largest first."""
    return _largest_first(relabel(np.maximum(sample.labels, 0)))


def _largest_first(labels: NDArray[np.int64]) -> Segmentation:
    _, size = areas(labels)
    return Segmentation.from_labels(labels, scores=size / max(1, labels.size))


def has_selective_search() -> bool:
    """Whether selective search is available, from opencv-contrib.

    Example:
        >>> has_selective_search() in (True, False)
        True
    """
    if find_spec("cv2") is None:
        return False
    return hasattr(import_module("cv2"), "ximgproc")


def _selective_search(sample: Sample) -> Segmentation:
    """Filled boxes of selective search in its order (Uijlings et al., 2013; fast mode)."""
    cv2: Any = import_module("cv2")
    search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(np.ascontiguousarray(to_display(sample.image)[..., ::-1]))
    search.switchToSelectiveSearchFast()
    boxes: Sequence[Any] = search.process()[: COUNTS[-1]]
    masks = np.zeros((len(boxes), *sample.labels.shape), bool)
    for mask, (x, y, width, height) in zip(masks, boxes, strict=True):
        mask[y : y + height, x : x + width] = True
    return Segmentation.from_masks(masks, np.linspace(1, 0, len(boxes), endpoint=False))


def _claims(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[Claim]:
    """Check on each dataset whether ten proposals find nearly as many objects as sixty.

    Images of VOC have few objects. Ten masks cannot cover more than ten objects, so recall is
    relative to the upper bound, the recall of the true objects.
    """
    share = PAPER[10] / PAPER[60]
    claims = []
    for name, methods in found.items():
        few, many = (_of_ceiling(methods, f"recall_0.5@{count}") for count in (10, 60))
        held = many > 0 and few / many >= share - 0.02
        text = f"ten proposals find nearly as many objects as sixty ({name})"
        paper = f"{PAPER[10]:.3f} of {PAPER[60]:.3f} (VOC 2012 val, IoU .5)"
        here = f"{few:.3f} of {many:.3f}, relative to the ceiling"
        claims.append(Claim(text, paper, here, held))
    return claims


def _of_ceiling(methods: Mapping[str, Mapping[str, float]], key: str) -> float:
    """Score of our proposals divided by that of the true objects; 0 without objects."""
    most = methods["ceiling"][key]
    return methods["rpe"][key] / most if most else 0.0


def _draw(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Figure:
    with house_style():
        size = (3.6 * len(found) + 0.6, 6.6)
        figure = new_figure(*size, "Objects that the first N proposals find")
        grid = figure.subplots(2, len(found), squeeze=False)
        for column, (name, methods) in enumerate(found.items()):
            for line, key, label in ((0, "recall_0.5", "recall at IoU .5"), (1, "ar", "AR")):
                _draw_panel(grid[line, column], methods, key)
                grid[line, column].set(ylabel=label, xlabel="proposals")
            grid[0, column].set_title(name)
        handles, names = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=3, fontsize=8)
    return figure


def _draw_panel(axes: Axes, methods: Mapping[str, Mapping[str, float]], key: str) -> None:
    for colour, (method, scores) in zip(LINES, methods.items(), strict=False):
        values = [scores[f"{key}@{count}"] for count in COUNTS]
        style = "--" if method == "ceiling" else "o-"
        axes.plot(COUNTS, values, style, color=colour, markersize=3, label=method)
    axes.set(xscale="log", ylim=(0, 1.02))
    axes.set_xticks(COUNTS, [str(count) for count in COUNTS])
    axes.minorticks_off()
