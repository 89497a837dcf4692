"""Reader of images and labels stored as NumPy or Zarr arrays, one image at a time."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from congeal.data.images import Channels, as_image, as_whole
from congeal.data.memory import check_memory
from congeal.data.sample import Dataset, Pixels, Sample
from congeal.data.split import PARTS, select_split
from congeal.errors import CongealError, quoted
from congeal.labels import check_labels

__all__ = ["ArrayDataset", "array_splits", "find_arrays", "open_arrays"]

_LABELS = ("labels", "masks")
_ZIP_HEADER_LENGTH = 30  # bytes of a zip entry before its name
_MAX_IMAGES = 2_000_000  # a damaged header may state more than a list can hold
_COPIES = 3  # of an image in memory while it is read

Arrays = dict[str, Callable[[], Any]]


class ArrayDataset(Dataset):
    """Arrays ``images`` `(N, H, W)` or `(N, H, W, C)` and ``labels`` `(N, H, W)`.

    They are stored as ``images.npy`` and ``labels.npy`` in a folder, in one ``.npz``, or in a Zarr
    group. ``labels`` may be named ``masks``; an optional array ``semantic`` `(N, H, W)` holds class
    ids. Splits are folders (groups) ``train``, ``val`` and ``test``, or name prefixes such as
    ``train_images``; otherwise a train/validation split is made by hash. Images are read on
    demand, except from a compressed ``.npz``.

    Args:
        path: the folder or file.
        split: ``"train"``, ``"val"``, ``"test"`` or ``"all"``.
        seed: of the train/validation split by hash.
        name: of the dataset; None: its path.
        channels: indices of the image channels to read; required unless images are gray or RGB.

    Raises:
        CongealError: arrays are missing, do not match in shape, or cannot be read.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "cells.npz"
        >>> np.savez(path, images=np.zeros((3, 4, 5), np.uint8), labels=np.ones((3, 4, 5), int))
        >>> ArrayDataset(path)[2].image.shape
        (4, 5, 1)
    """

    def __init__(
        self,
        path: str | Path,
        split: str = "all",
        *,
        seed: int = 0,
        name: str | None = None,
        channels: Channels = None,
    ) -> None:
        self.name = name or str(path)
        self.split = split
        self.path = Path(path)
        self.channels = channels
        self._opened: dict[str, Any] = {}
        self.keys = _find_keys(open_arrays(self.path), self.path)
        parts = {part: self._number_images(part, keys) for part, keys in self.keys.items()}
        self.items = select_split(
            parts, split, name=lambda item: f"{item[1]:06d}", where=str(path), seed=seed
        )

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Sample:
        part, number = self.items[index]
        where = f"{self.keys[part]['images']} {number} of {self.path}"
        stored = self._read(part, "images", number)
        image = np.ascontiguousarray(as_image(stored, where, self.channels))
        where = f"{self.keys[part]['labels']} {number} of {self.path}"
        labels = check_labels(as_whole(self._read(part, "labels", number), where), where)
        semantic = None
        if "semantic" in self.keys[part]:
            where = f"semantic {where}"
            semantic = check_labels(as_whole(self._read(part, "semantic", number), where), where)
        return Sample(self._name(part, number), image, labels, self.path, semantic=semantic)

    def names(self) -> list[str]:
        """The index of each image in its array, with the split as prefix where there are splits."""
        return [self._name(part, number) for part, number in self.items]

    def _name(self, part: str, number: int) -> str:
        return f"{number:06d}" if part == "all" else f"{part}-{number:06d}"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": {}}  # open files cannot be pickled for loader workers

    def _array(self, part: str, kind: str) -> Any:
        key = self.keys[part][kind]
        if key not in self._opened:
            self._opened[key] = open_arrays(self.path)[key]()
        return self._opened[key]

    def _read(self, part: str, kind: str, number: int) -> Pixels:
        array, key = self._array(part, kind), self.keys[part][kind]
        size = math.prod(array.shape[1:]) * array.dtype.itemsize
        check_memory(_COPIES * size, f"{key} {number} of {self.path}")
        try:
            return np.array(array[number])
        # Each codec raises its own type of error for a damaged chunk.
        except Exception as error:
            reason = " ".join(str(error).split())[:80] or type(error).__name__
            raise CongealError(f"cannot read {key} {number} of {self.path}: {reason}") from error

    def _number_images(self, part: str, keys: Mapping[str, str]) -> list[tuple[str, int]]:
        """Check that the arrays of a split match, and list its images as (split, index)."""
        arrays = {kind: self._array(part, kind) for kind in keys}
        shape = tuple(arrays["images"].shape)
        if len(shape) not in (3, 4):
            raise CongealError(
                f"expected {keys['images']} (N, H, W) or (N, H, W, C) in {self.path}, got {shape}"
            )
        if 0 in shape[1:] or shape[0] > _MAX_IMAGES:
            wanted = f"up to {_MAX_IMAGES} non-empty images"
            raise CongealError(f"expected {wanted} in {keys['images']} of {self.path}, got {shape}")
        for kind in keys:
            if kind != "images" and tuple(arrays[kind].shape) != shape[:3]:
                other = tuple(arrays[kind].shape)
                raise CongealError(
                    f"expected {keys[kind]} of shape {shape[:3]} in {self.path}, since "
                    f"{keys['images']} is {shape}, got {other}"
                )
        return [(part, number) for number in range(shape[0])]


def _find_keys(arrays: Arrays, path: Path) -> dict[str, dict[str, str]]:
    """Name of the array of each kind (images, labels, semantic), by split."""
    found = {}
    for part, prefixes in {"all": ("",), **{p: (f"{p}/", f"{p}_") for p in PARTS}}.items():
        kinds = {"images": ("images",), "labels": _LABELS, "semantic": ("semantic",)}
        keys = {
            kind: key
            for kind, names in kinds.items()
            for key in [f"{prefix}{name}" for prefix in prefixes for name in names][::-1]
            if key in arrays
        }
        if "images" in keys and "labels" in keys:
            found[part] = keys
    if not found:
        held = ", ".join(sorted(arrays)[:6]) or "no array"
        raise CongealError(f"expected arrays images and labels in {path}, found {held}")
    return {"all": found["all"]} if "all" in found else found


def array_splits(path: Path) -> tuple[str, ...]:
    """Names of the splits that the arrays have, or ``("all",)``.

    Raises:
        CongealError: there are no arrays images and labels.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "cells.npz"
        >>> np.savez(path, images=np.zeros((3, 4, 5), np.uint8), labels=np.ones((3, 4, 5), int))
        >>> array_splits(path)
        ('all',)
    """
    return tuple(_find_keys(open_arrays(path), path))


def find_arrays(path: Path) -> bool:
    """Whether `ArrayDataset` should read a path; checks names only, without opening an array.

    Example:
        >>> find_arrays(Path("cells.npz"))
        True
    """
    if path.suffix == ".npz" or _is_zarr(path):
        return True
    folders = (path, *(path / part for part in PARTS))
    return any((folder / "images.npy").is_file() for folder in folders)


def _is_zarr(path: Path) -> bool:
    if path.suffix == ".zarr" or path.name.endswith(".zarr.zip"):
        return True
    return any((path / mark).is_file() for mark in (".zgroup", "zarr.json"))


def open_arrays(path: Path) -> Arrays:
    """List the arrays of a folder of ``.npy``, a ``.npz`` or a Zarr group, by name.

    Returns:
        For each array a function without arguments that opens it.

    Raises:
        CongealError: the path is not one of these, is damaged, or Zarr is not installed.

    Example:
        >>> open_arrays(Path("nowhere.npz"))
        Traceback (most recent call last):
        ...
        congeal.errors.CongealError: no such file: nowhere.npz
    """
    if not path.exists():
        raise CongealError(f"no such {'file' if path.suffix else 'folder'}: {path}")
    if _is_zarr(path):
        return _zarr_arrays(path)
    if path.is_dir():
        files = [*path.glob("*.npy"), *(f for part in PARTS for f in (path / part).glob("*.npy"))]
        return {str(f.relative_to(path).with_suffix("")): partial(_load_npy, f) for f in files}
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".npy")]
    except Exception as error:
        reason = " ".join(str(error).split())[:80]
        raise CongealError(f"cannot read {path}: truncated or not a .npz ({reason})") from error
    return {name.removesuffix(".npy"): partial(_load_npz, path, name) for name in names}


def _load_npy(path: Path) -> Any:
    return _opened(path, lambda: _map_array(path, 0))


def _load_npz(path: Path, name: str) -> Any:
    """Memory-map an uncompressed entry; read a compressed one into memory."""

    def load() -> Any:
        with zipfile.ZipFile(path) as archive:
            entry = archive.getinfo(name)
            if entry.compress_type != zipfile.ZIP_STORED:
                return _read_entry(path, archive, entry)
        with path.open("rb") as stream:
            stream.seek(entry.header_offset)
            head = stream.read(_ZIP_HEADER_LENGTH)
        lengths = int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")
        return _map_array(path, entry.header_offset + _ZIP_HEADER_LENGTH + lengths)

    return _opened(path, load)


def _opened(path: Path, load: Callable[[], Any]) -> Any:
    """Load an array; damaged headers (Python literals, JSON) may raise any exception."""
    try:
        return load()
    except CongealError:
        raise
    except Exception as error:
        raise _damaged(path, error) from error


def _map_array(path: Path, offset: int) -> Any:
    with path.open("rb") as stream:
        stream.seek(offset)
        shape, fortran, dtype = _header(stream)
        begin = stream.tell()
    size = path.stat().st_size
    if begin + math.prod(shape) * dtype.itemsize > size:
        raise ValueError(f"header states {shape} of {dtype}, file has {size - begin} bytes")
    if 0 in shape:
        return np.zeros(shape, dtype)  # an empty array cannot be mapped
    order: Literal["C", "F"] = "F" if fortran else "C"
    return np.memmap(path, dtype, "r", begin, shape, order)


def _read_entry(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Any:
    with archive.open(entry) as stream:
        shape, fortran, dtype = _header(stream)
        size = math.prod(shape) * dtype.itemsize
        if size > entry.file_size:
            raise ValueError(f"header states {shape} of {dtype}, file has {entry.file_size} bytes")
        check_memory(_COPIES * size, f"{entry.filename} of {path}")
        content = stream.read(size)
    values = np.frombuffer(content, dtype, math.prod(shape))
    return values.reshape(shape, order="F" if fortran else "C")


def _header(stream: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read shape, memory order and dtype from the header of a .npy, and check them."""
    version = np.lib.format.read_magic(stream)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    shape, fortran, dtype = read[version](stream)
    _check_array(shape, dtype)
    return shape, fortran, dtype


def _check_array(shape: Sequence[int], dtype: Any) -> None:
    if np.dtype(dtype).kind not in "biuf":
        raise ValueError(f"dtype {dtype} is not numeric")
    if not all(0 <= length < 2**62 for length in shape):
        raise ValueError(f"invalid shape {quoted(shape)}")


def _zarr_arrays(path: Path) -> Arrays:
    try:
        import zarr
    except ImportError as error:
        raise CongealError(
            f"expected Zarr to read {path}, it is not installed (pip install zarr)"
        ) from error

    def find() -> Arrays:
        group = zarr.open_group(str(path), mode="r")
        keys = [key for key in _zarr_keys() if key in group]
        return {key: partial(_load_zarr, path, group, key) for key in keys}

    found: Arrays = _opened(path, find)
    return found


def _load_zarr(path: Path, group: Any, key: str) -> Any:
    def load() -> Any:
        array = group[key]
        _check_array(array.shape, array.dtype)
        # Unpickling would execute code from the file.
        if "pickle" in str(array.metadata.to_dict() | {"attributes": None}).lower():
            raise ValueError("pickle codecs are not allowed")
        chunk = array.shards or array.chunks  # the unit of reading
        size = math.prod(chunk) * array.dtype.itemsize
        check_memory(_COPIES * size, f"a chunk of {key} of {path}")
        return array

    return _opened(path, load)


def _zarr_keys() -> list[str]:
    kinds = ("images", *_LABELS, "semantic")
    return [*kinds, *(f"{part}{mark}{kind}" for part in PARTS for mark in "/_" for kind in kinds)]


def _damaged(path: Path, error: Exception) -> CongealError:
    reason = " ".join(str(error).split())[:80] or type(error).__name__
    return CongealError(f"cannot read {path}: the file is truncated or damaged ({reason})")
