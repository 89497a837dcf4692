"""Reader of coco_mini: 418 images of COCO 2017 in 80 classes or 12 supercategories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from congeal.data.coco import CocoDataset, parse_coco
from congeal.data.coco2017 import Coco2017Dataset
from congeal.errors import CongealError

__all__ = ["CocoMiniDataset"]


class CocoMiniDataset(CocoDataset):
    """Objects in everyday photographs, evaluated with the COCO protocol.

    Args:
        path: the folder with ``instances_train.json`` and ``images``.
        split: ``"train"``, ``"val"``, ``"test"`` or ``"all"``.
        merged: whether to use the supercategories of COCO as classes. Class ids 1, 2, ... follow
            the order of their first category; ``class_ids`` is empty.
        seed: of the hash split; not used where the dataset has a validation split.
        name: of the dataset; None: its path.

    Raises:
        CongealError: the folder does not hold the dataset, or a category has no supercategory.

    Example:
        >>> CocoMiniDataset.protocol
        'coco'
    """

    protocol = "coco"
    other_protocols = Coco2017Dataset.other_protocols

    def __init__(
        self,
        path: str | Path,
        split: str = "all",
        *,
        merged: bool = False,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        super().__init__(path, split, seed=seed, name=name)
        if not merged:
            return
        file = next(iter(self.find_files(Path(path)).values()))
        parents = _supercategories(parse_coco(file).get("categories"), file)
        names = tuple(dict.fromkeys(parents[key] for key in self.class_of))
        self.class_of = {key: 1 + names.index(parents[key]) for key in self.class_of}
        self.class_names, self.class_ids = ("background", *names), ()


def _supercategories(records: Any, file: Path) -> dict[int, str]:
    """Supercategory by category id, in order of the ids."""
    try:
        pairs = sorted((record["id"], str(record["supercategory"])) for record in records)
    except (KeyError, TypeError) as error:
        raise CongealError(f"expected a supercategory for every category in {file}") from error
    return dict(pairs)
