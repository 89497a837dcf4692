"""Choosing the file formats of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from congeal.errors import CongealError, unknown
from congeal.models.config import read_config
from congeal.models.shipped import locate
from congeal.prediction.single import Model
from congeal.prediction.volume import VOLUME_FORMATS, check_volume_formats
from congeal.segmentation import Segmentation
from congeal.segmentation.formats import FORMATS, missing_part
from congeal.segmentation.volume import Volume
from congeal.tasks import TASKS, Task

__all__ = ["UnsuitableFormat", "choose_formats", "fitting_formats"]


class UnsuitableFormat(CongealError):  # noqa: N818 -- as its base says, it is one
    """A format that the results of the model cannot be written in, whatever the image."""


def choose_formats(
    model: Model,
    formats: Sequence[str] | None,
    more: Sequence[str],
    stack: str = "error",
    seam_report: bool = False,
) -> tuple[str, ...]:
    """Choose the formats to write, each once.

    Args:
        model: its task decides the default formats.
        formats: names of :data:`congeal.segmentation.formats.FORMATS`; None: the defaults.
        more: formats that other options need.
        stack: what files of several pages are, as of :class:`congeal.prediction.reading.Reading`.
        seam_report: whether seam reports are asked for; volumes have none.

    Raises:
        CongealError: a format is unknown or not for volumes, or none is given.

    Example:
        >>> import congeal
        >>> choose_formats(congeal.RPE(), None, ["csv"])
        ('labels', 'overlay', 'csv')
    """
    default = VOLUME_FORMATS if stack == "volume" else _default_formats(model)
    named = default if formats is None else formats
    kinds = _checked((*named, *more))
    if stack == "volume":
        check_volume_formats(kinds)
        if seam_report:
            raise CongealError("expected images for --seam-report (seam_report=), got a volume")
    return kinds


def fitting_formats(
    result: Segmentation | Volume, asked: Sequence[str], earlier: Sequence[str] = ()
) -> tuple[str, ...]:
    """The formats to write for a result, each once: all that are asked for, and earlier ones.

    Args:
        result: of an image or volume.
        asked: formats of this run.
        earlier: formats that another run began to write; left out if the result does not fit.

    Raises:
        UnsuitableFormat: a format asked for needs something that the result does not have.

    Example:
        >>> import numpy as np
        >>> from congeal import Segmentation
        >>> fitting_formats(Segmentation.from_labels(np.eye(3, dtype=int)), ["csv"], ["boundary"])
        ('csv',)
    """
    if isinstance(result, Volume):
        return tuple(dict.fromkeys((*asked, *earlier)))
    fit = [name for name in FORMATS if not missing_part(result, name)]
    for name in asked:
        if name not in fit:
            raise UnsuitableFormat(
                f"expected --format (formats=) one of {', '.join(fit)} for this model, got {name}, "
                f"which needs {missing_part(result, name)}"
            )
    return tuple(dict.fromkeys((*asked, *(name for name in earlier if name in fit))))


def _default_formats(model: Model) -> tuple[str, str]:
    """Default formats: an overlay, and the output of the model's task."""
    if isinstance(model, str | Path):
        task = TASKS.get(str(read_config(locate(model)).settings.get("task")))
    else:
        task = getattr(model, "task", None)
    return task.file if isinstance(task, Task) else "labels", "overlay"


def _checked(formats: Sequence[str]) -> tuple[str, ...]:
    for name in formats:
        if name not in FORMATS:
            raise unknown("format", name, FORMATS)
    if not formats:
        raise CongealError(f"expected at least one format ({', '.join(FORMATS)}), got none")
    return tuple(dict.fromkeys(formats))
