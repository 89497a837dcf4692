"""What goes wrong in a training, told in one line where a user can do something about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from congeal.errors import CongealError
from congeal.processes import is_lost

__all__ = ["LostProcess", "lost_processes", "one_line_errors", "plain_error"]


class LostProcess(CongealError):  # noqa: N818 -- what happened to another one
    """Another process of this training is gone."""


@contextmanager
def lost_processes() -> Iterator[None]:
    """Say in a line that another process is gone, whatever waits for it.

    Raises:
        LostProcess: another process is gone.
    """
    try:
        yield
    except Exception as error:
        if not is_lost(error):
            raise
        raise LostProcess(
            "another process of this training has ended, so this one does too; resume goes on "
            "from the last checkpoint"
        ) from error


@contextmanager
def one_line_errors(output: Path) -> Iterator[None]:
    """Turn what Lightning, the loader and the device raise into a line to act on.

    Errors that are nobody's but ours pass as they are.

    Args:
        output: folder that is written to.

    Raises:
        CongealError: the error was one of data, settings, disk or memory.

    Example:
        >>> with one_line_errors(Path("run")):
        ...     raise OSError(28, "No space left on device")
        Traceback (most recent call last):
        ...
        congeal.errors.CongealError: cannot write to run: No space left on device
    """
    try:
        yield
    except CongealError as error:
        raise plain_error(error) from error
    except OSError as error:
        raise CongealError(f"cannot write to {output}: {error.strerror or error}") from error
    except MisconfigurationException as error:
        raise CongealError(" ".join(str(error).split())) from error
    except RuntimeError as error:
        line = _line_for(error)
        if line is None:
            raise
        raise CongealError(line) from error
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):  # what Lightning makes of Ctrl-C
            raise KeyboardInterrupt from error
        raise


def _line_for(error: RuntimeError) -> str | None:
    """What to say of an error of PyTorch that is a matter of memory."""
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return "the device is out of memory; try a smaller batch_size, with accumulate, or crop"
    if str(error).startswith("DataLoader worker"):
        return "a loader worker was killed, possibly out of memory; try fewer workers"
    return None


def plain_error(error: CongealError) -> CongealError:
    r"""The error in one line, without the traceback that a loader process wraps around it.

    Example:
        >>> wrapped = CongealError("Caught in worker 0.\n...\ncongeal.errors.CongealError: no mask")
        >>> str(plain_error(wrapped))
        'no mask'
    """
    lines = str(error).strip().splitlines()
    return error if len(lines) < 2 else CongealError(lines[-1].split("CongealError: ", 1)[-1])
