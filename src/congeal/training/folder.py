"""The output folder of a training, and Lightning's log messages switched off."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

from congeal.errors import CongealError
from congeal.models.config import CONFIG

__all__ = ["CHECKPOINTS", "LOG", "prepare", "quiet_lightning"]

CHECKPOINTS = "checkpoints"
LOG = "log.csv"


def last_checkpoint(output: Path, resume: bool) -> str | None:
    """Path of the checkpoint to resume from, or None to start from the beginning.

    Raises:
        CongealError: the folder has a training and ``resume`` is False, or a model without
            checkpoint; it would be overwritten.
    """
    last = output / CHECKPOINTS / "last.ckpt"
    model = output / CONFIG
    if not resume and (last.exists() or model.exists()):
        raise CongealError(
            f"{output} already holds a training; continue it with --resume (resume=True in "
            "Python), or name another folder"
        )
    if last.exists():
        return str(last)
    if model.exists() and not last.parent.exists():
        raise CongealError(
            f"{output} holds a model but no checkpoint to resume from; name another folder"
        )
    return None


def prepare(output: Path, resume: bool) -> str | None:
    """Create the output folder and find the checkpoint to resume from.

    Args:
        output: folder of the training.
        resume: whether a training in the folder may be continued.

    Returns:
        Path of the checkpoint, or None to start from the beginning.

    Raises:
        CongealError: the folder holds a training or model that would be overwritten.
    """
    checkpoint = last_checkpoint(output, resume)
    (output / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
    return checkpoint


@contextlib.contextmanager
def quiet_lightning() -> Iterator[None]:
    """Suppress messages and warnings of Lightning inside the block; errors are still logged."""
    loggers = [
        logging.getLogger(name) for name in ("lightning", "lightning.pytorch", "lightning.fabric")
    ]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
