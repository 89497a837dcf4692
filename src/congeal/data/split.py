"""Deterministic train/validation split by a hash of sample names, and names of split folders."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from congeal.errors import CongealError, unknown

__all__ = ["PARTS", "SPLIT_FOLDERS", "VAL_SHARE", "select_split", "split_folders", "stable_split"]

PARTS = ("train", "val", "test")
VAL_SHARE = 0.15  # expected fraction of validation samples
MAX_VAL = 1 / 3  # upper bound of that fraction; of few names, chance may select more than half

SPLIT_FOLDERS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""Accepted folder names of each split, in any case."""

Item = TypeVar("Item")


def split_folders(folder: Path) -> dict[str, Path]:
    """Find the split folders inside a folder, by split, in the order train, val, test.

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
        matching = sorted(p for p in inside if p.name.casefold() in names and p.is_dir())
        if len(matching) > 1:
            both = " and ".join(path.name for path in matching)
            raise CongealError(f"expected one folder for the split {part} in {folder}, got {both}")
        if matching:
            found[part] = matching[0]
    return found


def stable_split(names: Iterable[str], val: float = VAL_SHARE, seed: int = 0) -> dict[str, str]:
    """Split names into ``"train"`` and ``"val"`` by a hash of each name.

    The split of a name does not depend on the other names or their order, with two exceptions: two
    or more names have at least one of each split, and if ``val`` is below a third, at most a third
    of the names are validation names (of few names, chance may select more).

    Args:
        names: names of samples.
        val: expected fraction of validation names, 0 to 1.
        seed: hashed with each name.

    Returns:
        ``"train"`` or ``"val"`` by name.

    Raises:
        CongealError: ``val`` is outside [0, 1].

    Example:
        >>> stable_split(["a", "b", "c", "d"], val=0.25)
        {'a': 'val', 'b': 'train', 'c': 'train', 'd': 'train'}
    """
    if not 0 <= val <= 1:
        raise CongealError(f"expected a validation fraction from 0 to 1, got {val}")
    hashes = {name: _hash(name, seed) for name in names}
    parts = {name: "val" if value < val else "train" for name, value in hashes.items()}
    if len(parts) == 1:
        return dict.fromkeys(parts, "train")
    if parts and "val" not in parts.values():
        parts[min(hashes, key=hashes.__getitem__)] = "val"
    chosen = sorted((name for name in parts if parts[name] == "val"), key=hashes.__getitem__)
    limit = max(1, math.floor(MAX_VAL * len(parts))) if val < MAX_VAL else len(parts)
    parts |= dict.fromkeys(chosen[limit:], "train")
    if parts and "train" not in parts.values():
        parts[max(hashes, key=hashes.__getitem__)] = "train"
    return parts


def _hash(name: str, seed: int) -> float:
    # File names that are not UTF-8 contain lone surrogates, which need "surrogatepass".
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
    """Select the items of a split.

    If ``parts`` has no ``"val"``, then ``"train"`` and ``"val"`` are made by ``stable_split`` from
    ``"train"`` or ``"all"``; the validation split of a single item is empty.

    Args:
        parts: items under ``"all"``, or under some of ``"train"``, ``"val"`` and ``"test"``.
        split: ``"train"``, ``"val"``, ``"test"`` or ``"all"``.
        name: function of an item that returns its name, for the hash.
        where: the dataset, for error messages.
        seed: of the split by hash.

    Raises:
        CongealError: the split is unknown, or does not exist and cannot be made by hash.

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
        assigned = stable_split((name(item) for item in whole), seed=seed)
        return [item for item in whole if assigned[name(item)] == split]
    if split not in parts:
        available = (
            "no split folders" if "all" in parts else " and ".join(p for p in PARTS if p in parts)
        )
        raise CongealError(f"expected a split {split!r} in {where}, it has {available}")
    return list(parts[split])
