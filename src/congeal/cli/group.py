"""Groups of commands: unknown names get a suggestion; errors become one line and an exit code."""

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

PARTLY, WRONG, FAULT, STOPPED, BROKEN_PIPE = 1, 2, 70, 130, 141  # exit codes

# The base class of errors of usage; versions of typer import it from click or from a copy of it.
UsageError: type[Any] = typer.BadParameter.__mro__[1]


class OutputClosed(Exception):  # noqa: N818
    """The reader of the output, such as ``head``, has closed the pipe."""


class Stopped(Exception):  # noqa: N818 -- stopping is no error
    """The command was stopped by a signal.

    Args:
        line: message, with how to continue.
        code: exit code, 128 + number of the signal.
    """

    def __init__(self, line: str = "stopped", code: int = 130) -> None:
        super().__init__(line)
        self.code = code


class _Suggesting(PlainHelp, TyperGroup):
    """A group that suggests the nearest command for an unknown name."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            raise unknown("command", args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)


class DataCommands(_Suggesting):
    """The commands behind ``congeal data``."""


class Commands(_Suggesting):
    """The commands of ``congeal``."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; Ctrl-C and a closed pipe become exceptions that typer does not catch."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Stopped("stopped") from None
        except BrokenPipeError:
            raise OutputClosed from None

    def main(self, *args: Any, **options: Any) -> Any:
        """Run the program and exit; without ``standalone_mode`` return the result instead."""
        run = super().main
        if not options.get("standalone_mode", True):
            return run(*args, **options)
        arguments = args[0] if args else options.get("args")
        words = list(sys.argv[1:] if arguments is None else arguments)
        debug = "--debug" in _options(words)
        remaining = [word for word in words if word != "--debug"] if debug else words
        options |= {"args": remaining, "standalone_mode": False}
        sys.exit(exit_code(lambda: run(**options), debug))


def exit_code(run: Callable[[], Any], debug: bool) -> int:
    """Run a command, print its error in one line, and return the exit code.

    Args:
        run: runs the command; an int that it returns is the exit code.
        debug: print the traceback too.
    """
    try:
        result = run()
        if sys.stdout is not None:  # None if the parent process closed it
            sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except (OutputClosed, BrokenPipeError):
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
        if isinstance(error, OSError):  # if it is about stdout, Python would fail again at exit
            _close_if_broken()
        return code


def _explain(error: Exception) -> tuple[str, int]:
    """Message of one line and exit code for an error."""
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
    """Message for a wrong option, with the nearest one and the help command."""
    context = getattr(error, "ctx", None)
    where = f" (see {context.command_path} --help)" if context is not None else ""
    nearest = getattr(error, "possibilities", None)
    hint = f"; did you mean {nearest[0]}?" if nearest else ""
    message = one_line(error.message if nearest else error.format_message()).rstrip(".") + hint
    return f"{message[:1].lower()}{message[1:]}{where}"


def _options(words: Sequence[str]) -> Sequence[str]:
    """The words before ``--``; all words after it are arguments."""
    return words[: words.index("--")] if "--" in words else words


def _close_if_broken() -> None:
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):
        _close_quietly()


def _close_quietly() -> None:
    """Redirect stdout to the null device, so that Python's flush at exit does not fail."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
