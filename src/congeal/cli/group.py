"""How a command ends: errors in one line on stderr, and exit codes that mean something."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import typer
from typer.core import TyperGroup

from congeal.cli.help import PlainHelp
from congeal.cli.terminal import one_line, say_error, say_note
from congeal.errors import CongealError, unknown

__all__ = ["FAULT", "PARTLY", "STOPPED", "WRONG", "Commands", "DataCommands", "Stopped"]

PARTLY, WRONG, FAULT, STOPPED, BROKEN_PIPE = 1, 2, 70, 130, 141

# What wrong options raise; typer has taken these classes from two places over its versions.
UsageError: type[Any] = typer.BadParameter.__mro__[1]


class ReaderLeft(Exception):  # noqa: N818
    """Whoever read our output, such as ``head``, has seen enough."""


class Stopped(Exception):  # noqa: N818 -- stopping is no error
    """A signal, with a line on what is there now and how to go on.

    Args:
        line: what to say.
        code: exit code, 128 and the number of the signal.
    """

    def __init__(self, line: str = "stopped", code: int = 130) -> None:
        super().__init__(line)
        self.code = code


class _Suggesting(PlainHelp, TyperGroup):
    """A group that answers the name of no command with the nearest one."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            raise unknown("command", args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)


class DataCommands(_Suggesting):
    """The commands behind ``congeal data``."""


class Commands(_Suggesting):
    """The commands of ``congeal``."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; what ends it early becomes an exception that typer leaves alone."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Stopped("stopped") from None
        except BrokenPipeError:
            raise ReaderLeft from None

    def main(self, *args: Any, **given: Any) -> Any:
        """Run the program and exit, or give the result back when not ``standalone_mode``."""
        run = super().main
        if not given.get("standalone_mode", True):
            return run(*args, **given)
        said = args[0] if args else given.get("args")
        words = list(sys.argv[1:] if said is None else said)
        debug = "--debug" in _options(words)
        kept = [word for word in words if word != "--debug"] if debug else words
        given |= {"args": kept, "standalone_mode": False}
        sys.exit(exit_code(lambda: run(**given), debug))


def exit_code(run: Callable[[], Any], debug: bool) -> int:
    """Run, tell what went wrong in one line, and give the exit code."""
    try:
        result = run()
        if sys.stdout is not None:  # None when who started us closed it
            sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except (ReaderLeft, BrokenPipeError):
        _close_quietly()
        return BROKEN_PIPE
    except (Stopped, KeyboardInterrupt) as stop:
        say_note(one_line(stop) or "stopped")
        return stop.code if isinstance(stop, Stopped) else STOPPED
    except Exception as error:
        if debug:
            traceback.print_exc()
        message, code = _explain(error)
        say_error(message)
        if isinstance(error, OSError):  # perhaps our output: Python must not fail on it again
            _close_if_broken()
        return code


def _explain(error: Exception) -> tuple[str, int]:
    if isinstance(error, CongealError):
        return one_line(error), WRONG
    if isinstance(error, UsageError):
        return _usage(error), WRONG
    if isinstance(error, typer.Abort):
        return "stopped", STOPPED
    if isinstance(error, MemoryError):
        return "not enough memory", WRONG
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}", WRONG
    what = f"{type(error).__name__}: {one_line(error)}"
    return f"a fault of congeal, not yours: {what} (--debug shows where)", FAULT


def _usage(error: Any) -> str:
    """Tell a wrong option, with the nearest right one and where to read on."""
    context = getattr(error, "ctx", None)
    where = f" (see {context.command_path} --help)" if context is not None else ""
    nearest = getattr(error, "possibilities", None)
    hint = f"; did you mean {nearest[0]}?" if nearest else ""
    message = one_line(error.message if nearest else error.format_message()).rstrip(".") + hint
    return f"{message[:1].lower()}{message[1:]}{where}"


def _options(words: Sequence[str]) -> Sequence[str]:
    """Everything before ``--``, behind which all words are arguments."""
    return words[: words.index("--")] if "--" in words else words


def _close_if_broken() -> None:
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):
        _close_quietly()


def _close_quietly() -> None:
    """Let Python's own flush at exit go nowhere: the reader of our output has left."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
