"""Errors of a training, turned into one line where the user can act on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from congeal.errors import CongealError
from congeal.processes import is_lost

__all__ = ["LostProcessError", "lost_processes", "one_line_errors", "plain_error"]


class LostProcessError(CongealError):
    """Another process of a distributed training has ended."""


@contextmanager
def lost_processes() -> Iterator[None]:
    """Turn connection errors into one line, if they mean that another process has ended.

    Raises:
        LostProcessError: another process of the training has ended.
    """
    try:
        yield
    except Exception as error:
        if not is_lost(error):
            raise
        raise LostProcessError(
            "another process of this training has ended, so this one ends too; --resume "
            "(resume=True in Python) continues from the last checkpoint"
        ) from error


@contextmanager
def one_line_errors(output: Path) -> Iterator[None]:
    """Turn errors of Lightning, the data loader and the device into a CongealError of one line.

    All other errors are faults of congeal and pass unchanged.

    Args:
        output: folder of the training, for errors of writing.

    Raises:
        CongealError: the cause is the data, a setting, the disk or the memory.

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
        line = _memory_advice(error)
        if line is None:
            raise
        raise CongealError(line) from error
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):  # Lightning exits at Ctrl-C
            raise KeyboardInterrupt from error
        raise


def _memory_advice(error: RuntimeError) -> str | None:
    """Message for a PyTorch error that is caused by lack of memory; None for others."""
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return (
            "the device is out of memory; try a smaller crop, or a smaller batch_size with "
            "accumulate"
        )
    if str(error).startswith("DataLoader worker"):
        return "a loader worker was killed, possibly out of memory; try fewer workers"
    return None


def plain_error(error: CongealError) -> CongealError:
    r"""The error in one line, without the traceback that PyTorch's data loader adds to it.

    Args:
        error: as raised in this process.

    Example:
        >>> wrapped = CongealError("Caught in worker 0.\n...\ncongeal.errors.CongealError: no mask")
        >>> str(plain_error(wrapped))
        'no mask'
    """
    lines = str(error).strip().splitlines()
    return error if len(lines) < 2 else CongealError(lines[-1].split("CongealError: ", 1)[-1])
