"""The entry points of training: from data and settings to a model folder.

Flow: open the data -> check it -> plan (method, settings, start model) -> build the model -> choose
batch and crop -> run the :class:`Job` -> diagnose a score near zero.
"""

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
from congeal.data.measures import survey_training
from congeal.data.sample import Dataset
from congeal.errors import CongealError
from congeal.methods.method import Method
from congeal.methods.registry import DEFAULT_METHOD, find_method
from congeal.models.config import read_config
from congeal.models.folder import load, registered_name
from congeal.training.channels import channels_wanted
from congeal.training.config import train_config
from congeal.training.datasets import Data, open_data
from congeal.training.diagnosis import NEAR_ZERO, diagnose, final_score
from congeal.training.fitting import fit_settings
from congeal.training.folder import last_checkpoint, quiet_lightning
from congeal.training.job import Job
from congeal.training.plan import SCRATCH, Plan, make_plan, stored_plan
from congeal.training.start import AUTO, misfit, start_from
from congeal.training.together import settle_processes, together
from congeal.training.validation import require_truth

__all__ = ["Outcome", "open_data", "plan_for", "run_training", "train"]


@dataclass(frozen=True)
class Outcome:
    """Result of a training.

    Attributes:
        folder: model folder.
        signal: number of the signal that stopped the training early, or None.
        advice: likely causes of a score near zero, one per line; empty for other scores.
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
    """Train a model and write a model folder with log, checkpoints and validation pictures.

    The folder holds a usable model from the first validation on. Ctrl-C or SIGTERM stops the
    training after the current step and saves it. A checkpoint is written at the end of each epoch
    and at such a stop; the same call with ``resume=True`` continues from the last one. If the
    length is given in epochs, a resumed training ends with the same weights as an uninterrupted
    one. If it is given in minutes, batch and crop size are chosen by the measured speed unless
    given; ``plan.yaml`` in the folder has the choice.

    Args:
        model: a method, or the name of a method, whose settings are then derived from the training
            images; None: the default method.
        data: a folder of ``images/`` and ``masks/``, a COCO file, a dataset name, or a Dataset.
        output: model folder to write.
        val: validation images; None: the validation split of ``data``.
        task: task of the model, such as ``"semantic"``; None: the default task of the method.
        preset: ``"fast"`` or ``"paper"``; None: fast.
        start: start model, by folder or name; None: train from scratch; ``"auto"``: the shipped
            model for the method and task, if its encoder fits.
        resume: continue from the last checkpoint in ``output``, if there is one.
        what: purpose of the model in a line, for its card.
        licence: licence of the weights, for its card.
        settings: training settings (:class:`congeal.training.TrainConfig`) and, if ``model`` is
            not a method object, settings of the method: by name or by section
            (``loss={"margin": 0.4}``).

    Returns:
        The model folder.

    Raises:
        CongealError: data, settings or output folder do not fit.

    Warns:
        UserWarning: problems found in the data; likely causes of a score near zero.

    Example:
        >>> import tempfile
        >>> from congeal.data import open_dataset
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
    warnings.warn(line, stacklevel=3)  # points at the caller of train


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
    start_time: float | None = None,
) -> Outcome:
    """Train as :func:`train` does, with callbacks in place of warnings and printed lines.

    Args:
        model: as for :func:`train`.
        data: as for :func:`train`.
        output: model folder to write.
        settings: settings of method and training: by path, by name or by section.
        val: validation images, as for :func:`train`.
        task: task of the model.
        preset: ``"fast"`` or ``"paper"``.
        start: start model, as for :func:`train`.
        resume: continue from the last checkpoint.
        what: purpose of the model, for its card.
        licence: licence of the weights, for its card.
        on_plan: called with all settings before anything is written.
        on_note: called with each problem found in the data, before the training begins.
        on_line: called with each choice that was made, as a line of text.
        start_time: time by :func:`congeal.clock.now` at which the training minutes begin; None:
            now.

    Returns:
        Folder, signal and advice.

    Raises:
        CongealError: data, settings or output folder do not fit.
    """
    start_time = now() if start_time is None else start_time
    with together(settings) as is_first, quiet_lightning():
        if is_first:
            _check_request(model, Path(output), resume)
        else:
            on_plan = on_note = on_line = _ignore
        training, validation = open_data(data, val, channels_wanted(settings))
        for line in data_notes(training, validation):
            on_note(line)
        stored = stored_plan(Path(output)) if resume else None
        if stored is not None and start == AUTO:
            start = stored[0]
        derived = stored[1] if stored else {}
        request = {"task": task, "preset": preset, "start": start}
        plan = _decide(model, training, settings, request, derived, on_line)
        for line in plan.notes:
            on_note(line)
        on_plan(plan)
        lightning.seed_everything(plan.training.seed, verbose=False)
        built = model if isinstance(model, Method) else plan.method(plan.config)
        if plan.start is not None:
            start_from(built, plan.start)
        registered_name(built)  # fails before the training if the model could not be saved
        validation = _usable_validation(built, training, validation)
        plan = replace(plan, training=fit_settings(plan, training, built, start_time, on_line))
        about = {"what": what, "licence": licence}
        job = Job(built, plan, training, validation, Path(output), about, start_time)
        job.run(resume)
        diagnosed = is_first and job.clock.signal is None
        advice = _advice(Path(output), training) if diagnosed else ()
    return Outcome(Path(output), job.clock.signal, advice)


def _check_request(model: object, output: Path, resume: bool) -> None:
    """Refuse what is no method, or an output folder in use, before anything is read."""
    if not isinstance(model, Method | str | None):
        raise CongealError(
            f"expected a method or the name of one, got {type(model).__name__}; a network of your "
            "own: docs/how-to/own-network.md"
        )
    last_checkpoint(output, resume)


def _ignore(_: object) -> None:
    """Callback of all processes but the first."""


def _decide(
    model: Method | str | None,
    training: Dataset,
    settings: Mapping[str, Any],
    request: dict[str, Any],
    derived: Mapping[str, Any],
    on_line: Callable[[str], None],
) -> Plan:
    """Decide on all settings.

    Args:
        model: as for :func:`train`.
        training: training images.
        settings: given by the user.
        request: task, preset and start, as for :func:`train`.
        derived: training settings that an earlier run derived.
        on_line: called with each choice as a line of text.
    """
    if isinstance(model, Method):
        if request["task"] or request["preset"]:
            raise CongealError(
                "expected the name of a method with task or preset, got a method object, whose "
                "settings are fixed"
            )
        start = None if request["start"] in (AUTO, None) else str(request["start"])
        plan = Plan(type(model), model.config, train_config({**derived, **settings}), start)
    else:
        plan = plan_for(model, training, settings, **request, stored=derived, on_line=on_line)
    return replace(plan, training=settle_processes(plan.training))


def _advice(folder: Path, training: Dataset) -> tuple[str, ...]:
    """Likely causes of a final score near zero; empty for other scores."""
    config, model = read_config(folder), load(folder)
    score = final_score(model.task, config.metrics)
    if score is None or score >= NEAR_ZERO:
        return ()
    started = config.training.get("start", SCRATCH) != SCRATCH
    return tuple(diagnose(model, training, int(config.training["steps"]), started=started))


def data_notes(training: Dataset, validation: Dataset | None) -> list[str]:
    """Problems found in the data, one per line, as ``congeal data check`` reports them.

    Args:
        training: training images.
        validation: validation images, or None.

    Raises:
        CongealError: validation images have a class that the training images lack.
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
    """Decide on all settings and on the start model.

    Settings of the start model replace the defaults if it is of the same method.

    Args:
        method: name of the method; None: the default, or that of the start model.
        training: training images.
        settings: settings of method and training: by path, by name or by section.
        task: task of the model; None: the default task of the method.
        preset: ``"fast"`` or ``"paper"``; None: fast.
        start: start model, as for :func:`train`.
        stored: training settings that an earlier run derived.
        on_line: called with the choice of the start model as a line of text.

    Raises:
        CongealError: as for :func:`make_plan`, or there is no such start model.
    """
    plan = partial(make_plan, settings=settings, task=task, preset=preset, stored=stored)
    if start == AUTO:
        return _plan_by_default(method, training, settings, task, plan, on_line)
    if start is None:
        return plan(method, training)
    base = load(start)
    config = base.config if method in (None, base.name) else None
    return plan(method or base.name, training, base=config, start=str(start))


def _plan_by_default(
    method: str | None,
    training: Dataset,
    settings: Mapping[str, Any],
    task: str | None,
    plan: Callable[..., Plan],
    on_line: Callable[[str], None],
) -> Plan:
    """Plan with the start model in ``Method.starts`` if its weights fit, else from scratch."""
    kind = find_method(method or DEFAULT_METHOD, task or settings.get("task"))
    task = task or settings.get("task") or kind.tasks[0]
    start = kind.start_models.get(task)
    if start is None:
        return plan(kind.name, training)
    base, survey = load(start), survey_training(training, task)
    reason = kind.reason_against_start(survey)
    if reason is None:
        started = plan(kind.name, training, base=base.config, start=start, survey=survey)
        reason = misfit(kind.from_settings(started.config.flat()), base)
        if reason is None:
            on_line(f"starts from the weights of {start}; --from-scratch does not")
            return started
    on_line(f"starts from scratch, not from the weights of {start}: {reason}")
    return plan(kind.name, training, survey=survey)


def _usable_validation(
    model: Method, training: Dataset, validation: Dataset | None
) -> Dataset | None:
    """Validation images; None where ground truth is missing and the model needs none.

    Raises:
        CongealError: the model needs ground truth that the images lack.
    """
    if model.needs_truth and training.unlabelled_reason:
        raise CongealError(training.unlabelled_reason)
    try:
        require_truth(model.task, training, validation)
    except CongealError:
        if model.needs_truth:
            raise
        return None
    return validation
