"""The experiments by name."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

from congeal.errors import CongealError, unknown
from congeal.experiments.ablations import draw_ablations
from congeal.experiments.compare import draw_compare
from congeal.experiments.convergence import draw_convergence
from congeal.experiments.digits import draw_digits
from congeal.experiments.dl_crossing import draw_dl_crossing
from congeal.experiments.dl_table2 import draw_dl_table2
from congeal.experiments.dvis import DVIS_EXPERIMENTS
from congeal.experiments.figure6 import draw_figure6
from congeal.experiments.figure9 import draw_figure9
from congeal.experiments.gradient import draw_gradient
from congeal.experiments.loss import draw_loss
from congeal.experiments.margins import draw_margins
from congeal.experiments.result import FigureResult
from congeal.experiments.segsort_ablations import SEGSORT_ABLATIONS
from congeal.experiments.segsort_supervised import draw_segsort_labels, draw_segsort_supervised
from congeal.experiments.segsort_unsupervised import draw_segsort_unsupervised
from congeal.experiments.similarities import draw_similarities
from congeal.experiments.table1 import draw_table1
from congeal.experiments.table2 import draw_table2
from congeal.experiments.trajectories import draw_trajectories

__all__ = ["EXPERIMENTS", "Experiment", "choose_experiments", "run_experiment"]


Draw = Callable[..., FigureResult]
"""Type of experiments: ``draw(folder, quick=False, seed=0)`` writes a picture and its numbers.

Experiments with trainings may also have ``minutes``, ``seeds``, ``data`` and ``images``.
"""


class Experiment(NamedTuple):
    """An experiment: its function, and a summary in one line."""

    draw: Draw
    what: str


EXPERIMENTS: dict[str, Experiment] = {
    "compare": Experiment(
        draw_compare, "every method on every available dataset, same encoder and minutes"
    ),
    "rpe.loss": Experiment(draw_loss, "loss of a pair against its similarity, for several margins"),
    "rpe.margins": Experiment(draw_margins, "smallest margin by numbers of groups and dimensions"),
    "rpe.convergence": Experiment(draw_convergence, "cubic convergence of blurring mean shift"),
    "rpe.digits": Experiment(
        draw_digits, "trained embeddings of digits on a sphere, before and after mean shift"
    ),
    "rpe.gradient": Experiment(
        draw_gradient, "gradient on the embedding, with and without grouping"
    ),
    "rpe.similarities": Experiment(
        draw_similarities, "similarity of pairs after each mean-shift step, shipped model"
    ),
    "rpe.trajectories": Experiment(
        draw_trajectories, "points on a line trained through mean shift, in five settings"
    ),
    "rpe.figure9": Experiment(
        draw_figure9, "semantic segmentation with and without the pairwise loss, near contours"
    ),
    "rpe.table2": Experiment(
        draw_table2, "instances with classes, scored with and without a linear regressor"
    ),
    "rpe.ablations": Experiment(
        draw_ablations, "steps, margin, dimensions, sampling, step length, weighting; digits"
    ),
    "rpe.figure6": Experiment(
        draw_figure6, "boundaries of BSDS500 with and without the embedding loss, PR curves"
    ),
    "rpe.table1": Experiment(
        draw_table1, "recall of the first N proposals, against other methods; three datasets"
    ),
    "segsort.supervised": Experiment(
        draw_segsort_supervised, "classes by retrieval or softmax, same network, three seeds"
    ),
    "segsort.unsupervised": Experiment(
        draw_segsort_unsupervised, "training without labels: classes, and regions on BSDS500"
    ),
    "segsort.labels": Experiment(draw_segsort_labels, "mIoU over the number of labelled images"),
    **{f"segsort.{name}": Experiment(*entry) for name, entry in SEGSORT_ABLATIONS.items()},
    "dl.table2": Experiment(
        draw_dl_table2, "speed, size and accuracy of five networks with the discriminative loss"
    ),
    "dl.crossing": Experiment(
        draw_dl_crossing, "crossing objects: embeddings against boxes and classical methods"
    ),
    **{f"dvis.{name}": Experiment(*entry) for name, entry in DVIS_EXPERIMENTS.items()},
}


def choose_experiments(name: str) -> tuple[str, ...]:
    """The experiment ``name`` as a tuple; all experiments for ``"all"``.

    Raises:
        CongealError: the name is unknown; the nearest name is suggested.

    Example:
        >>> choose_experiments("rpe.loss"), len(choose_experiments("all")) > 1
        (('rpe.loss',), True)
    """
    if name == "all":
        return tuple(EXPERIMENTS)
    if name not in EXPERIMENTS:
        raise unknown("experiment", name, (*EXPERIMENTS, "all"))
    return (name,)


def run_experiment(
    name: str, folder: str | Path, *, quick: bool = False, seed: int = 0, **options: Any
) -> FigureResult:
    """Run an experiment.

    Args:
        name: name of the experiment.
        folder: output folder.
        quick: run a short, coarse version as a smoke test.
        seed: random seed.
        options: ``minutes`` of each training, ``seeds`` (their number), ``data`` (names) and
            ``images`` (maximum number for evaluation); None: the default of the experiment.

    Raises:
        CongealError: the name is unknown, or the experiment does not have an option.

    Example:
        >>> import tempfile
        >>> run_experiment("rpe.loss", tempfile.mkdtemp(), quick=True).png.name
        'loss.png'
    """
    if name not in EXPERIMENTS:
        raise unknown("experiment", name, EXPERIMENTS)
    draw = EXPERIMENTS[name].draw
    given = {key: value for key, value in options.items() if value is not None}
    for key in given:
        if key not in signature(draw).parameters:
            raise CongealError(f"{name} takes no {key}; only experiments with trainings do")
    return draw(folder, quick=quick, seed=seed, **given)
