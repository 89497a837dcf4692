"""How the documentation is built: Markdown pages, and the Python reference from the docstrings."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from sphinx.application import Sphinx

import congeal
from congeal.cli import app as cli
from congeal.grouping import GROUPINGS
from congeal.methods import find_method, method_names
from congeal.metrics import PROTOCOLS
from congeal.settings import Leaf, Settings
from congeal.training import TrainConfig

project = "congeal"
author = "The congeal authors"
project_copyright = "The congeal authors"
version = release = congeal.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
default_role = "code"  # docstrings write `x` for code
exclude_patterns = ["_build", "_static"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = f"congeal {release}"
html_show_sourcelink = False


def setup(app: Sphinx) -> None:
    app.connect("builder-inited", write_references)


def write_references(app: Sphinx) -> None:
    """Write the lists that pages include, from the commands and the settings themselves."""
    folder = Path(app.srcdir) / "_build"
    folder.mkdir(exist_ok=True)
    commands = "\n".join(describe("congeal", typer.main.get_command(cli)))
    (folder / "command-line.md").write_text(commands, encoding="utf-8")
    for name in method_names():
        table = settings(find_method(name).Config)
        (folder / f"settings-{name}.md").write_text(table, encoding="utf-8")
    (folder / "settings-training.md").write_text(settings(TrainConfig), encoding="utf-8")
    (folder / "groupings.md").write_text(groupings(), encoding="utf-8")
    (folder / "protocols.md").write_text(protocols(), encoding="utf-8")


def settings(config: type[Settings]) -> str:
    """Markdown table of the settings of a config."""
    head = "| setting | default | range | paper | meaning |\n|---|---|---|---|---|"
    return "\n".join([head, *(setting_row(leaf) for leaf in config.leaves().values()), ""])


def setting_row(leaf: Leaf) -> str:
    """One setting as a row: kinds have no bars, which would end a cell."""
    star = "*" if leaf.adjustable else ""
    default = "none" if leaf.default is None else f"{leaf.default}".lower()
    kind = leaf.kind.replace(" | ", ", ")
    span = f"{kind} {leaf.limits}".strip() + (f" {leaf.unit}" if leaf.unit else "")
    return f"| `{leaf.path}`{star} | {default} | {span} | {leaf.paper} | {leaf.description} |"


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
    head = "| name | what it measures | headline | of the images | source; tool it agrees with |"
    return "\n".join([head, "|---|---|---|---|---|", *rows, ""])


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
    return f"| {shown} | {text} | {default(param)} |"


def default(param: Any) -> str:
    value = param.default
    if isinstance(value, bool) or not isinstance(value, str | int | float | Path) or value == "":
        return "required" if param.required else ""
    return f"`{value}`"
