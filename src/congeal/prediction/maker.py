"""Which model made a result, with which settings."""

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

__all__ = ["ANOTHER", "ELSEWHERE", "Maker", "Mixed"]

ANOTHER = "name another folder"
ELSEWHERE = f"use --overwrite (in Python overwrite=True), or {ANOTHER}"


class Mixed(CongealError):  # noqa: N818 -- as its base says, it is one
    """Two runs of other models or settings write results of the same images."""


@dataclass(frozen=True)
class Maker:
    """A model and the settings that were changed; results of another are never mixed with its own.

    Args:
        model: fingerprint of the weights; empty when it is not known, as of a model in memory.
        settings: in place of those the model stores.

    Example:
        >>> Maker("1f", {"smallest": 3}).differs({"model": "1f", "files": {"csv": "a.csv"}})
        True
    """

    model: str
    settings: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, model: Model, settings: Mapping[str, Any] | None) -> Maker:
        """Describe a model given by path or name; one in memory cannot be told from others."""
        if not isinstance(model, str | Path):
            return cls("")
        plain = json.loads(json.dumps(dict(settings or {}), sort_keys=True, default=str))
        return cls(describe(locate(model)).fingerprint, plain)

    def facts(self) -> dict[str, Any]:
        """What the record keeps of it."""
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
        """Refuse to add to results of another model or settings.

        Raises:
            CongealError: some of the images have such results.
        """
        known = [entry for entry in map(record.entry, images) if entry is not None]
        others = [entry for entry in known if self.differs(entry)]
        if others:
            raise CongealError(
                f"results of {len(others)} of {len(images)} images are in {record.folder} already, "
                f"but {self._difference(others[0])}: {ELSEWHERE}"
            )

    def refuse_mixing(self, entry: Mapping[str, Any] | None, folder: Path) -> None:
        """Refuse to go on beside a run that began at the same time, with another model or settings.

        Raises:
            Mixed: it has made the results of an image since this run began.
        """
        if entry is not None and self.differs(entry):
            raise Mixed(
                f"another run writes results into {folder}, but {self._difference(entry)}: "
                f"{ANOTHER}"
            )

    def _difference(self, entry: Mapping[str, Any]) -> str:
        same = str(entry["model"]).startswith(self.model)
        return "settings differ" if same else "another model made them"
