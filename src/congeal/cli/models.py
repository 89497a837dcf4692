"""``congeal models``: the shipped models, and the card of a model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from congeal.cli.options import Json
from congeal.cli.terminal import say, show, show_json, wrapped

if TYPE_CHECKING:
    from congeal.models.shipped import ModelInfo

__all__ = ["models"]

# Score in the table: the first of these that the model has.
_SCORES = ("matching_ap@0.5", "validation matching_ap@0.5")


def models(
    model: Annotated[
        str | None,
        typer.Argument(help="Model folder or name, to print its card.", metavar="[MODEL]"),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the shipped models, or print the card of a model."""
    from congeal.models.shipped import describe, list_models, locate

    if model is not None:
        _show_one(describe(locate(model)), as_json)
        return
    found = list_models()
    if as_json:
        show_json([_to_dict(info) for info in found])
    elif not found:
        say("this copy of congeal has no shipped model; train one: congeal train FOLDER")
    else:
        _show_table(found)


def _show_one(info: ModelInfo, as_json: bool) -> None:
    if as_json:
        show_json(_to_dict(info))
        return
    if info.card:
        say("\n".join(wrapped_card(info.card)))
    say(f"{info.method} model of {info.megabytes:.1f} MB in {info.path}")


def wrapped_card(card: str) -> Iterator[str]:
    r"""Lines of a card, with paragraphs and list items wrapped to the width of the terminal.

    Args:
        card: Markdown.

    Example:
        >>> list(wrapped_card("# A model\n\nFinds\nbright spots.\n- weights: 3"))
        ['# A model', '', 'Finds bright spots.', '- weights: 3', '']
    """
    text: list[str] = []
    for line in [*card.rstrip().splitlines(), ""]:
        if line and line[0] not in "#-|<> ":
            text.append(line)
            continue
        if text:
            yield wrapped(" ".join(text), hanging=0)
            text = []
        yield wrapped(line) if line.startswith("- ") else line


def _show_table(found: list[ModelInfo]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("name", "what", "AP at .5", "MB", "licence"):
        table.add_column(title, overflow="fold")
    for info in found:
        scores = [info.metrics[name] for name in _SCORES if name in info.metrics]
        shown = f"{scores[0]:.3f}" if scores else ""
        table.add_row(info.name, info.what, shown, f"{info.megabytes:.1f}", info.licence)
    show(table)
    say(f"use one: congeal segment {found[0].name} IMAGES; its card: congeal models NAME")


def _to_dict(info: ModelInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "path": str(info.path),
        "what": info.what,
        "licence": info.licence,
        "method": info.method,
        "bytes": info.size,
        "metrics": info.metrics,
        "training": info.training or {},
    }
