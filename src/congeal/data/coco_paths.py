"""Where the images of a COCO file lie, as the tools of others name them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

__all__ = ["find_image", "sample_name"]


def find_image(file: Path, told: str) -> Path | None:
    """Find the image that a COCO file names, None when it lies nowhere.

    It is looked for in ``images`` and ``images/SPLIT`` beside the file, beside the file itself, and
    the same one folder up. Windows writes backslashes; and of a path from the root of another
    machine only the name of the file counts.

    Args:
        file: the COCO file.
        told: ``file_name`` of an image.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "a.png").write_bytes(b"")
        >>> find_image(folder / "annotations.json", "/content/drive/a.png").name
        'a.png'
    """
    return next((place for place in _places(file, told) if _is_file(place)), None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name no system has: too long, or with a zero byte
        return False


def _places(file: Path, told: str) -> Iterator[Path]:
    hint = file.stem.rsplit("_", 1)[-1]  # instances_val2017.json hints at a folder val2017
    spellings = [told, _forward(told)]
    if _is_absolute(told):
        spellings.append(PurePosixPath(_forward(told)).name)
    for spelling in dict.fromkeys(filter(None, spellings)):
        for folder in (file.parent, file.parent.parent):
            yield folder / "images" / spelling
            yield folder / "images" / hint / spelling
            yield folder / spelling
            yield folder / hint / spelling


def _forward(told: str) -> str:
    return told.replace("\\", "/")


def _is_absolute(told: str) -> bool:
    """Whether it starts at a root, of Windows with or without a drive."""
    return bool(PureWindowsPath(told).root)


def sample_name(told: str) -> str:
    """Name a sample after its file with the folders, after the file alone when it had a root.

    Example:
        >>> sample_name("train/a.png"), sample_name("C:/data/a.png")
        ('train__a', 'a')
    """
    parts = PurePosixPath(_forward(told)).with_suffix("").parts
    if _is_absolute(told):
        return parts[-1]
    return "__".join(part for part in parts if part != "..")
