"""Storage of scores and models of long experiments, so that interrupted runs can be resumed.

:func:`keep` stores scores with their plan as JSON; :func:`train_or_resume` stores the model in a
folder, and returns it from there in later runs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from congeal.clock import name_of_clock
from congeal.data.sample import Dataset
from congeal.errors import CongealError
from congeal.files import write_json
from congeal.training import train

__all__ = ["keep", "place_of", "train_or_resume"]


def keep(path: Path, plan: Mapping[str, Any], make: Callable[[], Any]) -> Any:
    """Read a result from a JSON file, or compute it and write it there.

    Args:
        path: the file; its folder is created.
        plan: settings that the result depends on, such as the minutes; stored with the result and
            with the name of the clock.
        make: computes the result, a value that JSON can store.

    Raises:
        CongealError: the file has another plan.

    Example:
        >>> import tempfile
        >>> place = Path(tempfile.mkdtemp()) / "a.json"
        >>> [keep(place, {"minutes": 3}, lambda: made) for made in (1, 2)]
        [1, 1]
    """
    plan = {**plan, "clock": name_of_clock()}
    if path.exists():
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["plan"] == plan:
            return stored["made"]
        raise CongealError(
            f"expected the result of {plan} in {path}, got that of {stored['plan']}; use "
            "another output folder"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    made = make()
    write_json(path, {"plan": plan, "made": made})
    return made


def place_of(folder: str | Path, *parts: object) -> Path:
    """Folder of one training of an experiment.

    Args:
        folder: folder of the experiment.
        parts: parts of the name, such as data, variant and seed; spaces and colons become hyphens.

    Example:
        >>> place_of("out", "nuclei:modality", "embedding first", 0).as_posix()
        'out/nuclei-modality_embedding-first_0'
    """
    name = "_".join(str(part) for part in parts)
    return Path(folder) / name.translate(str.maketrans(" :,=/", "-----"))


def train_or_resume(
    place: Path, method: str, training: Dataset, held_out: Dataset, **settings: Any
) -> Path:
    """Train into a folder, resume an interrupted training in it, or return its model.

    Args:
        place: folder of the model.
        method: name of the method.
        training: training images.
        held_out: validation images.
        settings: settings of :func:`congeal.train`.

    Returns:
        The model folder.

    Raises:
        CongealError: the folder holds a training of other data or with other settings.
    """
    return train(method, training, val=held_out, output=place, resume=True, **settings)
