"""From data and wishes to what will be trained: method, settings, and settings of the training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from congeal.data.measures import TrainingSurvey, survey_training
from congeal.data.sample import Dataset
from congeal.errors import CongealError, unknown
from congeal.methods.method import Method
from congeal.methods.registry import DEFAULT_METHOD, find_method
from congeal.methods.sections import MethodSettings
from congeal.settings import Settings
from congeal.tasks import find_task
from congeal.training.config import TrainConfig, train_config

__all__ = ["PRESETS", "Plan", "make_plan", "split_settings"]

PRESETS = ("fast", "paper")


@dataclass(frozen=True)
class Plan:
    """What ``congeal train`` would run.

    Attributes:
        method: class of the method.
        config: its settings.
        training: settings of the training.
    """

    method: type[Method]
    config: MethodSettings
    training: TrainConfig

    def document(self) -> dict[str, Any]:
        """Everything by section, as ``--print-config`` writes it and ``--config`` reads it."""
        return {
            "method": self.method.name,
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
) -> Plan:
    """Decide on all settings: defaults, then a survey of the images, the preset, what was given.

    Args:
        method: its name; None: the default one.
        dataset: of training images; 64 of them, evenly spread, are looked at.
        settings: of method and training, by path, by name or by section.
        task: what the model is for; None: the first that the method does.
        preset: ``"fast"`` or ``"paper"``; None: fast.
        base: settings of a model to start from, in place of the defaults and the survey's.

    Raises:
        CongealError: a name or setting is unknown or out of range, or the data does not hold what
            the task learns from.

    Example:
        >>> from congeal.data import open_dataset
        >>> plan = make_plan(None, open_dataset("sticks", count=4), {"margin": 0.4, "epochs": 2})
        >>> plan.config.loss.margin, plan.training.epochs
        (0.4, 2)
    """
    kind = find_method(method or DEFAULT_METHOD)
    own, training = split_settings(kind, settings)
    task = task or own.get("task") or kind.tasks[0]
    find_task(task)
    if task not in kind.tasks:
        raise unknown(f"task of {kind.name}", task, kind.tasks)
    if dataset.lacks_truth and not kind.learns_unlabelled:
        raise CongealError(dataset.lacks_truth)
    survey = survey_training(dataset, task)
    wished, planned = split_settings(kind, _preset(kind, preset))
    chosen = {"class_names": _class_names(survey), **wished}
    if base is None:
        base, chosen = kind.default_config(), {**kind.suggest(survey), **chosen}
    config = base.updated({**chosen, **own, "task": task})
    return Plan(kind, config, train_config({**planned, **training}))


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


def _class_names(survey: TrainingSurvey) -> tuple[str, ...]:
    return survey.class_names[1:] or ("object",)
