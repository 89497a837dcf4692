"""No setting is dead: another value changes weights or results, or a named test shows what it does.

The table of a method is `EFFECTS` in tests/cases/effects_NAME.py; a setting without a line in it
fails. `SHORT` has settings for the trainings of two steps, `made_up_maps()` maps to decode. Where
a name stands for several classes, the table of a further one is in effects_NAME_TASK.py.
"""

from __future__ import annotations

import ast
import csv
import importlib
import importlib.util
import json
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from cases.discs_and_squares import DiscsAndSquares
from cases.effects import TRAINING, Decoded, Effect, Elsewhere, Trained
from safetensors.torch import load_file, save_file

from congeal import load, train
from congeal.data.sample import Sample
from congeal.methods.method import Method
from congeal.methods.registry import DEFAULT_METHOD, find_method, method_classes
from congeal.training import TrainConfig

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# Names of methods; a further class of one has its first task behind: "rpe/boundaries".
METHODS = [
    f"{name}/{kind.tasks[0]}" if place else name
    for name in sorted(PROJECT["entry-points"]["congeal.methods"])
    for place, kind in enumerate(method_classes(name))
]

Trainer = Callable[[str, dict[str, Any]], Path]

# Two steps, an epoch each; every choice that follows from images or machine is made.
SHORT = {
    "training.epochs": 2,
    "training.steps_per_epoch": 1,
    "training.batch_size": 2,
    "training.crop": 64,
    "training.threads": 1,
    "training.workers": 0,
    "training.cpu_replicas": 1,
    "training.device": "cpu",
    "training.precision": "32",
    "training.object_sampling_power": 0.0,
    "training.overlays": False,
}


def table_name(method: str) -> str:
    return f"cases.effects_{method.replace('-', '_').replace('/', '_')}"


def table(method: str) -> ModuleType:
    return importlib.import_module(table_name(method))


def cases() -> list[Any]:
    """Method, path and effect of everything in the tables; that one is missing fails below."""
    found: list[tuple[str, str, Effect]] = [
        (DEFAULT_METHOD, f"training.{name}", effect) for name, effect in TRAINING.items()
    ]
    for method in METHODS:
        if importlib.util.find_spec(table_name(method)):
            found += [(method, path, effect) for path, effect in table(method).EFFECTS.items()]
    return [pytest.param(*one, id=f"{one[0]}-{one[1]}") for one in found]


def class_of(method: str) -> type[Method]:
    name, _, task = method.partition("/")
    return find_method(name, task or None)


def of_kind(kind: type) -> list[Any]:
    return [one for one in cases() if isinstance(one.values[2], kind)]


def short_training(method: str, output: Path, settings: dict[str, Any], **more: Any) -> Path:
    """Without validation images, unless they are among ``more``: they change no weight."""
    chosen = {**SHORT, **table(method).SHORT, **settings}
    name, _, task = method.partition("/")
    data = DiscsAndSquares(side=96)
    return train(name, data, task=task or None, output=output, start=None, **more, **chosen)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, dict[str, Any]], Path]:
    """`trained(method, settings)` gives the folder of a short training, made once for each."""

    @cache
    def make(method: str, settings: str) -> Path:
        output = tmp_path_factory.mktemp("trained") / "model"
        return short_training(method, output, json.loads(settings))

    return lambda method, settings: make(method, json.dumps(settings, sort_keys=True))


def same(one: Path, other: Path) -> bool:
    left, right = (load_file(folder / "model.safetensors") for folder in (one, other))
    return left.keys() == right.keys() and all(
        left[name].shape == right[name].shape and torch.equal(left[name], right[name])
        for name in left
    )


@pytest.mark.parametrize("method", METHODS)
def test_every_setting_of_a_method_has_an_effect_that_a_test_shows(method: str) -> None:
    assert set(table(method).EFFECTS) == set(class_of(method).Config.leaves())


def test_every_setting_of_the_training_has_an_effect_that_a_test_shows() -> None:
    assert set(TRAINING) == set(TrainConfig.leaves())


@pytest.mark.parametrize("method", METHODS)
def test_the_same_values_give_the_same_weights(
    trained: Trainer, method: str, tmp_path: Path
) -> None:
    assert same(trained(method, {}), short_training(method, tmp_path / "model", {}))


@pytest.mark.parametrize(("method", "path", "effect"), of_kind(Trained))
def test_another_value_gives_other_weights(
    trained: Trainer, method: str, path: str, effect: Trained
) -> None:
    base = dict(effect.base)
    assert not same(trained(method, base), trained(method, {**base, path: effect.value}))


@pytest.mark.parametrize(("method", "path", "effect"), of_kind(Decoded))
def test_another_value_gives_another_result(
    trained: Trainer, method: str, path: str, effect: Decoded
) -> None:
    model = load(trained(method, {"training.epochs": 20}), settings=dict(effect.base))
    image = DiscsAndSquares("test")[0].image

    def results() -> list[Any]:
        found = [model.segment(image), model.decode(table(method).made_up_maps())]
        told = [(one.labels, one.scores, one.classes, one.semantic, one.boundary) for one in found]
        return [array for arrays in told for array in arrays if array is not None]

    before = results()
    model.configure(**{path: effect.value})
    assert not all(np.array_equal(*pair) for pair in zip(before, results(), strict=True))


@pytest.mark.parametrize(("method", "path", "effect"), of_kind(Elsewhere))
def test_the_test_that_shows_it_is_there(method: str, path: str, effect: Elsewhere) -> None:
    file, _, name = effect.test.partition("::")
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert name in functions, f"{method} {path}"


# Settings that take more than another value


def test_weights_of_the_encoder_come_from_a_file(trained: Trainer, tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    path = tmp_path / "encoder.safetensors"
    save_file(timm.create_model("resnet10t").state_dict(), path)
    settings = {"network.encoder": "resnet10t"}
    folder = short_training(
        DEFAULT_METHOD, tmp_path / "model", {**settings, "network.encoder_weights": str(path)}
    )
    assert not same(folder, trained(DEFAULT_METHOD, settings))


class Watched(DiscsAndSquares):
    """Images that note which of them are read."""

    def __init__(self) -> None:
        super().__init__("val", 3)
        self.read: set[int] = set()

    def __getitem__(self, index: int) -> Sample:
        self.read.add(index)
        return super().__getitem__(index)


@pytest.mark.parametrize(("images", "read"), [(1, {0}), (3, {0, 1, 2})])
def test_a_validation_looks_at_so_many_images(images: int, read: set[int], tmp_path: Path) -> None:
    val = Watched()
    settings = {"training.validation_images": images, "training.tuning_share": 0.0}
    short_training(DEFAULT_METHOD, tmp_path / "model", settings, val=val)
    assert val.read == read


@pytest.mark.parametrize(("share", "validations"), [(1.0, 4), (1e-9, 2)])
def test_validation_keeps_to_its_share_of_the_time(
    share: float, validations: int, tmp_path: Path
) -> None:
    settings = {"training.validation_share": share, "training.epochs": 4}
    val = DiscsAndSquares("val", 1)
    folder = short_training(DEFAULT_METHOD, tmp_path / "model", settings, val=val)
    with (folder / "log.csv").open() as file:
        scored = [row for row in csv.DictReader(file) if row["matching_ap@0.5"]]
    assert len(scored) == validations  # after the first epoch and the last, at least
