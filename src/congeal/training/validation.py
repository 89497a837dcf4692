"""Validation at the end of epochs, by the judge of the task, and what follows from its scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback

from congeal.clock import now
from congeal.data.sample import Dataset, LabelMap, Sample, Subset
from congeal.errors import CongealError
from congeal.evaluation.adapters import lacking
from congeal.evaluation.comparison import Comparison
from congeal.evaluation.judge import Judge, make_judge
from congeal.figures.colour import RGB, colour_labels, to_display
from congeal.figures.maps import colour_classes
from congeal.files import atomic_path
from congeal.labels import boundaries
from congeal.methods.method import Method
from congeal.metrics.matching import MatchingMetric
from congeal.metrics.protocols import PROTOCOLS
from congeal.segmentation import Segmentation
from congeal.tasks import Task
from congeal.training.callbacks import History
from congeal.training.module import Trainee

__all__ = ["Validation", "evenly_spread", "headline", "judge_of", "require_truth"]

DRAWN = 4  # validation images drawn
CLASSED = "classed_ap@0.5"  # beside the scores of a task, where model and data have classes
LEAST_LOOKED = 4  # validation images, however long they take: below, chance decides


def judge_of(task: Task, dataset: Dataset) -> Judge:
    """The judge of a task's protocol, as validation and tuning use it.

    Example:
        >>> from congeal.data.drawn import DrawnDataset
        >>> from congeal.tasks import TASKS
        >>> judge_of(TASKS["instances"], DrawnDataset("discs")).headline
        'matching_ap@0.5'
    """
    return make_judge(PROTOCOLS[task.protocol], dataset, dict(task.measure))


def require_truth(task: Task, training: Dataset, validation: Dataset | None) -> None:
    """Refuse images without what the task learns from, or is judged by.

    Raises:
        CongealError: training images have no classes, or validation images lack what the task's
            protocol needs.

    Example:
        >>> from congeal.data.drawn import DrawnDataset
        >>> from congeal.tasks import TASKS
        >>> require_truth(TASKS["instances"], DrawnDataset("discs"), None)
        >>> require_truth(TASKS["semantic"], DrawnDataset("discs"), None)
        Traceback (most recent call last):
        ...
        congeal.errors.CongealError: expected images with classes for task semantic, discs has ...
    """
    if task.learns_from == "semantic" and not training.class_names:
        raise CongealError(
            f"expected images with classes for task {task.name}, {training.name} has none: "
            "docs/how-to/classes.md says how to give them"
        )
    if validation is not None and len(validation):
        problem = lacking(PROTOCOLS[task.protocol], validation, validation[0])
        if problem is not None:
            raise CongealError(problem)


def headline(task: Task, scores: Mapping[str, float]) -> float:
    """Mean of the scores that count for a task; NaN where none of them is defined.

    Where there are classes of objects, the AP of objects of the right class counts as well: weights
    that group well but know no classes are not the best.

    Example:
        >>> from congeal.tasks import TASKS
        >>> headline(TASKS["semantic"], {"miou": 0.5})
        0.5
        >>> found = {"matching_ap@0.5": 0.8, "matching_ap@0.7": 0.7, "classed_ap@0.5": 0.0}
        >>> round(headline(TASKS["instances"], found), 3)
        0.5
    """
    names = [*task.headline, *({CLASSED} & {*scores})]
    defined = [scores[name] for name in names if not math.isnan(scores[name])]
    return float(np.mean(defined)) if defined else math.nan


class Validation(Callback):
    """Scores validation images at the end of epochs, as often as its share of time allows.

    Args:
        task: of the model, whose protocol judges.
        dataset: of validation images; may be empty.
        fitted_on: training images for what the method fits before it can predict, or None.
        images: at most so many are looked at.
        share: of the training time that validation may take; with ``crops``, of the images.
        crops: seen at each step; validations are then due by the images looked at, so that a
            training of so many epochs has the same ones on any machine. None: by the clock.
        seconds: that one may take; then fewer images are looked at, four at least. None: no end.
        patience: validations without gain before the training stops.
        overlays: folder for pictures, or None.
        history: takes the scores.
        save: called with the scores, and whether they are as good as the best so far, but for one
            standard error: the later weights have seen more, and a falling rate has calmed them.
    """

    def __init__(
        self,
        task: Task,
        dataset: Dataset | None,
        *,
        fitted_on: Dataset | None,
        images: int,
        share: float,
        crops: int | None = None,
        seconds: float | None = None,
        patience: int | None,
        overlays: Path | None,
        history: History,
        save: Callable[[dict[str, float], bool], None],
    ) -> None:
        self.task = task
        self.dataset = dataset
        self.fitted_on = fitted_on
        self.images = images
        self.share = share
        self.crops = crops
        self.seconds = seconds
        self.patience = patience
        self.overlays = overlays
        self.history = history
        self.save = save
        self.best = -1.0
        self.stage = 0  # that the best is of
        self.counted = 0  # objects that the last score is of
        self.last: dict[str, float] = {}
        self.without_gain = 0
        self.spent = 0.0
        self.looked = 0  # images, of validations that were due
        self.fitting: int | None = None  # images that there is time for
        self.cost = 0.0  # seconds of the last one
        self.fit_cost = 0.0  # seconds of fitting before it, for each image
        self.on_image: Callable[[int, int], None] = lambda done, total: None  # for progress

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs to know."""
        names = ("best", "stage", "last", "without_gain", "spent", "looked", "fitting")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up where the training was."""
        for name, value in state_dict.items():
            setattr(self, name, value)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Do nothing more when what is resumed had stopped for want of gain."""
        self._stop_without_gain(trainer, pl_module)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Validate, if it is time or the end."""
        require_finite(pl_module, trainer.global_step)
        due = trainer.strategy.broadcast(self._is_due(trainer, pl_module))  # clocks differ
        if not due and not trainer.should_stop:
            return
        if self.dataset is None or not len(self.dataset):
            self.save({}, True)
            return
        started = now()
        self.last = self._score(trainer, pl_module)
        self.cost = now() - started
        self.spent += self.cost
        self.looked += due * len(self.places)
        self._judge(trainer, pl_module)

    @property
    def places(self) -> list[int]:
        """Of the images that are looked at, within the dataset."""
        most = self.images if self.fitting is None else min(self.images, self.fitting)
        return [] if self.dataset is None else evenly_spread(len(self.dataset), most)

    def _fit(self, model: Method) -> None:
        """Fit what the method needs before it can predict."""
        if self.fitted_on is not None:
            started = now()
            model.finish(self.fitted_on)
            self.fit_cost = (now() - started) / len(self.fitted_on)

    def _see_how_many(self, model: Method) -> int:
        """Images that the time of a validation lasts for, by how long the first one takes."""
        assert self.dataset is not None
        assert self.seconds is not None
        sample = self.dataset[0]
        started = now()
        model.segment(sample.image)
        return max(LEAST_LOOKED, int(self.seconds / (now() - started)))

    def _is_due(self, trainer: lightning.Trainer, trainee: Trainee) -> bool:
        if self.crops is None:
            return self.spent <= self.share * trainee.seconds
        return self.looked <= self.share * self.crops * trainer.global_step

    def _judge(self, trainer: lightning.Trainer, trainee: Trainee) -> None:
        score = headline(self.task, self.last)
        score = 0.0 if math.isnan(score) else score
        if trainee.stages.index > self.stage:  # what came before lacks what is learnt now
            self.stage, self.best, self.without_gain = trainee.stages.index, -1.0, 0
        better = score >= self.best - _standard_error(score, self.counted)
        self.without_gain = 0 if score > self.best else self.without_gain + 1
        self.best = max(self.best, score)
        if trainer.is_global_zero:
            self.history.write(trainer, trainee, self.last)
            for logger in trainer.loggers:
                logger.log_metrics(self.last, trainer.global_step)
        self.save(self.last, better)
        self._stop_without_gain(trainer, trainee)

    def _stop_without_gain(self, trainer: lightning.Trainer, trainee: Trainee) -> None:
        """Stop early; before the last stage there is always something left to learn."""
        last = trainee.stages.index + 1 == len(trainee.stages.stages)
        if self.patience and last and self.without_gain >= self.patience:
            trainer.should_stop = True

    def _score(self, trainer: lightning.Trainer, trainee: Trainee) -> dict[str, float]:
        assert self.dataset is not None
        judge = judge_of(self.task, self.dataset)
        model = trainee.model
        with (
            torch.autocast(trainee.device.type, enabled=False),
            trainer.precision_plugin.forward_context(),
        ):
            self._fit(model)
            if self.seconds is not None and self.fitting is None:
                self.fitting = trainer.strategy.broadcast(self._see_how_many(model))
            places = self.places
            for place in range(trainer.global_rank, len(places), trainer.world_size):
                sample = self.dataset[places[place]]
                result = model.segment(sample.image)
                judge.look(Comparison(sample, result, self.dataset))
                self.on_image(place + 1, len(places))
                drawn = place < DRAWN * trainer.world_size and trainer.is_global_zero
                if self.overlays is not None and drawn:
                    self._draw(sample, result)
        judge = judge.gather()
        self.counted = _counted(judge)
        scores = judge.compute()
        names = [*self.task.headline, *({CLASSED} & {*scores})]
        return {name: float(scores[name]) for name in names}

    def _draw(self, sample: Sample, result: Segmentation) -> None:
        """Image, truth and result side by side."""
        from PIL import Image

        assert self.overlays is not None
        image = to_display(sample.image)
        row = [image, _true_picture(sample, self.task), _found_picture(result, self.task)]
        with atomic_path(self.overlays / f"{Path(sample.name).name}.png") as temporary:
            Image.fromarray(np.concatenate(row, 1)).save(temporary)


def _true_picture(sample: Sample, task: Task) -> RGB:
    """The truth that the task learns from, as a picture."""
    if task.fills == "semantic" and sample.semantic is not None:
        return colour_classes(sample.semantic)
    if task.fills == "boundary":
        drawn = sample.boundaries or [boundaries(one) for one in _drawn_segments(sample)]
        return to_display(np.mean(drawn, axis=0))
    return colour_labels(sample.labels)


def _drawn_segments(sample: Sample) -> tuple[LabelMap, ...]:
    return sample.annotations or (sample.labels,)


def _found_picture(result: Segmentation, task: Task) -> RGB:
    if task.fills == "semantic" and result.semantic is not None:
        return colour_classes(result.semantic)
    if task.fills == "boundary" and result.boundary is not None:
        return to_display(result.boundary)
    return colour_labels(result.labels)


def fitting_images(dataset: Dataset, count: int) -> Dataset | None:
    """Training images that a method fits on before a validation; None where it needs none."""
    return Subset(dataset, evenly_spread(len(dataset), count)) if count else None


def evenly_spread(length: int, most: int) -> list[int]:
    """At most so many places of a list, evenly spread: of validation, and of tuning after it.

    Example:
        >>> evenly_spread(9, 3), evenly_spread(2, 3)
        ([0, 3, 6], [0, 1])
    """
    count = min(most, length)
    return [place * length // count for place in range(count)]


def _standard_error(share: float, counted: int) -> float:
    """Of a share of so many objects, each taken by itself; 0 where nothing was counted.

    Example:
        >>> _standard_error(0.5, 100), _standard_error(0.5, 0)
        (0.05, 0.0)
    """
    return math.sqrt(max(0.0, share * (1 - share)) / counted) if counted else 0.0


def _counted(judge: Judge) -> int:
    """Objects that the score is of, where it is a share of objects."""
    if not isinstance(judge.metric, MatchingMetric):
        return 0
    pooled = judge.metric.pooled()[0]
    return int(pooled.tp + pooled.fp + pooled.fn)


def require_finite(trainee: Trainee, step: int) -> None:
    """Let neither model nor checkpoint be overwritten by one that is lost.

    Raises:
        CongealError: a weight or a buffer is NaN or infinite.
    """
    state = [*trainee.model.parameters(), *trainee.model.buffers()]
    sums = [t.detach().sum().float() for t in state if t.is_floating_point() and t.numel()]
    if not bool(torch.stack(sums).isfinite().all()):
        raise CongealError(
            f"the weights are no longer finite after step {step}; try a lower learning_rate "
            f"than {trainee.highest_rate:g}, or precision 32"
        )
