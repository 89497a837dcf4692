"""``congeal methods``: the methods, and the settings of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from congeal.cli.options import Json
from congeal.cli.terminal import count, plural, say, say_note, show, show_json, wrapped
from congeal.errors import CongealError, unknown

if TYPE_CHECKING:
    from congeal.methods.method import Method
    from congeal.settings import Leaf

__all__ = ["methods"]

GENERAL, TRAINING = "general", "training"  # titles of sections beside those of the method


def methods(
    name: Annotated[
        str | None, typer.Argument(help="Method whose settings to list.", metavar="NAME")
    ] = None,
    section: Annotated[
        str | None,
        typer.Argument(
            help="Section to list in full, such as loss or training: ranges, paper's values.",
            metavar="SECTION",
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="Task whose settings to list (default: the first of the method).",
            metavar="NAME",
        ),
    ] = None,
    whole: Annotated[bool, typer.Option("--all", help="List all sections in full.")] = False,
    as_json: Json = False,
) -> None:
    """List the methods, or the settings of one."""
    from congeal.methods.registry import find_method, method_names

    if name is None:
        _list(list(_importable(method_names())), as_json)
    else:
        _describe(find_method(name, task), section, whole, as_json)


def _importable(names: Iterable[str]) -> Iterator[type[Method]]:
    """Import the methods; one that cannot be imported is reported and skipped."""
    from congeal.methods.registry import find_method

    for name in names:
        try:
            yield find_method(name)
        except CongealError as error:
            say_note(f"left out: {error}")


def _list(kinds: list[type[Method]], as_json: bool) -> None:
    from congeal.methods.registry import method_tasks

    facts: list[dict[str, Any]] = [
        {
            "name": kind.name,
            "title": kind.title,
            "reference": kind.reference,
            "tasks": list(method_tasks(kind.name)),
        }
        for kind in kinds
    ]
    if as_json:
        show_json(facts)
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("name", "method", "paper", "tasks"):
        table.add_column(title, overflow="fold")
    for fact in facts:
        table.add_row(fact["name"], fact["title"], fact["reference"], ", ".join(fact["tasks"]))
    show(table)
    say("settings: congeal methods NAME; train one: congeal train DATA --method NAME")


def _describe(kind: type[Method], section: str | None, whole: bool, as_json: bool) -> None:
    sections = _sections(kind)
    if section is not None:
        if section not in sections:
            raise unknown(f"section of {kind.name}", section, sections)
        sections = {section: sections[section]}
    presets = {name: dict(values) for name, values in kind.presets.items()}
    if as_json:
        facts = [_facts(name, leaf) for rows in sections.values() for name, leaf in rows]
        show_json({"name": kind.name, "tasks": kind.tasks, "presets": presets, "settings": facts})
        return
    _say_head(kind)
    in_full = whole or section is not None
    for title, rows in sections.items():
        say(f"\n{title}")
        if in_full:
            say("\n".join(line for name, leaf in rows for line in _in_full(name, leaf)))
        elif title == TRAINING:
            say(f"  {count(len(rows), 'setting')}: congeal methods {kind.name} {TRAINING}")
        else:
            _show(rows)
    _say_end(kind, presets, in_full)


def _say_head(kind: type[Method]) -> None:
    """Print name, paper and tasks, and the tasks that these settings are for if not for all."""
    from congeal.methods.registry import method_tasks

    all_tasks = method_tasks(kind.name)
    tasks = f"{plural('task', len(all_tasks))}: {', '.join(all_tasks)}"
    say(wrapped(f"{kind.name}: {kind.title} ({kind.reference}); {tasks}"))
    others = [task for task in all_tasks if task not in kind.tasks]
    if others:
        own = ", ".join(kind.tasks)
        say(f"settings for {own}; for others: congeal methods {kind.name} --task {others[0]}")


def _say_end(kind: type[Method], presets: dict[str, dict[str, Any]], in_full: bool) -> None:
    say("")
    for preset, values in presets.items():
        if values:
            text = ", ".join(f"{name}={value}" for name, value in values.items())
            say(wrapped(f"--preset {preset}: {text}"))
    say("* adjustable after training")
    say("change one: --set SECTION.NAME=VALUE, or NAME=VALUE if only one section has it")
    if not in_full:
        say(f"ranges and the paper's values: congeal methods {kind.name} SECTION, or --all")


def _sections(kind: type[Method]) -> dict[str, list[tuple[str, Leaf]]]:
    """Settings by section with their names for ``--set``; training settings come last."""
    from congeal.training import TrainConfig

    sections: dict[str, list[tuple[str, Leaf]]] = {}
    for leaf in kind.Config.leaves().values():
        section, dot, _ = leaf.path.partition(".")
        sections.setdefault(section if dot else GENERAL, []).append((leaf.path, leaf))
    training = TrainConfig.leaves().values()
    return {**sections, TRAINING: [(f"{TRAINING}.{leaf.path}", leaf) for leaf in training]}


def _show(rows: Iterable[tuple[str, Leaf]]) -> None:
    """Print a line per setting: name, default, and the description up to its first semicolon."""
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 0, 0, 2))
    table.add_column(overflow="fold", width=21)  # "foreground_threshold*"
    table.add_column(overflow="fold", width=11)
    table.add_column(overflow="fold")
    for _, leaf in rows:
        star = "*" if leaf.adjustable else ""
        table.add_row(leaf.name + star, _default(leaf), leaf.description.partition(";")[0])
    show(table)


def _in_full(name: str, leaf: Leaf) -> Iterator[str]:
    """Lines with all facts about a setting."""
    kind = leaf.kind if "|" in leaf.kind or not leaf.limits else f"{leaf.kind}, {leaf.limits}"
    paper = f"; paper: {leaf.paper}" if leaf.paper else ""
    yield f"  {name}{'*' if leaf.adjustable else ''} = {_default(leaf)}"
    yield wrapped(leaf.description, indent=6, hanging=0)
    yield wrapped(f"({kind}{paper})", indent=6, hanging=0)


def _default(leaf: Leaf) -> str:
    if leaf.default is None:
        return "none"
    plain = isinstance(leaf.default, tuple | list)
    text = ",".join(map(str, leaf.default)) if plain else str(leaf.default).lower()
    return text + (f" {leaf.unit}" if leaf.unit else "")


def _facts(name: str, leaf: Leaf) -> dict[str, Any]:
    return {"name": name, **{key: value for key, value in vars(leaf).items() if key != "path"}}
