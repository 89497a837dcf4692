"""Formatting of the help: paragraphs fill the line, options show their metavar and no type."""

from __future__ import annotations

import inspect
import re
from typing import Any

from typer.core import TyperCommand

__all__ = ["Command", "PlainHelp", "flowing"]


class PlainHelp:
    """Mixin for command classes: help without line breaks of the source and without types.

    Typer keeps the line breaks of a docstring after its first paragraph, and shows ``<bool>`` for
    a flag and ``<str>`` for an argument.
    """

    help: str | None

    def get_params(self, ctx: Any) -> list[Any]:
        """Arguments and options, with their metavar in place of the type."""
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            _show_metavar_only(param)
        return params

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Parts of the usage line, without typer's braces around required arguments."""
        pieces: list[str] = super().collect_usage_pieces(ctx)  # type: ignore[misc]
        return [re.sub(r"^\{(.*)\}", r"\1", piece) for piece in pieces]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help text."""
        self.help = flowing(self.help or "")
        super().format_help(ctx, formatter)  # type: ignore[misc]


class Command(PlainHelp, TyperCommand):
    """A command with the help of :class:`PlainHelp`."""


def flowing(text: str) -> str:
    r"""Join the lines of each paragraph into one line.

    Args:
        text: docstring.

    Example:
        >>> flowing("Do it.\n\n    Line one\n    and two.\n")
        'Do it.\n\nLine one and two.'
    """
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _show_metavar_only(param: Any) -> None:
    is_option = param.param_type_name == "option"
    shown = param.metavar if is_option and not param.is_flag else None
    param.display_type_rich = lambda ctx: shown  # used by typer from 0.22 on
