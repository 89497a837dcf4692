"""Base class of the readers of published datasets, and functions that they share."""

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
    """A published dataset in its original folder layout.

    Subclasses define how the layout is recognised (`find`), which files form a sample
    (`list_pairs`) and how these are read (`read`). A missing file is an error of the sample, not of
    the dataset, so that a check can report all of them.

    Args:
        root: the folder of the dataset.
        split: ``"train"``, ``"val"``, ``"test"`` or ``"all"``. Splits without public labels do not
            exist here; without official validation split, one is made by hash.
        seed: of the split by hash.
        name: of the dataset; None: its path.

    Raises:
        CongealError: the folder does not contain the dataset or the split.

    Example:
        >>> from congeal.data.voc import VocDataset
        >>> VocDataset("nowhere")
        Traceback (most recent call last):
        ...
        congeal.errors.CongealError: no such folder: nowhere
    """

    layout: ClassVar[str]
    """Description of the folder layout, for error messages."""

    def __init__(
        self, root: str | Path, split: str = "all", *, seed: int = 0, name: str | None = None
    ) -> None:
        home = self.find(Path(root))
        if home is None:
            raise _not_found(Path(root), self.layout)
        parts = self.list_pairs(home)
        if not any(parts.values()):
            raise CongealError(f"expected images in {home}, found none ({self.layout})")
        pairs = select_split(parts, split, name=self.split_key, where=str(root), seed=seed)
        super().__init__(name or str(root), split, pairs)
        self.root = home

    def __getitem__(self, index: int) -> Sample:
        pair = self.pairs[index]
        for kind, path in (("image", pair.image), ("labels", pair.mask)):
            if not path.exists():
                raise CongealError(f"expected the {kind} of {pair.name} at {path}, found none")
        return self.read(pair)

    @classmethod
    @abstractmethod
    def find(cls, path: Path) -> Path | None:
        """The root folder of the dataset at or below ``path``, None if it is not found."""

    @classmethod
    @abstractmethod
    def list_pairs(cls, home: Path) -> dict[str, list[Pair]]:
        """The files of all samples, by split or under ``"all"``."""

    @abstractmethod
    def read(self, pair: Pair) -> Sample:
        """Read an image with all its annotations."""

    @staticmethod
    def split_key(pair: Pair) -> str:
        """Name to hash for the split; must not depend on the folder that was opened."""
        return pair.name

    @classmethod
    def list_splits(cls, home: Path) -> tuple[str, ...]:
        """Names of the official splits, or ``("all",)`` without any."""
        return tuple(cls.list_pairs(home))


def _not_found(root: Path, layout: str) -> CongealError:
    if not root.exists():
        return CongealError(f"no such folder: {root}")
    if not root.is_dir():
        return CongealError(f"expected a folder with {layout}, {root} is a file")
    held = sorted(path.name for path in root.iterdir() if not path.name.startswith("."))
    shown = ", ".join(held[:4]) + (f" and {len(held) - 4} more" if len(held) > 4 else "")
    return CongealError(f"expected {layout} in {root}, it has {shown or 'nothing'}")


def first_folder(path: Path, parents: Iterable[str], needed: Iterable[str]) -> Path | None:
    """Find the first of the folders ``path / parent`` that has all subfolders needed.

    Args:
        path: where to search.
        parents: candidates below ``path``; ``""`` is ``path`` itself.
        needed: relative paths of the required subfolders.

    Returns:
        The folder, None without any.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> (root / "kit" / "images").mkdir(parents=True)
        >>> first_folder(root, ("", "kit"), ["images"]) == root / "kit"
        True
    """
    names = list(needed)
    candidates = (path / parent for parent in parents)
    return next((p for p in candidates if all((p / name).is_dir() for name in names)), None)


def read_list(path: Path) -> list[str]:
    """Read the non-empty lines of a split list.

    Raises:
        CongealError: the file cannot be read, or is not text.

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
        raise CongealError(f"expected a list of names, {path} is not text") from error
    return [line.strip() for line in lines if line.strip()]


def read_void(path: Path, void: int = 255) -> LabelMap:
    """Read a label map in which a given value, such as 255, means void.

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
