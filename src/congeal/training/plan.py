"""The plan of a training: method, its settings and the training settings.

Flow: defaults (or settings of the start model) -> survey of the training images -> preset ->
settings given by the user.
"""

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
SCRATCH = "scratch"  # in place of a start model: no start model
PLAN = "plan.yaml"  # file in the folder of a training
SHARED_SECTIONS = ("input.", "network.", "loss.")  # taken over from a start model of another task
# Training settings that follow from the images and the speed unless given; a resumed training
# keeps them.
DERIVED = ("crop", "batch_size", "steps_per_epoch", "warmup", "object_sampling_power")


@dataclass(frozen=True)
class Plan:
    """All settings of a training.

    Attributes:
        method: class of the method.
        config: settings of the method.
        training: settings of the training.
        start: folder or name of the start model; None: from scratch.
    """

    method: type[Method]
    config: MethodSettings
    training: TrainConfig
    start: str | None = None

    def document(self) -> dict[str, Any]:
        """All settings by section, as ``--print-config`` writes and ``--config`` reads them."""
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
    """Decide on all settings. Later sources override earlier ones.

    The order is: defaults or ``base``, survey of the images, preset, ``settings``.

    Args:
        method: name of the method; None: the default method.
        dataset: training images; up to 64 of them, evenly spread, are read.
        settings: settings of method and training: by path, by name or by section.
        task: task of the model; None: the default task of the method.
        preset: ``"fast"`` or ``"paper"``; None: fast.
        base: settings of a start model, in place of the defaults. Settings that depend on object
            sizes are adapted to the images (:meth:`Method.adapt`).
        start: folder or name of the start model.
        stored: training settings that an earlier run derived (:func:`stored_plan`).
        survey: survey of the training images, if already made.

    Raises:
        CongealError: a name or setting is unknown or out of range, or the data lacks the ground
            truth that the task needs.

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
    preset_own, preset_training = split_settings(kind, _preset(kind, preset))
    derived = {"class_names": _class_names(survey), **preset_own}
    if "input.channels" in kind.Config.leaves():
        derived["input.channels"] = channels_of(dataset)
    if base is None:
        base, derived = kind.default_config(), {**kind.suggest(survey), **derived}
    else:
        base = _as_base(kind, base)
        derived = {**kind.adapt(survey, base), **derived}
    config = base.updated({**derived, **own, "task": task})
    train_settings = train_config({**preset_training, **(stored or {}), **training})
    return Plan(kind, config, train_settings, start)


def store_plan(plan: Plan, output: Path) -> None:
    """Write ``plan.yaml`` into the output folder; ``--config`` can read it.

    Raises:
        CongealError: the file cannot be written.
    """
    text = yaml.safe_dump(plan.document(), sort_keys=False, allow_unicode=True)
    with atomic_path(output / PLAN) as temporary:
        temporary.write_text(text, encoding="utf-8")


def stored_plan(output: Path) -> tuple[str | None, dict[str, Any]] | None:
    """Start model and derived training settings from ``plan.yaml`` of an output folder.

    Args:
        output: folder of a training.

    Returns:
        The start model (None: from scratch) and the settings by name; None if there is no plan.

    Raises:
        CongealError: the file cannot be read or is no plan.
    """
    if not (output / PLAN).exists():
        return None
    try:
        plan = yaml.safe_load((output / PLAN).read_text(encoding="utf-8"))
        training = plan["training"]
        start = None if plan["start"] == SCRATCH else str(plan["start"])
        return start, {name: training[name] for name in DERIVED}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, AttributeError):
        raise CongealError(
            f"expected the plan of the training to resume in {output / PLAN}, got a file that "
            "this version cannot read; name another folder"
        ) from None


def split_settings(
    kind: type[Method], settings: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split settings into those of the method, by path, and those of the training, by name.

    A name that both have is taken as the method's; the prefix ``training.`` selects the other.

    Args:
        kind: class of the method.
        settings: by path, by name or by section.

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
    """Flatten settings nested by section; a dictionary of options is one value."""
    found: list[tuple[str, Any]] = []
    for name, value in settings.items():
        nested = isinstance(value, Mapping) and not name.endswith("options")
        found += _paths(value, f"{prefix}{name}.") if nested else [(f"{prefix}{name}", value)]
    return found


def _home(kind: type[Method], name: str) -> tuple[type[Settings], str]:
    """The settings class that a name belongs to, and the path of the setting in it."""
    if name.startswith("training."):
        return TrainConfig, TrainConfig.path_of(name.removeprefix("training."))
    try:
        return kind.Config, kind.Config.path_of(name)
    except CongealError as error:
        if "may mean" in str(error):  # several sections of the method have this name
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
    """Settings of a start model as a base for ``kind``.

    If the start model is for another task, only settings that both classes declare alike are taken
    over, without task and decoding.
    """
    if isinstance(base, kind.Config):
        return base
    own, other = kind.Config.leaves(), type(base).leaves()
    shared = {
        path: value
        for path, value in base.flat().items()
        if path.startswith(SHARED_SECTIONS) and own.get(path) == other[path]
    }
    return kind.default_config().updated(shared)


def _class_names(survey: TrainingSurvey) -> tuple[str, ...]:
    return survey.class_names[1:] or ("object",)
