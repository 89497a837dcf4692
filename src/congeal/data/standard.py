"""What the readers of published datasets share: finding the folders, listing, reading."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from congeal.data.images import read_labels
from congeal.data.pairs import Pair, PairedDataset
from congeal.data.sample import LabelMap, Sample
from congeal.data.split import select_split
from congeal.errors import CongealError

__all__ = ["StandardDataset", "first_folder", "read_list", "read_void"]


class StandardDataset(PairedDataset):
    """A published dataset in the folders that its makers gave it.

    A reader of one says how its folders are recognised (`find`), which files belong together
    (`list_pairs`) and how they are read (`read`). A missing counterpart is told when the sample
    is asked for, so that a check can name all of them.

    Args:
        root: the folder of the dataset.
        split: ``"train"``, ``"val"``, ``"test"`` or ``"all"``; parts without public labels are
            not offered, and where there is no official division one is made by hash.
        seed: seed of that division.
        name: what to call the dataset; its path when None.

    Raises:
        CongealError: the folder does not hold the dataset, or not this split of it.

    Example:
        >>> from congeal.data.voc import VocDataset
        >>> VocDataset("nowhere")
        Traceback (most recent call last):
        ...
        congeal.errors.CongealError: no such folder: nowhere
    """

    layout: ClassVar[str]
    """The folders and files that make the dataset, for a message."""

    def __init__(
        self, root: str | Path, split: str = "all", *, seed: int = 0, name: str | None = None
    ) -> None:
        home = self.find(Path(root))
        if home is None:
            raise _not_there(Path(root), self.layout)
        parts = self.list_pairs(home)
        if not any(parts.values()):
            raise CongealError(f"expected images in {home}, found none ({self.layout})")
        pairs = select_split(parts, split, name=self.split_key, where=str(root), seed=seed)
        super().__init__(name or str(root), split, pairs)
        self.root = home

    def __getitem__(self, index: int) -> Sample:
        pair = self.pairs[index]
        for what, path in (("image", pair.image), ("labels", pair.mask)):
            if not path.exists():
                raise CongealError(f"expected the {what} of {pair.name} at {path}, found none")
        return self.read(pair)

    @classmethod
    @abstractmethod
    def find(cls, path: Path) -> Path | None:
        """The folder within ``path`` that holds the dataset, None when there is none."""

    @classmethod
    @abstractmethod
    def list_pairs(cls, home: Path) -> dict[str, list[Pair]]:
        """The files of each split (or of ``"all"``), labels beside images."""

    @abstractmethod
    def read(self, pair: Pair) -> Sample:
        """Read one image with everything known about it."""

    @staticmethod
    def split_key(pair: Pair) -> str:
        """What a division by hash goes by; the same, whichever folder the dataset is opened by."""
        return pair.name

    @classmethod
    def list_splits(cls, home: Path) -> tuple[str, ...]:
        """The splits, or ``"all"`` when there is no official division."""
        return tuple(cls.list_pairs(home))


def _not_there(root: Path, layout: str) -> CongealError:
    if not root.exists():
        return CongealError(f"no such folder: {root}")
    if not root.is_dir():
        return CongealError(f"expected a folder with {layout}, {root} is a file")
    held = sorted(path.name for path in root.iterdir() if not path.name.startswith("."))
    shown = ", ".join(held[:4]) + (f" and {len(held) - 4} more" if len(held) > 4 else "")
    return CongealError(f"expected {layout} in {root}, it holds {shown or 'nothing'}")


def first_folder(path: Path, places: Iterable[str], needed: Iterable[str]) -> Path | None:
    """Give the first of some places below ``path`` that has all the folders needed.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> (root / "kit" / "images").mkdir(parents=True)
        >>> first_folder(root, ("", "kit"), ["images"]) == root / "kit"
        True
    """
    wanted = list(needed)
    tried = (path / place for place in places)
    return next((p for p in tried if all((p / name).is_dir() for name in wanted)), None)


def read_list(path: Path) -> list[str]:
    """Read the lines of a split file, blank ones left out.

    Raises:
        CongealError: the file cannot be read, or is no text.

    Example:
        >>> read_list(Path("nowhere.txt"))
        Traceback (most recent call last):
        ...
        congeal.errors.CongealError: cannot read nowhere.txt: No such file or directory
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise CongealError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise CongealError(f"expected a list of names, {path} is no text") from error
    return [line.strip() for line in lines if line.strip()]


def read_void(path: Path, void: int = 255) -> LabelMap:
    """Read a label map in which one number, such as 255, marks void.

    Raises:
        CongealError: as for `read_labels`.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from PIL import Image
        >>> path = Path(tempfile.mkdtemp()) / "a.png"
        >>> Image.fromarray(np.array([[0, 1, 255]], np.uint8)).save(path)
        >>> read_void(path).tolist()
        [[0, 1, -1]]
    """
    labels = read_labels(path)
    labels[labels == void] = -1
    return labels
