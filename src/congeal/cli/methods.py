"""``congeal methods``: what there is to train, and all settings of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
    as_json: Json = False,
) -> None:
    """List the methods, or all settings of one."""
    from congeal.methods.registry import find_method, method_names

    if name is None:
        _list(list(_importable(method_names())), as_json)
    else:
        _describe(find_method(name), as_json)


def _importable(names: Iterable[str]) -> Iterator[type[Method]]:
    """The methods; a package whose method is broken hides none of the others."""
    from congeal.methods.registry import find_method

    for name in names:
        try:
            yield find_method(name)
        except CongealError as error:
            say_note(f"left out: {error}")


def _list(kinds: list[type[Method]], as_json: bool) -> None:
    facts: list[dict[str, Any]] = [
        {"name": k.name, "title": k.title, "reference": k.reference, "tasks": list(k.tasks)}
        for k in kinds
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


def _describe(kind: type[Method], as_json: bool) -> None:
    from congeal.training import TrainConfig

    own = list(kind.Config.leaves().values())
    training = list(TrainConfig.leaves().values())
    presets = {name: dict(values) for name, values in kind.presets.items()}
    if as_json:
        rows = [*map(_facts, own), *({**_facts(x), "name": f"training.{x.path}"} for x in training)]
        show_json({"name": kind.name, "tasks": kind.tasks, "presets": presets, "settings": rows})
        return
    say(f"{kind.name}: {kind.title} ({kind.reference}); tasks: {', '.join(kind.tasks)}")
    _show(own, "")
    _show(training, "training.")
    for preset, values in presets.items():
        if values:
            say(f"--preset {preset}: " + ", ".join(f"{k}={v}" for k, v in values.items()))
    say("* may change after training; change one: --set NAME=VALUE, or its last part if unique")


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
