"""Reader of the COCO exports of annotation tools: Roboflow and CVAT."""

from __future__ import annotations

from pathlib import Path

from congeal.data.coco import CocoDataset
from congeal.data.split import SPLIT_FOLDERS, split_folders
from congeal.errors import CongealError

__all__ = ["CocoExportDataset", "export_files"]

_ROBOFLOW = "_annotations.coco.json"


class CocoExportDataset(CocoDataset):
    """Images with object annotations from a COCO export of Roboflow or CVAT.

    Args:
        path: a folder with ``train``, ``valid`` and ``test``, in each ``_annotations.coco.json``
            beside its images (Roboflow), or one with ``annotations/instances_default.json``, or
            ``instances_SPLIT.json``, and ``images`` (CVAT).
        split: ``"all"``, ``"train"``, ``"val"`` or ``"test"``; made by hash as in `FolderDataset`.
        seed: of the train/validation split by hash.
        name: of the dataset; None: its path.

    Raises:
        CongealError: files are missing or not COCO JSON, or an image file is missing.

    Example:
        >>> CocoExportDataset("nowhere")
        Traceback (most recent call last):
        ...
        congeal.errors.CongealError: expected a COCO file, such as annotations.json, in nowhere
    """

    def find_files(self, path: Path) -> dict[str, Path]:
        """The annotation file of each split, or of all images under ``"all"``."""
        return export_files(path)


def export_files(path: Path) -> dict[str, Path]:
    """Find the COCO files of an export, by split or under ``"all"``.

    Raises:
        CongealError: a split has two files.

    Example:
        >>> export_files(Path("nowhere"))
        {}
    """
    if (path / _ROBOFLOW).is_file():
        return {"all": path / _ROBOFLOW}
    candidates = {part: folder / _ROBOFLOW for part, folder in split_folders(path).items()}
    found = {part: file for part, file in candidates.items() if file.is_file()}
    return found or _cvat_files(path / "annotations")


def _cvat_files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    files = sorted(path for path in folder.glob("instances_*.json") if path.is_file())
    found: dict[str, Path] = {}
    for file in files:
        suffix = file.stem.removeprefix("instances_").casefold()
        part = next((part for part, names in SPLIT_FOLDERS.items() if suffix in names), None)
        if part is not None and part in found:
            both = f"{found[part].name} and {file.name}"
            raise CongealError(f"expected one file for the split {part} in {folder}, got {both}")
        if part is not None:
            found[part] = file
    single = folder / "instances_default.json"
    return found or ({"all": single} if single.is_file() else {})
