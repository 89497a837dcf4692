"""Model and settings of a result, compared before results are added to a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from congeal.errors import CongealError
from congeal.models.shipped import describe, locate

if TYPE_CHECKING:
    from congeal.prediction.record import Record
    from congeal.prediction.single import Model

__all__ = ["OTHER_FOLDER", "OVERWRITE_OR_MOVE", "MixedResults", "Provenance"]

OTHER_FOLDER = "name another folder"
OVERWRITE_OR_MOVE = f"use --overwrite (in Python overwrite=True), or {OTHER_FOLDER}"


class MixedResults(CongealError):  # noqa: N818 -- as its base says, it is one
    """Two runs with different models or settings write results of the same images."""


@dataclass(frozen=True)
class Provenance:
    """A model and the settings that were changed.

    Results of different provenance are never mixed in a folder.

    Args:
        model: fingerprint of the weights; empty for a model in memory, which is not compared.
        settings: that differ from those stored with the model.

    Example:
        >>> Provenance("1f", {"smallest": 3}).differs({"model": "1f", "files": {"csv": "a.csv"}})
        True
    """

    model: str
    settings: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, model: Model, settings: Mapping[str, Any] | None) -> Provenance:
        """Provenance of a model given by path or name; empty for one in memory."""
        if not isinstance(model, str | Path):
            return cls("")
        plain = json.loads(json.dumps(dict(settings or {}), sort_keys=True, default=str))
        return cls(describe(locate(model)).fingerprint, plain)

    def facts(self) -> dict[str, Any]:
        """The entries that the record stores."""
        return {"model": self.model, "settings": self.settings}

    def differs(self, entry: Mapping[str, Any] | None) -> bool:
        """Whether an image has results of another model or settings."""
        if entry is None or not self.model or not entry.get("model"):
            return False
        if "settings" in entry:
            return (entry["model"], entry["settings"]) != (self.model, self.settings)
        # Version 0.1 wrote the settings behind the fingerprint.
        changed = json.dumps(self.settings, sort_keys=True) if self.settings else ""
        return bool(entry["model"] != self.model + changed)

    def refuse_others(self, images: Sequence[Path], record: Record) -> None:
        """Refuse a folder with results of another model or other settings.

        Raises:
            CongealError: an image has such results.
        """
        known = [entry for entry in map(record.entry, images) if entry is not None]
        others = [entry for entry in known if self.differs(entry)]
        if others:
            raise CongealError(
                f"results of {len(others)} of {len(images)} images are in {record.folder} already, "
                f"but {self._difference(others[0])}: {OVERWRITE_OR_MOVE}"
            )

    def refuse_mixing(self, entry: Mapping[str, Any] | None, folder: Path) -> None:
        """Refuse to continue beside a concurrent run with another model or other settings.

        Raises:
            MixedResults: that run wrote the results of an image since this run began.
        """
        if entry is not None and self.differs(entry):
            raise MixedResults(
                f"another run writes results into {folder}, but {self._difference(entry)}: "
                f"{OTHER_FOLDER}"
            )

    def _difference(self, entry: Mapping[str, Any]) -> str:
        same = str(entry["model"]).startswith(self.model)
        return "settings differ" if same else "another model made them"
