"""Validation at the end of epochs: scores, best weights, early stopping.

Flow: end of an epoch -> is a validation due? -> predict validation images -> the judge of the task
scores them -> log, pictures, saving of the best weights, early stopping.
"""

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
from congeal.data.sample import Dataset, Sample, Subset
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

MAX_OVERLAYS = 4  # validation images that are drawn beside their ground truth
MIN_IMAGES = 4  # images of a validation or tuning, however slow; fewer give a noisy score


# Attributes in a checkpoint, by key; keys keep their names so that old checkpoints resume.
_STATE = {
    "best": "best",
    "stage": "stage",
    "last": "last",
    "without_gain": "without_gain",
    "spent": "spent",
    "looked": "images_used",
    "fitting": "affordable_images",
}


def judge_of(task: Task, dataset: Dataset) -> Judge:
    """The judge of a task's protocol, with the settings that validation and tuning use.

    Args:
        task: the task of a model.
        dataset: images to score.

    Example:
        >>> from congeal.data.drawn import DrawnDataset
        >>> from congeal.tasks import TASKS
        >>> judge_of(TASKS["instances"], DrawnDataset("discs")).headline
        'matching_ap@0.5'
    """
    return make_judge(PROTOCOLS[task.protocol], dataset, dict(task.measure))


def require_truth(task: Task, training: Dataset, validation: Dataset | None) -> None:
    """Check that the datasets have the ground truth that the task needs.

    Args:
        task: the task of the model.
        training: training images.
        validation: validation images, or None.

    Raises:
        CongealError: the task learns from classes and the training images have none, or the
            validation images lack the ground truth that the task's protocol compares with.

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
            f"expected images with classes for task {task.name}, {training.name} has none; "
            "docs/how-to/classes.md shows how to provide them"
        )
    if validation is not None and len(validation):
        problem = lacking(PROTOCOLS[task.protocol], validation, validation[0])
        if problem is not None:
            raise CongealError(problem)


def headline(task: Task, scores: Mapping[str, float]) -> float:
    """Headline score of a task: the mean of its defined headline metrics; NaN if none is defined.

    Args:
        task: names its headline metrics.
        scores: metrics by name; must have those of the headline.

    Example:
        >>> from congeal.tasks import TASKS
        >>> headline(TASKS["semantic"], {"miou": 0.5})
        0.5
    """
    defined = [scores[name] for name in task.headline if not math.isnan(scores[name])]
    return float(np.mean(defined)) if defined else math.nan


class Validation(Callback):
    """Scores validation images at the end of epochs, within a share of the training time.

    Args:
        task: task of the model; its protocol scores the images.
        dataset: validation images; may be None or empty.
        fitted_on: training images for :meth:`Method.finish` before each validation, or None.
        images: maximum number of images of a validation.
        share: maximum share of the training time; with ``crops``, the ratio of validation images
            to training crops.
        crops: training crops per update step. Validations are then due by the number of images
            instead of the clock, so a training of given epochs validates at the same steps on any
            machine. None: by the clock.
        seconds: time limit of a validation, kept by using fewer images (at least four), fixed
            from the time of the first prediction. None: no limit.
        patience: validations without improvement before the training stops; None: never.
        overlays: folder for pictures, or None.
        history: log that the scores are written to.
        save: called with the scores and with whether they are at least the best so far minus one
            standard error. Within that noise the later weights are preferred: they have been
            trained longer, at a lower learning rate.
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
        self.best = -1.0  # headline score
        self.stage = 0  # index of the stage that the best score belongs to
        self.objects = 0  # number of objects behind the last score; 0: not a share of objects
        self.last: dict[str, float] = {}  # scores of the last validation
        self.without_gain = 0  # validations since the best score
        self.spent = 0.0  # seconds, all validations
        self.images_used = 0  # in all validations that were due
        self.affordable_images: int | None = None  # within ``seconds``; None: not measured yet
        self.cost = 0.0  # seconds of the last validation
        self.fit_cost = 0.0  # seconds of Method.finish before it, per image
        self.on_image: Callable[[int, int], None] = lambda done, total: None  # for progress

    def state_dict(self) -> dict[str, Any]:
        """State that a resumed training continues from."""
        return {key: getattr(self, name) for key, name in _STATE.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state of the training that is resumed."""
        for key, value in state_dict.items():
            setattr(self, _STATE[key], value)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Stop at once if the training that is resumed had stopped early."""
        self._stop_early(trainer, pl_module)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Validate if a validation is due or the training ends."""
        require_finite(pl_module, trainer.global_step)
        # The first process decides for all, because their clocks differ.
        due = trainer.strategy.broadcast(self._is_due(trainer, pl_module))
        if not due and not trainer.should_stop:
            return
        if self.dataset is None or not len(self.dataset):
            self.save({}, True)
            return
        started = now()
        self.last = self._score(trainer, pl_module)
        self.cost = now() - started
        self.spent += self.cost
        self.images_used += due * len(self.indices)
        self._compare_with_best(trainer, pl_module)

    @property
    def indices(self) -> list[int]:
        """Indices of the images of a validation within the dataset."""
        limit = self.images
        if self.affordable_images is not None:
            limit = min(limit, self.affordable_images)
        return [] if self.dataset is None else evenly_spread(len(self.dataset), limit)

    def _fit(self, model: Method) -> None:
        """Call :meth:`Method.finish` where the method needs it before it can predict."""
        if self.fitted_on is not None:
            started = now()
            model.finish(self.fitted_on)
            self.fit_cost = (now() - started) / len(self.fitted_on)

    def _measure_affordable_images(self, model: Method) -> int:
        """Number of images within the time limit, from the time of predicting the first one."""
        assert self.dataset is not None
        assert self.seconds is not None
        sample = self.dataset[0]
        started = now()
        model.segment(sample.image)
        return max(MIN_IMAGES, int(self.seconds / (now() - started)))

    def _is_due(self, trainer: lightning.Trainer, trainee: Trainee) -> bool:
        if self.crops is None:
            return self.spent <= self.share * trainee.seconds
        return self.images_used <= self.share * self.crops * trainer.global_step

    def _compare_with_best(self, trainer: lightning.Trainer, trainee: Trainee) -> None:
        """Log the last scores, save the weights if they are good, and stop early if due."""
        score = headline(self.task, self.last)
        score = 0.0 if math.isnan(score) else score
        if trainee.stages.index > self.stage:  # weights of an earlier stage are not complete
            self.stage, self.best, self.without_gain = trainee.stages.index, -1.0, 0
        better = score >= self.best - _standard_error(score, self.objects)
        self.without_gain = 0 if score > self.best else self.without_gain + 1
        self.best = max(self.best, score)
        if trainer.is_global_zero:
            self.history.write(trainer, trainee, self.last)
            for logger in trainer.loggers:
                logger.log_metrics(self.last, trainer.global_step)
        self.save(self.last, better)
        self._stop_early(trainer, trainee)

    def _stop_early(self, trainer: lightning.Trainer, trainee: Trainee) -> None:
        """Stop after ``patience`` validations without improvement, in the last stage only."""
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
            if self.seconds is not None and self.affordable_images is None:
                affordable = self._measure_affordable_images(model)
                self.affordable_images = trainer.strategy.broadcast(affordable)
            indices = self.indices
            for number in range(trainer.global_rank, len(indices), trainer.world_size):
                sample = self.dataset[indices[number]]
                result = model.segment(sample.image)
                judge.look(Comparison(sample, result, self.dataset))
                self.on_image(number + 1, len(indices))
                drawn = number < MAX_OVERLAYS * trainer.world_size and trainer.is_global_zero
                if self.overlays is not None and drawn:
                    self._draw(sample, result)
        judge = judge.gather()
        self.objects = _objects_scored(judge)
        scores = judge.compute()
        return {name: float(scores[name]) for name in self.task.headline}

    def _draw(self, sample: Sample, result: Segmentation) -> None:
        """Write image, ground truth and result side by side."""
        from PIL import Image

        assert self.overlays is not None
        image = to_display(sample.image)
        row = [image, _draw_truth(sample, self.task), _draw_result(result, self.task)]
        with atomic_path(self.overlays / f"{Path(sample.name).name}.png") as temporary:
            Image.fromarray(np.concatenate(row, 1)).save(temporary)


def _draw_truth(sample: Sample, task: Task) -> RGB:
    """The ground truth of the task as a picture ``(H, W, 3)``."""
    if task.fills == "semantic" and sample.semantic is not None:
        return colour_classes(sample.semantic)
    if task.fills == "boundary":
        segmentations = sample.annotations or (sample.labels,)
        annotators = sample.boundaries or [boundaries(labels) for labels in segmentations]
        return to_display(np.mean(annotators, axis=0))
    return colour_labels(sample.labels)


def _draw_result(result: Segmentation, task: Task) -> RGB:
    """The prediction for the task as a picture ``(H, W, 3)``."""
    if task.fills == "semantic" and result.semantic is not None:
        return colour_classes(result.semantic)
    if task.fills == "boundary" and result.boundary is not None:
        return to_display(result.boundary)
    return colour_labels(result.labels)


def fitting_images(dataset: Dataset, count: int) -> Dataset | None:
    """Training images for :meth:`Method.finish` before a validation; None if ``count`` is 0.

    Args:
        dataset: training images.
        count: maximum number of images, evenly spread.
    """
    return Subset(dataset, evenly_spread(len(dataset), count)) if count else None


def evenly_spread(length: int, limit: int) -> list[int]:
    """At most ``limit`` indices of a list of ``length`` entries, evenly spread, ascending.

    Example:
        >>> evenly_spread(9, 3), evenly_spread(2, 3)
        ([0, 3, 6], [0, 1])
    """
    count = min(limit, length)
    return [number * length // count for number in range(count)]


def _standard_error(share: float, objects: int) -> float:
    """Standard error sqrt(p (1 - p) / n) of a share of independent objects; 0 if there are none.

    Example:
        >>> _standard_error(0.5, 100), _standard_error(0.5, 0)
        (0.05, 0.0)
    """
    return math.sqrt(max(0.0, share * (1 - share)) / objects) if objects else 0.0


def _objects_scored(judge: Judge) -> int:
    """Number of objects tp + fp + fn behind a matching score; 0 for other metrics."""
    if not isinstance(judge.metric, MatchingMetric):
        return 0
    pooled = judge.metric.pooled()[0]
    return int(pooled.tp + pooled.fp + pooled.fn)


def require_finite(trainee: Trainee, step: int) -> None:
    """Check that the weights are finite, before they overwrite a model or a checkpoint.

    Args:
        trainee: the model under training.
        step: number of the last update step, for the error.

    Raises:
        CongealError: a parameter or a buffer has NaN or infinity.
    """
    state = [*trainee.model.parameters(), *trainee.model.buffers()]
    sums = [t.detach().sum().float() for t in state if t.is_floating_point() and t.numel()]
    if not bool(torch.stack(sums).isfinite().all()):
        raise CongealError(
            f"the weights are no longer finite after step {step}; try a lower learning_rate "
            f"than {trainee.highest_rate:g}, or precision 32"
        )
