"""Reader of CVPPP leaf segmentation: plants seen from above, one label per leaf."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from congeal.data.images import natural_key
from congeal.data.pairs import Pair, read_pair
from congeal.data.sample import Sample
from congeal.data.standard import StandardDataset
from congeal.errors import CongealError

__all__ = ["CvpppDataset"]

_IMAGE, _LABELS = "_rgb.png", "_label.png"


class CvpppDataset(StandardDataset):
    """Rosette leaves: ``plant001_rgb.png`` with ``plant001_label.png``, in folders A1 to A4.

    There is no official validation split, so one is made by hash; the published test images have no
    labels.

    Args:
        root: the folder with A1..A4, or one of these.
        split: ``"train"``, ``"val"`` or ``"all"``.
        subset: one of the folders, such as ``"A1"``; None: all.
        seed: of the train/validation split by hash.
        name: of the dataset; None: its path.

    Raises:
        CongealError: the folder does not hold the dataset, or a file cannot be used.

    Example:
        >>> CvpppDataset.protocol
        'cvppp'
    """

    layout: ClassVar[str] = "CVPPP leaves (A1..A4 with NAME_rgb.png and NAME_label.png)"
    protocol = "cvppp"
    other_protocols = ("matching",)

    def __init__(
        self,
        root: str | Path,
        split: str = "all",
        *,
        subset: str | None = None,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        home = self.find(Path(root))
        if subset is not None and home is not None and home.name != subset and _subsets(home):
            inside = home / subset
            if not _has_pairs(inside):
                available = ", ".join(folder.name for folder in _subsets(home))
                raise CongealError(f"expected the folder {subset} in {home}, found {available}")
            root = inside
        super().__init__(root, split, seed=seed, name=name)

    @classmethod
    def find(cls, path: Path) -> Path | None:
        """The folder of image-label pairs, or the parent of such folders."""
        candidates = (path, path / "training", path / "CVPPP2017_LSC_training" / "training")
        return next((p for p in candidates if _has_pairs(p) or _subsets(p)), None)

    @classmethod
    def list_pairs(cls, home: Path) -> dict[str, list[Pair]]:
        """All pairs; names have the folder as prefix where there are several folders."""
        if _has_pairs(home):
            return {"all": _pairs(home, "")}
        folders = _subsets(home)
        return {"all": [pair for f in folders for pair in _pairs(f, f"{f.name}__")]}

    @staticmethod
    def split_key(pair: Pair) -> str:
        """The name without folder, so that the split does not depend on which folder is opened."""
        return pair.image.name.removesuffix(_IMAGE)

    def read(self, pair: Pair) -> Sample:
        """Read the image and its leaf labels."""
        return read_pair(pair)


def _has_pairs(folder: Path) -> bool:
    if not folder.is_dir() or not any(folder.glob(f"*{_IMAGE}")):
        return False
    return any(folder.glob(f"*{_LABELS}"))


def _subsets(folder: Path) -> list[Path]:
    """The subfolders with pairs: ``A1`` and so on, or those of the 2014 archive."""
    if not folder.is_dir():
        return []
    inside = (path for path in folder.iterdir() if path.is_dir() and path.name[:1] in "AT")
    return sorted(path for path in inside if _has_pairs(path))


def _pairs(folder: Path, prefix: str) -> list[Pair]:
    images = sorted(folder.glob(f"*{_IMAGE}"), key=lambda path: natural_key(path.name))
    stems = [path.name.removesuffix(_IMAGE) for path in images]
    return [
        Pair(prefix + stem, path, folder / f"{stem}{_LABELS}")
        for stem, path in zip(stems, images, strict=True)
    ]
