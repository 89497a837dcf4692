"""What a long experiment keeps of each training, so that one that was stopped goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from congeal.errors import CongealError
from congeal.files import write_json

__all__ = ["keep"]


def keep(path: Path, plan: Mapping[str, Any], make: Callable[[], Any]) -> Any:
    """Give what is in a JSON file, or make it and write it there.

    Args:
        path: of the file; its folder is made.
        plan: that what is made follows from, such as the minutes; written beside it.
        make: gives what JSON can hold.

    Raises:
        CongealError: what is there was made by another plan.

    Example:
        >>> import tempfile
        >>> place = Path(tempfile.mkdtemp()) / "a.json"
        >>> [keep(place, {"minutes": 3}, lambda: made) for made in (1, 2)]
        [1, 1]
    """
    if path.exists():
        told = json.loads(path.read_text(encoding="utf-8"))
        if told["plan"] == plan:
            return told["made"]
        raise CongealError(
            f"expected what {dict(plan)} makes in {path}, got that of {told['plan']}; use another "
            "output folder"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    made = make()
    write_json(path, {"plan": dict(plan), "made": made})
    return made
