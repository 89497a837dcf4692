"""Finding image files: in folders, by patterns, and what is passed over."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from glob import escape, glob, has_magic
from pathlib import Path

from congeal.errors import CongealError

__all__ = [
    "MASK_SUFFIXES",
    "SUFFIXES",
    "expand_images",
    "image_files",
    "natural_key",
    "passed_over",
]

MASK_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif"})
"""Endings of label maps; JPEG is among them to be refused with a reason."""

SUFFIXES = MASK_SUFFIXES | {".jpe", ".jfif", ".webp", ".jp2", ".j2k", ".pgm", ".ppm", ".pnm"}
"""Endings of images, all of which `read_image` opens."""

# What lies beside images without being meant as one.
_BESIDE = frozenset({".txt", ".csv", ".json", ".md", ".xml", ".yaml", ".yml", ".ini", ".db"})


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Make a sort key under which ``cell2`` comes before ``cell10``.

    Example:
        >>> sorted(["cell10", "cell2", "Cell1"], key=natural_key)
        ['Cell1', 'cell2', 'cell10']
    """
    parts = re.split(r"(\d+)", name.casefold())
    key = [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts if p]
    return [*key, (2, 0, name)]


def image_files(folder: Path) -> list[Path]:
    """List the image files directly inside a folder, in natural order, hidden ones left out.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("b10.png", "b9.TIF", "notes.txt", ".hidden.png"):
        ...     _ = (folder / name).write_bytes(b"")
        >>> [path.name for path in image_files(folder)]
        ['b9.TIF', 'b10.png']
    """
    found = [p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file()]
    visible = [path for path in found if not path.name.startswith(".")]
    return sorted(visible, key=lambda path: natural_key(path.name))


def passed_over(folder: Path) -> str | None:
    """Count the files of a folder that are not taken for images, by ending; None without any.

    Hidden files and those that go with images (text, tables) do not count.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("a.png", "b.czi", "c.czi", "notes.txt"):
        ...     _ = (folder / name).write_bytes(b"")
        >>> passed_over(folder).replace(str(folder), "FOLDER")
        '2 files passed over in FOLDER (2 .czi): save them as PNG or TIFF to use them'
    """
    known = SUFFIXES | _BESIDE
    files = (path for path in folder.iterdir() if not path.name.startswith("."))
    endings = Counter(
        path.suffix.lower() or "without ending"
        for path in files
        if path.suffix.lower() not in known and path.is_file()
    )
    if not endings:
        return None
    kinds = ", ".join(f"{number} {ending}" for ending, number in endings.most_common(4))
    total = endings.total()
    what, them = ("file", "it") if total == 1 else ("files", "them")
    advice = f"save {them} as PNG or TIFF to use {them}"
    return f"{total} {what} passed over in {folder} ({kinds}): {advice}"


def expand_images(inputs: Sequence[str | Path]) -> list[Path]:
    """Find the image files meant by files, folders and globs: natural order, each one once.

    Files named outright are kept whatever their ending, and even when they do not exist, so
    that a run over many can report the broken one and go on. The part of a pattern that exists
    is taken as it is, brackets included.

    Raises:
        CongealError: nothing was given, or a folder or pattern holds no image.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("a2.png", "a10.png"):
        ...     _ = (folder / name).write_bytes(b"")
        >>> [path.name for path in expand_images([folder])]
        ['a2.png', 'a10.png']
    """
    if not inputs:
        raise CongealError("expected image files, folders or patterns, got none")
    found = [path for given in inputs for path in _expand(given)]
    return list(dict.fromkeys(found))


def _expand(given: str | Path) -> list[Path]:
    path = Path(given)
    if path.is_dir():
        files = image_files(path)
        if not files:
            held = passed_over(path) or "found none"
            raise CongealError(f"expected images (PNG, JPEG or TIFF) in {path}, {held}")
        return files
    if path.exists() or not has_magic(str(given)):
        return [path]
    matches = [Path(match) for match in glob(_pattern(path), recursive=True)]
    images = [match for match in matches if match.is_file() and match.suffix.lower() in SUFFIXES]
    if not images:
        raise CongealError(f"expected images to match {str(given)!r}, found none")
    return sorted(images, key=lambda image: natural_key(str(image)))


def _pattern(path: Path) -> str:
    """The pattern, with magic characters escaped in the folders that exist."""
    there = next((parent for parent in path.parents if parent.exists()), Path())
    rest = path.relative_to(there)
    return str(rest) if there == Path() else str(Path(escape(str(there))) / rest)
