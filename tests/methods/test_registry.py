"""Methods of other packages: what is registered is imported, and what is wrong told in a line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from congeal.cli import app
from congeal.data import DrawnDataset
from congeal.errors import CongealError
from congeal.methods import registry
from congeal.methods.method import Method
from congeal.methods.sections import MethodSettings
from congeal.training import train
from congeal.training.plan import make_plan

WHOLE = """
from congeal.methods import Method
from congeal.methods.sections import MethodSettings

class Found(Method):
    name, title, reference = "stranger", "A stranger", "nowhere"
    Config, tasks = MethodSettings, ("instances",)
"""

# A second class under the name, for another task and with settings of its own.
TWO = (
    WHOLE
    + """
    siblings = {"semantic": "stranger_home:Other"}

class OtherConfig(MethodSettings):
    pass

class Other(Method):
    name, title, reference = "stranger", "A stranger", "nowhere"
    Config, tasks = OtherConfig, ("semantic",)
"""
)

Register = Callable[[str], None]


@pytest.fixture
def register(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Register]:
    """`register(source)` installs a package whose method `stranger` is `Found` of that source."""
    about = tmp_path / "stranger-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[congeal.methods]\nstranger = stranger_home:Found\n")
    monkeypatch.syspath_prepend(tmp_path)

    def install(source: str) -> None:
        (tmp_path / "stranger_home.py").write_text(source)
        registry._points.cache_clear()

    yield install
    sys.modules.pop("stranger_home", None)
    monkeypatch.undo()
    registry._points.cache_clear()


def test_a_method_of_another_package_is_found_by_name(register: Register) -> None:
    register(WHOLE)
    assert "stranger" in registry.method_names()
    assert registry.find_method("stranger").title == "A stranger"


def test_an_unknown_method_gets_the_nearest_name(register: Register) -> None:
    register(WHOLE)
    with pytest.raises(CongealError, match="unknown method 'strange'; did you mean 'stranger'"):
        registry.find_method("strange")


def test_a_name_may_stand_for_a_class_for_each_task(register: Register) -> None:
    register(TWO)
    assert registry.method_tasks("stranger") == ("instances", "semantic")
    first, other = registry.method_classes("stranger")
    assert (first.__name__, other.__name__) == ("Found", "Other")
    assert registry.find_method("stranger") is registry.find_method("stranger", "instances")
    assert registry.find_method("stranger", "semantic") is other
    with pytest.raises(CongealError, match="got stranger, which does instances, semantic"):
        registry.find_method("stranger", "boundaries")
    with pytest.raises(CongealError, match="unknown task 'boundary'; did you mean 'boundaries'"):
        registry.find_method("stranger", "boundary")


def test_a_class_that_does_not_do_its_task_is_told_in_one_line(register: Register) -> None:
    register(TWO.replace('("semantic",)', '("boundaries",)'))
    with pytest.raises(CongealError, match="stranger_home:Other to do semantic, got boundaries"):
        registry.find_method("stranger", "semantic")


def test_settings_of_each_class_are_listed(register: Register) -> None:
    register(TWO)
    said = CliRunner().invoke(app, ["methods", "stranger"]).output
    assert "tasks: instances, semantic" in said
    assert "settings for instances; for others: congeal methods stranger" in said
    for words, task in (([], "instances"), (["--task", "semantic"], "semantic")):
        told = CliRunner().invoke(app, ["methods", "stranger", *words, "--json"]).output
        assert json.loads(told)["tasks"] == [task]


def test_a_training_plans_with_the_class_of_its_task(register: Register) -> None:
    register(TWO)
    data = DrawnDataset("discs", count=2)
    assert make_plan("stranger", data, {}).config.task == "instances"
    for plan in (
        make_plan("stranger", data, {}, task="semantic"),
        make_plan("stranger", data, {"task": "semantic"}),
    ):
        assert (plan.method.__name__, plan.config.task) == ("Other", "semantic")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError: No module named 'nothing_of_that_n"),
        ("def broken(:", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("Other = 1", "no attribute 'Found'"),
        ("Found = print", "expected a subclass of Method for stranger, got stranger_home:Found"),
        (WHOLE.replace('"stranger"', '"other"'), "to be named 'stranger', as it is registered"),
        (WHOLE.replace("instances", "instance"), "unknown task 'instance'; did you mean"),
        (WHOLE.replace('("instances",)', "()"), "expected at least one task"),
        (
            WHOLE.replace(", reference", "").replace(', "nowhere"', ""),
            "Found, found no reference",
        ),
    ],
)
def test_what_is_wrong_with_it_is_told_in_one_line(
    register: Register, source: str, said: str
) -> None:
    register(source)
    with pytest.raises(CongealError) as caught:
        registry.find_method("stranger")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_broken_package_does_not_hide_the_methods_of_others(register: Register) -> None:
    register("1 / 0")
    said = CliRunner().invoke(app, ["methods"])
    assert said.exit_code == 0
    assert registry.DEFAULT_METHOD in said.output
    assert "cannot import method stranger" in said.output


def test_a_method_that_is_not_registered_is_refused_before_it_is_trained(tmp_path: Path) -> None:
    class Unknown(Method):
        name, title, reference = "unknown", "Not registered", "nowhere"
        Config, tasks = MethodSettings, ("instances",)
        losses = compute_maps = decode = None  # type: ignore[assignment]

    with pytest.raises(CongealError, match="expected a model of a registered method"):
        train(Unknown(), DrawnDataset("discs", count=2), output=tmp_path / "model", epochs=1)
    assert not (tmp_path / "model").exists()
