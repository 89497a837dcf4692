"""Dividing images into training and validation, the same way on every machine and every day."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from congeal.errors import CongealError, unknown

__all__ = ["PARTS", "SPLIT_FOLDERS", "VAL_SHARE", "select_split", "split_folders", "stable_split"]

PARTS = ("train", "val", "test")
VAL_SHARE = 0.15
MOST_VAL = 1 / 3  # of a few names; by chance alone it may be more than half

SPLIT_FOLDERS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""What the folder of each split may be called, in small or capital letters."""

Item = TypeVar("Item")


def split_folders(folder: Path) -> dict[str, Path]:
    """Find the folders of the splits inside a folder, by split, in the order train, val, test.

    Raises:
        CongealError: a split has two folders, such as ``val`` and ``valid``.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> for name in ("Train", "valid", "more"):
        ...     (root / name).mkdir()
        >>> {part: path.name for part, path in split_folders(root).items()}
        {'train': 'Train', 'val': 'valid'}
    """
    if not folder.is_dir():
        return {}
    known = {name for names in SPLIT_FOLDERS.values() for name in names}
    inside = [path for path in folder.iterdir() if path.name.casefold() in known]
    found: dict[str, Path] = {}
    for part, names in SPLIT_FOLDERS.items():
        called = sorted(p for p in inside if p.name.casefold() in names and p.is_dir())
        if len(called) > 1:
            both = " and ".join(path.name for path in called)
            raise CongealError(f"expected one folder for the split {part} in {folder}, got {both}")
        if called:
            found[part] = called[0]
    return found


def stable_split(names: Iterable[str], val: float = VAL_SHARE, seed: int = 0) -> dict[str, str]:
    """Divide names into ``"train"`` and ``"val"`` by a hash of each name.

    A name keeps its part when others come or go, and the order of the names does not matter.
    Two exceptions: two or more names always give at least one of each part. At most a third of the
    names is chosen where ``val`` is below a third, for of a few names chance may choose more.

    Args:
        names: what to divide.
        val: share to expect in validation, 0 to 1.
        seed: another seed, another division.

    Raises:
        CongealError: ``val`` is not within 0 and 1.

    Example:
        >>> stable_split(["a", "b", "c", "d"], val=0.25)
        {'a': 'val', 'b': 'train', 'c': 'train', 'd': 'train'}
    """
    if not 0 <= val <= 1:
        raise CongealError(f"expected a validation share from 0 to 1, got {val}")
    place = {name: _place(name, seed) for name in names}
    parts = {name: "val" if at < val else "train" for name, at in place.items()}
    if len(parts) == 1:
        return dict.fromkeys(parts, "train")
    if parts and "val" not in parts.values():
        parts[min(place, key=place.__getitem__)] = "val"
    chosen = sorted((name for name in parts if parts[name] == "val"), key=place.__getitem__)
    most = max(1, math.floor(MOST_VAL * len(parts))) if val < MOST_VAL else len(parts)
    parts |= dict.fromkeys(chosen[most:], "train")
    if parts and "train" not in parts.values():
        parts[max(place, key=place.__getitem__)] = "train"
    return parts


def _place(name: str, seed: int) -> float:
    # Names of files may be no UTF-8; Python then holds their bytes as lone surrogates.
    digest = hashlib.sha1(f"{seed}:{name}".encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def select_split(
    parts: Mapping[str, Sequence[Item]],
    split: str,
    *,
    name: Callable[[Item], str],
    where: str,
    seed: int = 0,
) -> list[Item]:
    """Choose the items of a split from what a folder offers.

    ``parts`` holds either ``"all"``, or some of train, val and test. Without a validation part,
    ``"train"`` and ``"val"`` are the two sides of ``stable_split`` of the training part (or of
    everything); the validation side of a single item is empty.

    Raises:
        CongealError: the split is unknown, or not there and not to be made.

    Example:
        >>> select_split({"all": ["b", "c"]}, "val", name=str, where="my_folder")
        ['b']
    """
    if split not in (*PARTS, "all"):
        raise unknown("split", split, (*PARTS, "all"))
    if split == "all":
        return [item for part in ("all", *PARTS) for item in parts.get(part, ())]
    whole = parts.get("all", parts.get("train"))
    if split in ("train", "val") and "val" not in parts and whole is not None:
        side = stable_split((name(item) for item in whole), seed=seed)
        return [item for item in whole if side[name(item)] == split]
    if split not in parts:
        there = (
            "no split folders" if "all" in parts else " and ".join(p for p in PARTS if p in parts)
        )
        raise CongealError(f"expected a split {split!r} in {where}, it has {there}")
    return list(parts[split])
