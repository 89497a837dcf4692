"""Reader of COCO JSON: images with objects as polygons or run lengths (RLE)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from congeal.data.coco_annotations import (
    CocoImage,
    coco_labels,
    coco_masks,
    is_key,
    paint_annotations,
)
from congeal.data.coco_paths import find_image, sample_name
from congeal.data.images import Channels, read_image
from congeal.data.sample import Dataset, Sample
from congeal.data.split import PARTS, select_split
from congeal.errors import CongealError, quoted

__all__ = [
    "CocoDataset",
    "CocoImage",
    "coco_files",
    "coco_labels",
    "coco_masks",
    "load_categories",
    "load_images",
    "parse_coco",
]

_NAMES = ("annotations", "instances")


class CocoDataset(Dataset):
    """Images with object annotations from COCO JSON.

    In ``labels`` objects are numbered in file order, smaller objects are on top of larger ones, and
    crowds (``iscrowd``) are void outside of objects; ``masks`` holds complete masks, overlaps
    included. Class ids 1, 2, ... follow the order of category ids; a file without categories has no
    classes.

    Args:
        path: a ``.json``, or a folder with ``annotations.json``, or with one file per split
            (``annotations_train.json`` or ``instances_train.json`` and so on). Images are searched
            in ``images``, ``images/SPLIT`` and the folder of the file itself, then likewise one
            folder up.
        split: ``"all"``, ``"train"``, ``"val"`` or ``"test"``; made by hash as in `FolderDataset`.
        seed: of the train/validation split by hash.
        name: of the dataset; None: its path.
        channels: image channels to read, as in `read_image`.

    Raises:
        CongealError: the file is missing or not COCO JSON, or an image file is missing.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> root = Path(tempfile.mkdtemp())
        >>> Image.new("L", (3, 2)).save(root / "a.png")
        >>> mask = {"image_id": 1, "segmentation": {"size": [2, 3], "counts": [0, 2, 4]}}
        >>> content = {"images": [{"id": 1, "file_name": "a.png"}], "annotations": [mask]}
        >>> _ = (root / "annotations.json").write_text(json.dumps(content))
        >>> CocoDataset(root)[0].labels.tolist()
        [[1, 0, 0], [1, 0, 0]]
    """

    other_protocols: tuple[str, ...] = ("coco",)

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
        self.channels = channels
        files = self.find_files(Path(path))
        if not files:
            raise CongealError(f"expected a COCO file, such as annotations.json, in {path}")
        parts, categories = self.load(files, split)
        self.images = select_split(
            parts, split, name=lambda image: image.name, where=str(path), seed=seed
        )
        self.class_of = {key: k for k, key in enumerate(sorted(categories), start=1)}
        if categories:
            self.class_ids = (0, *self.class_of)
            self.class_names = ("background", *(categories[key] for key in self.class_of))
        if len(categories) > 1 and self.protocol == "matching":  # which ignores classes
            self.protocol, self.other_protocols = "coco", ("matching", "miou")

    def find_files(self, path: Path) -> dict[str, Path]:
        """The annotation file of each split, or of all images under ``"all"``."""
        return coco_files(path)

    def load(
        self, files: Mapping[str, Path], split: str
    ) -> tuple[dict[str, list[CocoImage]], dict[int, str]]:
        """Read all files, so that class ids are the same in every split.

        Args:
            files: annotation files by split.
            split: the requested split, for subclasses that read only its file.

        Returns:
            Images by split, and category names by category id.
        """
        parts: dict[str, list[CocoImage]] = {}
        categories: dict[int, str] = {}
        for part, file in files.items():
            content = parse_coco(file)
            parts[part] = load_images(file, content)
            for key, name in load_categories(file, content).items():
                if categories.setdefault(key, name) != name:
                    both = f"{quoted(categories[key])} and {quoted(name)}"
                    raise CongealError(f"expected one name for category {key}, {file} has {both}")
        return parts, categories

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        entry = self.images[index]
        image = read_image(entry.path, self.channels)
        height, width = image.shape[:2]
        if entry.size is not None and entry.size != (height, width):
            expected = " x ".join(map(quoted, entry.size))
            raise CongealError(
                f"expected {entry.path} to be {expected} (height x width) as stated in "
                f"{entry.source.name}, got {height} x {width}"
            )
        masks, runs = coco_masks(entry, height, width, self.class_of)
        labels = paint_annotations(masks, runs, height, width)
        if not self.class_of:
            return Sample(entry.name, image, labels, entry.path, masks=masks)
        classes = np.array([mask.class_id for mask in masks if not mask.crowd], np.int64)
        by_number = np.concatenate([[0], classes])  # class of each object, 0 for background
        semantic = np.where(labels < 0, -1, by_number[np.maximum(labels, 0)])
        return Sample(
            entry.name, image, labels, entry.path, semantic=semantic, classes=classes, masks=masks
        )

    def names(self) -> list[str]:
        """Names of all samples in order, without reading images."""
        return [image.name for image in self.images]


def coco_files(path: str | Path) -> dict[str, Path]:
    """Find the COCO files of a path, by split or under ``"all"``.

    Returns:
        Annotation files by split; empty for a folder without one.

    Raises:
        CongealError: the path is a ``.json`` that does not exist.

    Example:
        >>> coco_files(".")
        {}
    """
    path = Path(path)
    if path.suffix.lower() == ".json" and not path.is_dir():
        if not path.is_file():
            raise CongealError(f"no such file: {path}")
        return {"all": path}
    single = [path / f"{name}.json" for name in _NAMES]
    split = [(part, path / f"{name}_{part}.json") for name in _NAMES for part in PARTS]
    found = {part: file for part, file in split if file.is_file()}
    if found:
        return found
    first = next((file for file in single if file.is_file()), None)
    return {} if first is None else {"all": first}


def load_images(file: Path, content: Mapping[str, Any] | None = None) -> list[CocoImage]:
    """Read the images of a COCO file, each with its annotations.

    Args:
        file: the file.
        content: its parsed content; None: parse the file.

    Raises:
        CongealError: the file is not COCO JSON, or an image file is missing.

    Example:
        >>> load_images(Path("nowhere.json"))
        Traceback (most recent call last):
        ...
        congeal.errors.CongealError: cannot read nowhere.json: No such file or directory
    """
    content = parse_coco(file) if content is None else content
    images: dict[int | str, CocoImage] = {}
    names: dict[Path, str] = {}
    for record in content["images"]:
        entry = _image(record, file)
        key = record["id"]
        if key in images:
            raise CongealError(f"expected unique image ids, {file} has {quoted(key)} twice")
        file_name = record["file_name"]
        # The same file name in two folders of another machine: the image is ambiguous.
        if names.setdefault(entry.path, file_name) != file_name:
            both = f"{quoted(names[entry.path])} and {quoted(file_name)}"
            raise CongealError(f"expected two images for {both} of {file}, found one")
        images[key] = entry
    for annotation in content["annotations"]:
        owner = annotation.get("image_id") if isinstance(annotation, dict) else None
        if not is_key(owner) or owner not in images:
            raise CongealError(
                f"expected image_id of a listed image in every annotation of {file}, got "
                f"{quoted(owner)}"
            )
        images[owner].annotations.append(annotation)
    if not images:
        raise CongealError(f"expected images in {file}, found none")
    return list(images.values())


def load_categories(file: Path, content: Mapping[str, Any]) -> dict[int, str]:
    """Category names by category id; empty for a file without categories.

    Raises:
        CongealError: a category id is not an integer, or is used twice.

    Example:
        >>> load_categories(Path("a.json"), {"categories": [{"id": 3, "name": "car"}]})
        {3: 'car'}
    """
    found: dict[int, str] = {}
    records = content.get("categories") or []
    if not isinstance(records, list):
        raise CongealError(f"expected a list of categories in {file}, got {quoted(records)}")
    for record in records:
        key = record.get("id") if isinstance(record, dict) else None
        if type(key) is not int or abs(key) >= 2**63 or key in found:
            raise CongealError(
                f"expected a unique integer id for every category of {file}, got {quoted(key)}"
            )
        name = record.get("name", key)
        if not is_key(name):
            raise CongealError(f"expected a name for category {key} of {file}, got {quoted(name)}")
        found[key] = str(name)
    return found


def parse_coco(file: Path) -> dict[str, Any]:
    """Read a COCO file and check that it has lists of images and annotations.

    Raises:
        CongealError: the file cannot be read, or is not COCO JSON.

    Example:
        >>> parse_coco(Path("nowhere.json"))
        Traceback (most recent call last):
        ...
        congeal.errors.CongealError: cannot read nowhere.json: No such file or directory
    """
    try:
        # From bytes, json detects the encoding: UTF-8 or UTF-16, with or without byte-order mark.
        content = json.loads(file.read_bytes())
    except OSError as error:
        raise CongealError(f"cannot read {file}: {error.strerror or error}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        reason = " ".join(str(error).split())[:80]
        raise CongealError(
            f"expected COCO JSON, {file} is damaged or not JSON ({reason})"
        ) from error
    for key in ("images", "annotations"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise CongealError(f"expected COCO JSON, {file} has no list of {key}")
    return dict(content)


def _image(record: Any, file: Path) -> CocoImage:
    file_name = record.get("file_name") if isinstance(record, dict) else None
    if not isinstance(file_name, str) or not is_key(record.get("id")):
        raise CongealError(
            f"expected id and file_name for every image of {file}, got {quoted(record)}"
        )
    path = find_image(file, file_name)
    if path is None:
        folder = file.parent / "images"
        raise CongealError(
            f"expected the image {quoted(file_name)} of {file} in {folder}, found none"
        )
    height, width = record.get("height"), record.get("width")
    size = (height, width) if type(height) is int and type(width) is int else None
    return CocoImage(sample_name(file_name), path, file, size)
