"""From data and wishes to what will be trained: method, settings, and settings of the training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from congeal.data.measures import TrainingSurvey, survey_training
from congeal.data.sample import Dataset
from congeal.errors import CongealError, unknown
from congeal.files import atomic_path
from congeal.methods.method import Method
from congeal.methods.registry import DEFAULT_METHOD, find_method
from congeal.methods.sections import MethodSettings
from congeal.settings import Settings
from congeal.training.channels import channels_of
from congeal.training.config import TrainConfig, train_config

__all__ = ["PRESETS", "SCRATCH", "Plan", "make_plan", "split_settings", "store_plan", "stored_plan"]

PRESETS = ("fast", "paper")
SCRATCH = "scratch"  # in place of a model to start from, where there is none
PLAN = "plan.yaml"  # in the folder of a training
LENT = ("input.", "network.", "loss.")  # sections that classes of one method may share
# Settings that are chosen by the images and the clock, where they are left open.
CHOSEN = ("crop", "batch_size", "steps_per_epoch", "warmup", "object_sampling_power")


@dataclass(frozen=True)
class Plan:
    """What ``congeal train`` would run.

    Attributes:
        method: class of the method.
        config: its settings.
        training: settings of the training.
        start: model whose weights it begins with; None: from scratch.
        notes: what a user should know of the choice, a line each.
    """

    method: type[Method]
    config: MethodSettings
    training: TrainConfig
    start: str | None = None
    notes: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Everything by section, as ``--print-config`` writes it and ``--config`` reads it."""
        return {
            "method": self.method.name,
            "start": SCRATCH if self.start is None else self.start,
            **self.config.model_dump(mode="json"),
            "training": self.training.model_dump(mode="json"),
        }


def make_plan(
    method: str | None,
    dataset: Dataset,
    settings: Mapping[str, Any],
    *,
    task: str | None = None,
    preset: str | None = None,
    base: MethodSettings | None = None,
    start: str | None = None,
    stored: Mapping[str, Any] | None = None,
    survey: TrainingSurvey | None = None,
) -> Plan:
    """Decide on all settings: defaults, then a survey of the images, the preset, what was given.

    Args:
        method: its name; None: the default one.
        dataset: of training images; 64 of them, evenly spread, are looked at.
        settings: of method and training, by path, by name or by section.
        task: what the model is for; None: the first that the method does.
        preset: ``"fast"`` or ``"paper"``; None: fast.
        base: settings of a model to start from, in place of the defaults; what follows from the
            sizes of objects is fitted to the images even so (:meth:`Method.adapt`).
        start: the model whose settings they are.
        stored: settings of the training that an earlier run of it chose (:func:`stored_plan`).
        survey: of the training images, if it is there already.

    Raises:
        CongealError: a name or setting is unknown or out of range, or the data does not hold what
            the task learns from.

    Example:
        >>> from congeal.data import open_dataset
        >>> plan = make_plan(None, open_dataset("sticks", count=4), {"margin": 0.4, "epochs": 2})
        >>> plan.config.loss.margin, plan.training.epochs
        (0.4, 2)
    """
    kind = find_method(method or DEFAULT_METHOD, task or settings.get("task"))
    own, training = split_settings(kind, settings)
    task = task or own.get("task") or kind.tasks[0]
    if dataset.lacks_truth and not kind.learns_unlabelled:
        raise CongealError(dataset.lacks_truth)
    survey = survey or survey_training(dataset, task)
    wished, planned = split_settings(kind, _preset(kind, preset))
    chosen = {"class_names": _class_names(survey), **wished}
    if "input.channels" in kind.Config.leaves():
        chosen["input.channels"] = channels_of(dataset)
    if "input.pixel_size" in kind.Config.leaves():
        chosen["input.pixel_size"] = survey.pixel_size
    if base is None:
        base, chosen = kind.default_config(), {**kind.suggest(survey), **chosen}
    else:
        base = _as_base(kind, base)
        chosen = {**kind.adapt(survey, base), **chosen}
    config = base.updated({**chosen, **own, "task": task})
    length = train_config({**planned, **(stored or {}), **training})
    given = "input.pixel_size" in own or "input.pixel_size" not in chosen
    notes = (survey.pixel_size_note,) if survey.pixel_size_note and not given else ()
    return Plan(kind, config, length, start, notes)


def store_plan(plan: Plan, output: Path) -> None:
    """Write what was decided on beside the model, as ``--config`` reads it."""
    text = yaml.safe_dump(plan.document(), sort_keys=False, allow_unicode=True)
    with atomic_path(output / PLAN) as temporary:
        temporary.write_text(text, encoding="utf-8")


def stored_plan(output: Path) -> tuple[str | None, dict[str, Any]] | None:
    """What a training in this folder began with, and its settings that nobody gave.

    Returns:
        The model it started from, and settings of the training; None where there is no plan.

    Raises:
        CongealError: there is one that cannot be read.
    """
    if not (output / PLAN).exists():
        return None
    try:
        plan = yaml.safe_load((output / PLAN).read_text(encoding="utf-8"))
        training = plan["training"]
        begun = None if plan["start"] == SCRATCH else str(plan["start"])
        return begun, {name: training[name] for name in CHOSEN}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, AttributeError):
        raise CongealError(
            f"expected the plan of the training to resume in {output / PLAN}, which is no plan of "
            "this version; name another folder"
        ) from None


def split_settings(
    kind: type[Method], settings: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Divide settings into those of the method, by path, and those of the training, by name.

    A name that both have means the method's; ``training.`` before it means the training's.

    Raises:
        CongealError: neither has a setting of that name; the nearest is suggested.

    Example:
        >>> split_settings(find_method("rpe"), {"margin": 0.4, "batch_size": 4})
        ({'loss.margin': 0.4}, {'batch_size': 4})
    """
    own: dict[str, Any] = {}
    training: dict[str, Any] = {}
    for name, value in _paths(settings):
        home, path = _home(kind, name)
        if home is TrainConfig:
            training[path] = value
        else:
            own[path] = value
    return own, training


def _paths(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Settings nested by section, flat; options of a leaf stay together."""
    found: list[tuple[str, Any]] = []
    for name, value in settings.items():
        nested = isinstance(value, Mapping) and not name.endswith("options")
        found += _paths(value, f"{prefix}{name}.") if nested else [(f"{prefix}{name}", value)]
    return found


def _home(kind: type[Method], name: str) -> tuple[type[Settings], str]:
    if name.startswith("training."):
        return TrainConfig, TrainConfig.path_of(name.removeprefix("training."))
    try:
        return kind.Config, kind.Config.path_of(name)
    except CongealError as error:
        if "may mean" in str(error):
            raise
    try:
        return TrainConfig, TrainConfig.path_of(name)
    except CongealError:
        leaves = [leaf.name for leaf in kind.Config.leaves().values()]
        sections = list(kind.Config.leaves()) if "." in name else leaves
        raise unknown("setting", name, {*sections, *TrainConfig.leaves()}) from None


def _preset(kind: type[Method], preset: str | None) -> Mapping[str, Any]:
    name = preset or PRESETS[0]
    if name not in kind.presets:
        raise unknown(f"preset of {kind.name}", name, kind.presets)
    return kind.presets[name]


def _as_base(kind: type[Method], base: MethodSettings) -> MethodSettings:
    """Settings of a model to start from, of which one for another task lends what both have.

    What a model is for, and how it decodes, does not carry over to another class.
    """
    if isinstance(base, kind.Config):
        return base
    own, theirs = kind.Config.leaves(), type(base).leaves()
    shared = {
        path: value
        for path, value in base.flat().items()
        if path.startswith(LENT) and own.get(path) == theirs[path]
    }
    return kind.default_config().updated(shared)


def _class_names(survey: TrainingSurvey) -> tuple[str, ...]:
    return survey.class_names[1:] or ("object",)
