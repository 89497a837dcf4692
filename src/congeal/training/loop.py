"""Training a method on a folder, a named dataset, or any Dataset."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import lightning

from congeal.clock import now
from congeal.data.check import quick_problems
from congeal.data.classes import check_classes
from congeal.data.images import Channels
from congeal.data.measures import survey_training
from congeal.data.registry import open_dataset, split_channels
from congeal.data.sample import Dataset
from congeal.data.unlabelled import UnlabelledDataset, find_images
from congeal.errors import CongealError
from congeal.methods.method import Method
from congeal.methods.registry import DEFAULT_METHOD, find_method
from congeal.models.config import read_config
from congeal.models.folder import load, registered_name
from congeal.training.channels import channels_of, channels_wanted
from congeal.training.config import train_config
from congeal.training.diagnosis import NEAR_ZERO, diagnose, final_score
from congeal.training.fitting import fit_settings
from congeal.training.folder import quiet_lightning
from congeal.training.job import Job
from congeal.training.plan import SCRATCH, Plan, make_plan, stored_plan
from congeal.training.start import AUTO, misfit, start_from
from congeal.training.together import settle_processes, together
from congeal.training.validation import require_truth

__all__ = ["Outcome", "open_data", "plan_for", "run_training", "train"]

Data = str | Path | Dataset


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    Attributes:
        folder: of the model.
        signal: number of the signal that stopped it early, or None.
        advice: what is likely wrong where the score is near zero, a line each.
    """

    folder: Path
    signal: int | None = None
    advice: tuple[str, ...] = ()


def train(
    model: Method | str | None,
    data: Data,
    *,
    output: str | Path,
    val: Data | None = None,
    task: str | None = None,
    preset: str | None = None,
    start: str | Path | None = AUTO,
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
    unbroken run. When it is given in minutes, crops and batches that are left open follow from how
    long the first updates take; ``plan.yaml`` in the folder says what was chosen.

    Args:
        model: what to train: a method, or the name of one, whose settings then follow from the
            training images; None: the default method.
        data: a folder of ``images/`` and ``masks/``, a COCO file, a name, or a Dataset.
        output: folder for the model.
        val: validation images; None takes those that ``data`` sets aside.
        task: what the model is for, such as ``"semantic"``; None: the first that the method does.
        preset: ``"fast"`` or ``"paper"``; None: fast.
        start: model whose weights are taken to begin with, by folder or name; None: from scratch;
            ``"auto"``: the model that ships for the method and task, where its weights fit.
        resume: go on from the last checkpoint in ``output``, if there is one.
        what: a line on what the model is for, for its card.
        licence: of the weights, for its card.
        settings: of the training (:class:`congeal.training.TrainConfig`) and, where ``model`` is
            no method already, of the method; by name or by section (``loss={"margin": 0.4}``).

    Returns:
        The model folder.

    Raises:
        CongealError: data, settings or folder do not fit, each told in one line.

    Warns:
        UserWarning: what looks wrong in the data, and, where the score is near zero at the end,
            what is likely wrong.

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
    outcome = run_training(
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
        on_note=_warn,
        on_line=lambda line: print(line, file=sys.stderr),
    )
    for line in outcome.advice:
        _warn(line)
    return outcome.folder


def _warn(line: str) -> None:
    warnings.warn(line, stacklevel=3)  # at the call of train


def run_training(
    model: Method | str | None,
    data: Data,
    *,
    output: str | Path,
    settings: Mapping[str, Any],
    val: Data | None = None,
    task: str | None = None,
    preset: str | None = None,
    start: str | Path | None = AUTO,
    resume: bool = False,
    what: str = "",
    licence: str = "",
    on_plan: Callable[[Plan], None] = lambda plan: None,
    on_note: Callable[[str], None] = lambda line: None,
    on_line: Callable[[str], None] = lambda line: None,
    born: float | None = None,
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
        on_line: called with what was chosen, a line each.
        born: time by :func:`congeal.clock.now` from which the minutes count; None: now.
    """
    born = now() if born is None else born
    with together(settings) as speaks, quiet_lightning():
        if not speaks:
            on_plan = on_note = on_line = _say_nothing
        training, validation = open_data(data, val, channels_wanted(settings))
        for line in data_notes(training, validation):
            on_note(line)
        stored = stored_plan(Path(output)) if resume else None
        if stored is not None and start == AUTO:
            start = stored[0]
        chosen = stored[1] if stored else {}
        wish = {"task": task, "preset": preset, "start": start}
        plan = _decide(model, training, settings, wish, chosen, on_line)
        for line in plan.notes:
            on_note(line)
        on_plan(plan)
        lightning.seed_everything(plan.training.seed, verbose=False)
        built = model if isinstance(model, Method) else plan.method(plan.config)
        if plan.start is not None:
            start_from(built, plan.start)
        registered_name(built)  # before time is spent on what cannot be saved
        validation = _judged(built, training, validation)
        plan = replace(plan, training=fit_settings(plan, training, built, born, on_line))
        about = {"what": what, "licence": licence}
        job = Job(built, plan, training, validation, Path(output), about, born)
        job.run(resume)
        ended = job.clock.signal or not speaks
        advice = () if ended else _advice(Path(output), training)
    return Outcome(Path(output), job.clock.signal, advice)


def _say_nothing(_: object) -> None:
    """What processes beside the first have to say."""


def _decide(
    model: Method | str | None,
    training: Dataset,
    settings: Mapping[str, Any],
    wish: dict[str, Any],
    chosen: Mapping[str, Any],
    on_line: Callable[[str], None],
) -> Plan:
    """Decide on all settings; ``wish`` has task, preset and start."""
    if isinstance(model, Method):
        if wish["task"] or wish["preset"]:
            raise CongealError("task and preset go with the name of a method, not with a model")
        begin = None if wish["start"] in (AUTO, None) else str(wish["start"])
        length = train_config({**chosen, **settings})
        plan = Plan(type(model), model.config, length, begin)
    else:
        plan = plan_for(model, training, settings, **wish, stored=chosen, on_line=on_line)
    return replace(plan, training=settle_processes(plan.training))


def _advice(folder: Path, training: Dataset) -> tuple[str, ...]:
    """What is likely wrong, where the final score is near zero."""
    config, model = read_config(folder), load(folder)
    score = final_score(model.task, config.metrics)
    if score is None or score >= NEAR_ZERO:
        return ()
    begun = config.training.get("start", SCRATCH) != SCRATCH
    return tuple(diagnose(model, training, int(config.training["steps"]), started=begun))


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
    start: str | Path | None = AUTO,
    stored: Mapping[str, Any] | None = None,
    on_line: Callable[[str], None] = lambda line: None,
) -> Plan:
    """Decide on all settings; a model to start from lends its own, where its method is the same."""
    plan = partial(make_plan, settings=settings, task=task, preset=preset, stored=stored)
    if start == AUTO:
        return _plan_by_default(method, training, settings, task, plan, on_line)
    if start is None:
        return plan(method, training)
    base = load(start)
    lent = base.config if method in (None, base.name) else None
    return plan(method or base.name, training, base=lent, start=str(start))


def _plan_by_default(
    method: str | None,
    training: Dataset,
    settings: Mapping[str, Any],
    task: str | None,
    plan: Callable[..., Plan],
    on_line: Callable[[str], None],
) -> Plan:
    """Start from the model that the method names, if there is one and its weights fit."""
    kind = find_method(method or DEFAULT_METHOD, task or settings.get("task"))
    task = task or settings.get("task") or kind.tasks[0]
    named = kind.starts.get(task)
    if named is None:
        return plan(kind.name, training)
    base, survey = load(named), survey_training(training, task)
    reason = kind.why_no_start(survey)
    if reason is None:
        started = plan(kind.name, training, base=base.config, start=named, survey=survey)
        reason = misfit(kind.from_settings(started.config.flat()), base)
        if reason is None:
            on_line(f"starts from the weights of {named}; --from-scratch does not")
            return started
    on_line(f"starts from scratch, not from the weights of {named}: {reason}")
    return plan(kind.name, training, survey=survey)


def open_data(
    data: Data, val: Data | None, channels: Channels = "all"
) -> tuple[Dataset, Dataset | None]:
    """Open training and validation images.

    Args:
        data: to train on.
        val: to validate on; None: what ``data`` sets aside.
        channels: of the images, unless the name of the data tells them.

    Raises:
        CongealError: there is no training image.
    """
    validation = val if isinstance(val, Dataset) else None
    training = data if isinstance(data, Dataset) else _open_training(data, channels)
    if training.lacks_truth:
        if val is not None:  # nothing to compare them with
            raise CongealError(training.lacks_truth)
    elif isinstance(val, str | Path):
        validation = _open(val, "all", channels_of(training) or channels)
    elif val is None and not isinstance(data, Dataset):
        validation = _open(data, "val", channels)
    if not len(training):
        raise CongealError(f"expected training images in {data}, found none")
    return training, validation


def _open(data: str | Path, split: str, channels: Channels) -> Dataset:
    return open_dataset(data, split, channels=split_channels(data)[1] or channels)


def _open_training(data: str | Path, channels: Channels) -> Dataset:
    """The training images; a folder of images alone is one too, for methods that learn so."""
    try:
        return _open(data, "train", channels)
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
