"""The folder of a training: what may be there at its start, and quiet from Lightning."""

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


def _last_checkpoint(output: Path, resume: bool) -> str | None:
    """Where to go on from, if anywhere; nothing that is in the folder may be lost.

    Raises:
        CongealError: the folder holds a training that is not to be resumed, or a finished model.
    """
    last = output / CHECKPOINTS / "last.ckpt"
    model = output / CONFIG
    if not resume and (last.exists() or model.exists()):
        raise CongealError(f"{output} holds a training already; resume it, or name another folder")
    if last.exists():
        return str(last)
    if model.exists() and not last.parent.exists():
        raise CongealError(
            f"{output} holds a model but no checkpoint to resume from; name another folder"
        )
    return None


def prepare(output: Path, resume: bool) -> str | None:
    """Make the folder and find the checkpoint in it."""
    checkpoint = _last_checkpoint(output, resume)
    (output / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
    return checkpoint


@contextlib.contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep Lightning's own announcements out of the way; errors still come through."""
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
