"""The tiles of an image that are done, kept in a folder until the image is.

The folder holds ``plan.json`` and a file for each tile that is done. Files appear whole or not at
all, so a run that was killed at any moment goes on from them, and several runs may share them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from congeal.errors import CongealError
from congeal.files import lock_folder, write_json
from congeal.methods.maps import ImageStatistics
from congeal.prediction.blocks import block_path
from congeal.prediction.tiles import TilePlan

__all__ = ["Ledger", "open_ledger"]

PLAN = "plan.json"
Prepared = tuple[TilePlan, ImageStatistics | None]


@dataclass(frozen=True)
class Ledger:
    """Plan, statistics and finished tiles of an image.

    Attributes:
        folder: of the files of finished tiles.
        plan: of the tiles.
        statistics: of the whole image.
    """

    folder: Path
    plan: TilePlan
    statistics: ImageStatistics | None

    def missing(self) -> list[int]:
        """Numbers of the tiles that are not done yet."""
        numbers = range(len(self.plan.blocks))
        return [number for number in numbers if not block_path(self.folder, number).is_file()]


def open_ledger(
    home: Path, key: Mapping[str, Any], prepare: Callable[[], Prepared], *, begin: bool = True
) -> Ledger:
    """Open the ledger of an image, or begin one; tiles with another key are not touched.

    Each key has its own folder in ``home``, so concurrent runs with other settings never use each
    other's tiles.

    Args:
        home: folder of the tiles of one image.
        key: everything the tiles depend on: model, settings, image.
        prepare: measures the image and plans its tiles.
        begin: whether to begin a ledger where there is none.

    Raises:
        CongealError: the folder cannot be written, or there is no ledger and ``begin`` is false.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp()) / "cell"
        >>> ledger = open_ledger(folder, {}, lambda: (TilePlan((9, 20), 16, 8), None))
        >>> ledger.missing(), open_ledger(folder, {}, lambda: 1 / 0) == ledger
        ([0, 1], True)
    """
    folder = home / _digest(key)
    known = _read(folder, key)
    if known is None and not begin:
        raise CongealError(
            f"expected tiles of this model, settings, formats and version of the image in {home}, "
            f"found {'others' if home.is_dir() else 'none'}: run every --block with the same "
            "options, then --merge"
        )
    if known is not None:
        return Ledger(folder, *known)
    with lock_folder(folder, wait=True):
        known = _read(folder, key)  # another process may have been first
        if known is None:
            known = prepare()
            _write(folder, key, *known)
        return Ledger(folder, *known)


def _digest(key: Mapping[str, Any]) -> str:
    plain = json.dumps(_plain(key), sort_keys=True)
    return hashlib.sha256(plain.encode()).hexdigest()[:12]


def _write(
    folder: Path, key: Mapping[str, Any], plan: TilePlan, statistics: ImageStatistics | None
) -> None:
    for path in folder.glob("block_*.npz"):  # of a plan that was damaged
        path.unlink(missing_ok=True)
    measured = None if statistics is None else asdict(statistics)
    write_json(folder / PLAN, {"key": _plain(key), "plan": asdict(plan), "statistics": measured})


def _read(folder: Path, key: Mapping[str, Any]) -> Prepared | None:
    """The plan of a folder; None where it is missing or damaged."""
    try:
        stored = json.loads((folder / PLAN).read_text(encoding="utf-8"))
        if stored["key"] != _plain(key):
            return None
        plan, told = stored["plan"], stored["statistics"]
        made = TilePlan(**{**plan, "size": (plan["size"][0], plan["size"][1])})
        if told is None:
            return made, None
        bounds = [(low, high) for low, high in told["bounds"]]
        return made, ImageStatistics(bounds, told["magnification"], told["typical_area"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _plain(key: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(key, sort_keys=True, default=str))
