"""``congeal methods``: what there is to train, and all settings of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from congeal.cli.options import Json
from congeal.cli.terminal import say, say_note, show, show_json
from congeal.errors import CongealError

if TYPE_CHECKING:
    from congeal.methods.method import Method
    from congeal.settings import Leaf

__all__ = ["methods"]


def methods(
    name: Annotated[
        str | None, typer.Argument(help="Method whose settings to list.", metavar="NAME")
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="Settings for this task; those of all when left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the methods, or all settings of one."""
    from congeal.methods.registry import find_method, method_classes, method_names

    if name is None:
        _list(list(_importable(method_names())), as_json)
        return
    kinds = method_classes(name) if task is None else (find_method(name, task),)
    if as_json:
        show_json(_told(kinds))
    else:
        _describe(kinds)


def _importable(names: Iterable[str]) -> Iterator[type[Method]]:
    """The methods; a package whose method is broken hides none of the others."""
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
    for one in facts:
        table.add_row(one["name"], one["title"], one["reference"], ", ".join(one["tasks"]))
    show(table)
    say("settings of one: congeal methods NAME; train it: congeal train DATA --method NAME")


def _told(kinds: Sequence[type[Method]]) -> dict[str, Any]:
    """Settings and presets of the first class, and under ``others`` those of each further one."""
    from congeal.training import TrainConfig

    first, *others = map(_facts_of, kinds)
    training = [{**_facts(x), "name": f"training.{x.path}"} for x in TrainConfig.leaves().values()]
    tasks = [task for kind in kinds for task in kind.tasks]
    own = {**first, "tasks": tasks, "settings": [*first["settings"], *training]}
    return {"name": kinds[0].name, **own, **({"others": others} if others else {})}


def _facts_of(kind: type[Method]) -> dict[str, Any]:
    presets = {name: dict(values) for name, values in kind.presets.items()}
    settings = [_facts(leaf) for leaf in kind.Config.leaves().values()]
    return {"tasks": list(kind.tasks), "presets": presets, "settings": settings}


def _describe(kinds: Sequence[type[Method]]) -> None:
    from congeal.training import TrainConfig

    first, *others = kinds
    tasks = ", ".join(task for kind in kinds for task in kind.tasks)
    say(f"{first.name}: {first.title} ({first.reference}); tasks: {tasks}")
    if others:
        say(f"settings for {', '.join(first.tasks)}")
    own = first.Config.leaves()
    _show(own.values(), "")
    _show_presets(first)
    for kind in others:
        leaves = kind.Config.leaves()
        shared = [path for path, leaf in own.items() if leaves.get(path) == leaf]
        say(f"settings for {', '.join(kind.tasks)}: {len(shared)} of those above, and")
        _show([leaf for path, leaf in leaves.items() if path not in shared], "")
        _show_presets(kind)
    say("settings of every training")
    _show(TrainConfig.leaves().values(), "training.")
    say("* may change after training; change one: --set NAME=VALUE, or its last part if unique")


def _show_presets(kind: type[Method]) -> None:
    for preset, values in kind.presets.items():
        if values:
            say(f"--preset {preset}: " + ", ".join(f"{k}={v}" for k, v in values.items()))


def _show(leaves: Iterable[Leaf], prefix: str) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("setting", overflow="fold")
    table.add_column("default", overflow="fold", max_width=16)
    table.add_column("paper", overflow="fold", max_width=12)
    table.add_column("meaning", overflow="fold")
    for leaf in leaves:
        name = f"{prefix}{leaf.path}" + ("*" if leaf.adjustable else "")
        table.add_row(name, _short(leaf), leaf.paper, _meaning(leaf))
    show(table)


def _short(leaf: Leaf) -> str:
    default = "none" if leaf.default is None else str(leaf.default).lower()
    return default + (f" {leaf.unit}" if leaf.unit and leaf.default is not None else "")


def _meaning(leaf: Leaf) -> str:
    kind = leaf.kind if "|" in leaf.kind or not leaf.limits else f"{leaf.kind}, {leaf.limits}"
    return f"{leaf.description} ({kind})"


def _facts(leaf: Leaf) -> dict[str, Any]:
    return {"name": leaf.path, **{k: v for k, v in vars(leaf).items() if k != "path"}}
