"""Training a method on a folder, a named dataset, or any Dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning

from congeal.data.check import quick_problems
from congeal.data.classes import check_classes
from congeal.data.registry import open_dataset
from congeal.data.sample import Dataset
from congeal.data.unlabelled import UnlabelledDataset, find_images
from congeal.errors import CongealError
from congeal.methods.method import Method
from congeal.models.folder import load, registered_name
from congeal.training.adapt import suggest_crop, suggest_sampling_power
from congeal.training.config import TrainConfig, train_config
from congeal.training.folder import quiet_lightning
from congeal.training.job import Job
from congeal.training.machine import is_on_cpu
from congeal.training.plan import Plan, make_plan
from congeal.training.start import start_from
from congeal.training.validation import require_truth

__all__ = ["Outcome", "open_data", "plan_for", "run_training", "train"]

Data = str | Path | Dataset


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    Attributes:
        folder: of the model.
        signal: number of the signal that stopped it early, or None.
    """

    folder: Path
    signal: int | None = None


def train(
    model: Method | str | None,
    data: Data,
    *,
    output: str | Path,
    val: Data | None = None,
    task: str | None = None,
    preset: str | None = None,
    start: str | Path | None = None,
    resume: bool = False,
    what: str = "",
    licence: str = "",
    **settings: Any,
) -> Path:
    """Train a model and leave it in a folder, with log, checkpoints and pictures beside it.

    The folder holds a usable model from the first validation on; a stop by Ctrl-C, or SIGTERM,
    ends the training after the step in hand and saves. After that, or a kill, the same call with
    ``resume=True`` goes on from the last checkpoint, which is written at the end of each epoch
    and after such a stop. When the length is given in epochs it ends with the same weights as an
    unbroken run.

    Args:
        model: what to train: a method, or the name of one, whose settings then follow from the
            training images; None: the default method.
        data: a folder of ``images/`` and ``masks/``, a COCO file, a name, or a Dataset.
        output: folder for the model.
        val: validation images; None takes those that ``data`` sets aside.
        task: what the model is for, such as ``"semantic"``; None: the first that the method does.
        preset: ``"fast"`` or ``"paper"``; None: fast.
        start: model whose weights are taken to begin with, by folder or name.
        resume: go on from the last checkpoint in ``output``, if there is one.
        what: a line on what the model is for, for its card.
        licence: of the weights, for its card.
        settings: of the training (:class:`congeal.training.TrainConfig`) and, where ``model`` is
            no method already, of the method; by name or by section (``loss={"margin": 0.4}``).

    Returns:
        The model folder.

    Raises:
        CongealError: data, settings or folder do not fit, each told in one line.

    Example:
        >>> import tempfile
        >>> folder = train(
        ...     "rpe",
        ...     open_dataset("sticks", "train", count=2, size=96),
        ...     val=open_dataset("sticks", "val", count=1, size=96),
        ...     output=tempfile.mkdtemp(),
        ...     epochs=1,
        ...     batch_size=2,
        ...     crop=64,
        ...     dimensions=4,
        ... )
        >>> (folder / "model.safetensors").exists()
        True
    """
    return run_training(
        model,
        data,
        output=output,
        val=val,
        task=task,
        preset=preset,
        start=start,
        resume=resume,
        what=what,
        licence=licence,
        settings=settings,
    ).folder


def run_training(
    model: Method | str | None,
    data: Data,
    *,
    output: str | Path,
    settings: Mapping[str, Any],
    val: Data | None = None,
    task: str | None = None,
    preset: str | None = None,
    start: str | Path | None = None,
    resume: bool = False,
    what: str = "",
    licence: str = "",
    on_plan: Callable[[Plan], None] = lambda plan: None,
    on_note: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Do what :func:`train` does, and say how it ended.

    Args:
        model: as for :func:`train`, and so all that is not named here.
        data: what to learn from.
        output: folder for the model.
        settings: of method and training.
        val: validation images.
        task: what the model is for.
        preset: of settings.
        start: model to begin with.
        resume: go on.
        what: for the card.
        licence: for the card.
        on_plan: called with all settings before anything is written.
        on_note: called with what looks wrong in the data, a line each, before time is spent.
    """
    training, validation = open_data(data, val)
    for line in data_notes(training, validation):
        on_note(line)
    with quiet_lightning():
        if isinstance(model, Method):
            if task or preset:
                raise CongealError("task and preset go with the name of a method, not with a model")
            plan = Plan(type(model), model.config, train_config(settings))
        else:
            plan = plan_for(model, training, settings, task=task, preset=preset, start=start)
        lightning.seed_everything(plan.training.seed, verbose=False)
        built = model if isinstance(model, Method) else plan.method(plan.config)
        if start is not None:
            start_from(built, start)
        on_plan(plan)
        registered_name(built)  # before time is spent on what cannot be saved
        validation = _judged(built, training, validation)
        config = _fitted(plan.training, training, built)
        on_plan(plan)
        about = {"what": what, "licence": licence}
        job = Job(built, config, training, validation, Path(output), about)
        job.run(resume)
    return Outcome(Path(output), job.clock.signal)


def data_notes(training: Dataset, validation: Dataset | None) -> list[str]:
    """What looks wrong in the data, a line each, as ``congeal data check`` says it.

    Raises:
        CongealError: validation images have a class that training images do not name.
    """
    notes = quick_problems(training)
    return notes if validation is None else notes + check_classes(training, validation)


def plan_for(
    method: str | None,
    training: Dataset,
    settings: Mapping[str, Any],
    *,
    task: str | None = None,
    preset: str | None = None,
    start: str | Path | None = None,
) -> Plan:
    """Decide on all settings; a model to start from lends its own, where its method is the same."""
    base = None if start is None else load(start)
    return make_plan(
        method or (base.name if base else None),
        training,
        settings,
        task=task,
        preset=preset,
        base=base.config if base and method in (None, base.name) else None,
    )


def open_data(data: Data, val: Data | None) -> tuple[Dataset, Dataset | None]:
    """Open training and validation images.

    Raises:
        CongealError: there is no training image.
    """
    if isinstance(data, Dataset):
        training = data
        validation = open_dataset(val, "all") if isinstance(val, (str, Path)) else val
    else:
        training = _open_training(data)
        if training.lacks_truth and val is not None:  # nothing to compare them with
            raise CongealError(training.lacks_truth)
        if training.lacks_truth:
            validation = None
        elif val is None:
            validation = open_dataset(data, "val")
        else:
            validation = val if isinstance(val, Dataset) else open_dataset(val, "all")
    if not len(training):
        raise CongealError(f"expected training images in {data}, found none")
    return training, validation


def _open_training(data: str | Path) -> Dataset:
    """The training images; a folder of images alone is one too, for methods that learn so."""
    try:
        return open_dataset(data, "train")
    except CongealError as error:
        if not find_images(Path(data)):
            raise
        return UnlabelledDataset(data, str(error))


def _judged(model: Method, training: Dataset, validation: Dataset | None) -> Dataset | None:
    """Validation images; none where the model is to learn from images and has no truth.

    Raises:
        CongealError: the model learns from what the images do not have.
    """
    if model.needs_truth and training.lacks_truth:
        raise CongealError(training.lacks_truth)
    try:
        require_truth(model.task, training, validation)
    except CongealError:
        if model.needs_truth:
            raise
        return None
    return validation


def _fitted(config: TrainConfig, training: Dataset, model: Method) -> TrainConfig:
    """Choose crop and sampling where they are left open; refuse a crop that does not divide."""
    chosen: dict[str, Any] = {}
    if config.object_sampling_power is None:
        power = suggest_sampling_power(training, model) if config.cache_gb else 0.0
        chosen["object_sampling_power"] = power
    if config.crop is None:
        chosen["crop"] = suggest_crop(training, model, small=is_on_cpu(config.device))
    elif config.crop % model.divisor:
        raise CongealError(f"crop: expected a multiple of {model.divisor}, got {config.crop}")
    elif config.crop == model.divisor and config.batch_size == 1:
        raise CongealError(
            f"crop: expected at least {2 * model.divisor} with batches of one, got {config.crop}"
        )
    return config.model_copy(update=chosen)
