"""Which formats the results of a run are written in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from congeal.errors import CongealError, unknown
from congeal.models.config import read_config
from congeal.models.shipped import locate
from congeal.prediction.single import Model
from congeal.prediction.volume import VOLUME_FORMATS, check_volume_formats
from congeal.segmentation.formats import FORMATS
from congeal.tasks import TASKS, Task

__all__ = ["asked_formats"]


def asked_formats(
    model: Model,
    formats: Sequence[str] | None,
    more: Sequence[str],
    stack: str = "error",
    seam_report: bool = False,
) -> tuple[str, ...]:
    """Give the formats to write, each once.

    Args:
        model: whose task says what is usual.
        formats: names of :data:`congeal.segmentation.formats.FORMATS`; None: the usual ones.
        more: formats that are needed besides.
        stack: what files of several pages are, as of :class:`congeal.prediction.reading.Reading`.
        seam_report: whether reports on seams are wanted, which are for images.

    Raises:
        CongealError: there is no such format, none was asked for, or one is not for volumes.

    Example:
        >>> import congeal
        >>> asked_formats(congeal.RPE(), None, ["csv"])
        ('labels', 'overlay', 'csv')
    """
    usual = VOLUME_FORMATS if stack == "volume" else _usual_formats(model)
    named = usual if formats is None else formats
    kinds = _checked((*named, *more))
    if stack == "volume":
        check_volume_formats(kinds)
        if seam_report:
            raise CongealError("expected images for --seam-report (seam_report=), got a volume")
    return kinds


def _usual_formats(model: Model) -> tuple[str, str]:
    """What to write where nothing is said: a picture, and what the task of the model gives."""
    if isinstance(model, str | Path):
        task = TASKS.get(str(read_config(locate(model)).settings.get("task")))
    else:
        task = getattr(model, "task", None)
    output = task.output if isinstance(task, Task) else "objects"
    return {"objects": "labels"}.get(output, output), "overlay"


def _checked(formats: Sequence[str]) -> tuple[str, ...]:
    for name in formats:
        if name not in FORMATS:
            raise unknown("format", name, FORMATS)
    if not formats:
        raise CongealError(f"expected at least one format ({', '.join(FORMATS)}), got none")
    return tuple(dict.fromkeys(formats))
