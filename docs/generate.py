"""Write the pages of docs/reference from the commands, settings, methods and docstrings.

``python docs/generate.py`` writes them; ``tests/test_documents.py`` holds them current. They are
committed, so that they can be read where the repository is.
"""

from __future__ import annotations

import importlib
import inspect
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from congeal.cli import app as cli
from congeal.grouping import GROUPINGS
from congeal.methods import find_method, method_names
from congeal.methods.registry import method_classes, method_tasks
from congeal.metrics import PROTOCOLS
from congeal.settings import Leaf, Settings
from congeal.training import TrainConfig

__all__ = ["pages", "write"]

FOLDER = Path(__file__).parent / "reference"
NOTE = "<!-- written by docs/generate.py: change the source, then run it again -->"

MODULES = (  # in the order of a reader's way, from the verbs to the parts
    "training",
    "prediction",
    "evaluation",
    "models",
    "segmentation",
    "data",
    "methods",
    "tasks",
    "settings",
    "losses",
    "grouping",
    "networks",
    "metrics",
    "sphere",
    "labels",
    "figures",
    "experiments",
    "demo",
    "errors",
    "files",
)


def pages() -> dict[str, str]:
    """All pages by file name."""
    made = {
        "commands.md": commands(),
        "python.md": python(),
        "settings-training.md": page(
            "Settings of a training",
            "What `congeal train --set training.NAME=VALUE` takes, whatever the method.",
            settings(TrainConfig),
        ),
        "groupings.md": page(
            "Groupings by name",
            "What the setting `decoding.grouping` takes, and the `grouping_options` of each.",
            groupings(),
        ),
        "protocols.md": page(
            "Protocols by name",
            "What `congeal evaluate --protocol NAME` takes.",
            protocols(),
        ),
    }
    for name in method_names():
        made[f"settings-{name}.md"] = method_page(name)
    return made


def write(folder: Path = FOLDER) -> None:
    """Write all pages, and remove those of methods that are gone."""
    folder.mkdir(exist_ok=True)
    made = pages()
    for old in set(folder.glob("*.md")) - {folder / name for name in made}:
        old.unlink()
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8")


def page(title: str, purpose: str, body: str) -> str:
    """A page with a title and what it is for."""
    return f"{NOTE}\n\n# {title}\n\n{purpose}\n\n{body.strip()}\n"


def commands() -> str:
    """Page of all commands with their arguments and options."""
    body = "\n".join(describe("congeal", typer.main.get_command(cli)))
    return page(
        "Commands", "Every command with its arguments, options and defaults, as in `--help`.", body
    )


def describe(name: str, command: Any) -> Iterator[str]:
    """Markdown for a command, or for each command of a group."""
    if hasattr(command, "commands"):
        for sub in command.commands.values():
            if not sub.hidden:
                yield from describe(f"{name} {sub.name}", sub)
        return
    yield f"## {name}\n\n{inspect.cleandoc(command.help or '')}\n"
    rows = [row(param) for param in command.params if not getattr(param, "hidden", False)]
    if rows:
        yield "\n".join(["| | | default |", "|---|---|---|", *rows, ""])


def row(param: Any) -> str:
    """One argument or option as a row of a table."""
    names = param.opts + param.secondary_opts if param.param_type_name == "option" else []
    shown = ", ".join(f"`{name}`" for name in names) or f"`{param.metavar or param.name.upper()}`"
    text = " ".join((getattr(param, "help", None) or "").split()).replace("[", r"\[")
    return f"| {shown} | {cell(text)} | {default(param)} |"


def default(param: Any) -> str:
    """The default of an argument or option, empty where it has none to show."""
    value = param.default
    if isinstance(value, bool) or not isinstance(value, str | int | float | Path) or value == "":
        return "required" if param.required else ""
    return f"`{value}`"


def method_page(name: str) -> str:
    """Page of the settings of a method, a table for each class that its name stands for."""
    method, kinds = find_method(name), method_classes(name)
    purpose = (
        f"What `congeal train --method {name} --set NAME=VALUE` takes, and what "
        f"`congeal methods {name} --all` prints. Reference: {method.reference}.\n\n"
        f"Tasks: {', '.join(method_tasks(name))}. Settings with a star may change after training."
    )
    if len(kinds) == 1:
        return page(f"Settings of `{name}`", purpose, settings(method.Config))
    tables = (f"## For {' and '.join(k.tasks)}\n\n{settings(k.Config)}" for k in kinds)
    return page(f"Settings of `{name}`", purpose, "\n".join(tables))


def settings(config: type[Settings]) -> str:
    """Markdown table of the settings of a config."""
    head = "| setting | default | range | paper | meaning |\n|---|---|---|---|---|"
    return "\n".join([head, *(setting_row(leaf) for leaf in config.leaves().values()), ""])


def setting_row(leaf: Leaf) -> str:
    """One setting as a row."""
    star = "*" if leaf.adjustable else ""
    default = "none" if leaf.default is None else f"{leaf.default}".lower()
    kind = leaf.kind.replace(" | ", ", ")
    span = f"{kind} {leaf.limits}".strip() + (f" {leaf.unit}" if leaf.unit else "")
    cells = [default, span, leaf.paper, leaf.description]
    return f"| `{leaf.path}`{star} | {' | '.join(cell(one) for one in cells)} |"


def cell(text: str) -> str:
    """Text for a cell: bars end cells, so they are escaped."""
    return text.replace("|", r"\|")


def groupings() -> str:
    """Markdown table of the settings of the groupings that have a name."""
    rows = []
    for name, make in GROUPINGS.items():
        options = [
            f"`{option.name}`"
            if option.default is inspect.Parameter.empty
            else f"`{option.name}={option.default!r}`"
            for option in inspect.signature(make).parameters.values()
            if "factory" not in repr(option.default)
        ]
        rows.append(f"| `{name}` | {', '.join(options)} |")
    return "\n".join(["| name | settings and their defaults |", "|---|---|", *rows, ""])


def protocols() -> str:
    """Markdown table of the protocols."""
    rows = [
        f"| `{name}` | {one.title} | `{one.headline}`{'' if one.higher else ', less is better'} "
        f"| {one.truth} | {one.source} |"
        for name, one in PROTOCOLS.items()
    ]
    head = "| name | what it measures | headline | ground truth | source; tool with equal scores |"
    return "\n".join([head, "|---|---|---|---|---|", *rows, ""])


def python() -> str:
    """Page of all public names, with what each is for."""
    body = "\n".join(module(f"congeal.{name}") for name in MODULES)
    purpose = (
        "Every public name with its parameters and its purpose. `help(NAME)` shows shapes, units, "
        "errors and an example."
    )
    return page("Python names", purpose, body)


def module(name: str) -> str:
    """Markdown table of the public names of a module."""
    found = importlib.import_module(name)
    lines = [f"## {name}", "", first_line(found), ""]
    lines += ["| name | purpose |", "|---|---|"]
    for public in found.__all__:
        value = getattr(found, public)
        shown = f"{public}{parameters(value)}"
        lines.append(f"| `{shown}` | {cell(purpose_of(value))} |")
    return "\n".join([*lines, ""])


def parameters(value: Any) -> str:
    """Names of the parameters of a function or class; optional ones carry an equals sign."""
    if not callable(value) or is_alias(value):
        return ""
    if isinstance(value, type) and issubclass(value, Settings) and value is not Settings:
        return "(**settings)"
    try:
        found = [one for one in inspect.signature(value).parameters.values() if one.name != "self"]
    except (TypeError, ValueError):
        return "()"
    shown = [parameter(one) for one in found]
    named = [one for one in found if one.kind is inspect.Parameter.KEYWORD_ONLY]
    if any(one.default is inspect.Parameter.empty for one in named):
        shown.insert(found.index(named[0]), "*")  # what comes next has to be named
    return f"({', '.join(shown)})"


def parameter(one: inspect.Parameter) -> str:
    """A parameter as a table shows it."""
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    optional = "" if one.default is inspect.Parameter.empty else "="
    return f"{stars.get(one.kind, '')}{one.name}{optional}"


def purpose_of(value: Any) -> str:
    """The first line of the docstring; of a constant what kind it is."""
    if is_alias(value):
        return "type, for annotations"
    if callable(value) or inspect.ismodule(value):
        return first_line(value)
    return f"constant, {type(value).__name__}"


def is_alias(value: Any) -> bool:
    """Whether a name stands for a type that is put together, such as a union of types."""
    return typing.get_origin(value) is not None


def first_line(value: Any) -> str:
    """The first paragraph of a docstring in one line, its marks turned into Markdown."""
    text = " ".join((inspect.getdoc(value) or "").partition("\n\n")[0].split())
    return re.sub(r":\w+:`~?([^`]*)`", r"`\1`", text).replace("``", "`")


if __name__ == "__main__":
    write()
