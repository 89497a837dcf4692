"""Resolution of the image paths in a COCO file, which tools write in different ways."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

__all__ = ["find_image", "sample_name"]


def find_image(file: Path, file_name: str) -> Path | None:
    """Find the image file of a COCO record; None if there is none.

    Searches ``images``, ``images/SPLIT`` and the folder of the COCO file itself, then likewise one
    folder up. Backslashes (Windows) are accepted. Of an absolute path, which may be from another
    machine, only the file name is used.

    Args:
        file: the COCO file.
        file_name: of the image record.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "a.png").write_bytes(b"")
        >>> find_image(folder / "annotations.json", "/content/drive/a.png").name
        'a.png'
    """
    return next((path for path in _candidates(file, file_name) if _is_file(path)), None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # an invalid name: too long, or with a null byte
        return False


def _candidates(file: Path, file_name: str) -> Iterator[Path]:
    hint = file.stem.rsplit("_", 1)[-1]  # instances_val2017.json hints at a folder val2017
    spellings = [file_name, _with_slashes(file_name)]
    if _is_absolute(file_name):
        spellings.append(PurePosixPath(_with_slashes(file_name)).name)
    for spelling in dict.fromkeys(filter(None, spellings)):
        for folder in (file.parent, file.parent.parent):
            yield folder / "images" / spelling
            yield folder / "images" / hint / spelling
            yield folder / spelling
            yield folder / hint / spelling


def _with_slashes(file_name: str) -> str:
    return file_name.replace("\\", "/")


def _is_absolute(file_name: str) -> bool:
    """Whether a path is absolute on POSIX or on Windows, with or without a drive."""
    return bool(PureWindowsPath(file_name).root)


def sample_name(file_name: str) -> str:
    """Sample name of an image file: its relative path with ``__`` for slashes, or its stem.

    Example:
        >>> sample_name("train/a.png"), sample_name("C:/data/a.png")
        ('train__a', 'a')
    """
    parts = PurePosixPath(_with_slashes(file_name)).with_suffix("").parts
    if _is_absolute(file_name):
        return parts[-1]
    return "__".join(part for part in parts if part != "..")
