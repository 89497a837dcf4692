"""Images with objects in COCO's JSON: polygons and run lengths."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from congeal.data.images import read_image
from congeal.data.runs import Runs, paint_runs, polygon_runs, rle_runs
from congeal.data.sample import Dataset, LabelMap, Sample
from congeal.data.split import PARTS, select_split
from congeal.errors import CongealError

__all__ = ["CocoDataset", "CocoImage", "coco_files", "coco_labels", "load_images"]

_NAMES = ("annotations", "instances")


@dataclass(frozen=True)
class CocoImage:
    """An image of a COCO file with its annotations as they are written there."""

    name: str
    path: Path
    source: Path
    size: tuple[int, int] | None
    annotations: list[dict[str, Any]] = field(default_factory=list)


class CocoDataset(Dataset):
    """Images with objects from COCO JSON.

    Objects are numbered in the file's order, smaller ones lie over larger ones; crowds
    (``iscrowd``) are void where no object is. Classes are not used.

    Args:
        path: a ``.json``, or a folder with ``annotations.json``, or with one file per split
            (``annotations_train.json`` or ``instances_train.json`` and so on). Images are looked
            for in ``images`` and ``images/SPLIT`` beside the file, beside the file itself, and the
            same one folder up.
        split: ``"all"``, ``"train"``, ``"val"`` or ``"test"``; made by hash as in `FolderDataset`.
        seed: seed of that choice.

    Raises:
        CongealError: the file is missing or not COCO JSON, or an image is missing.

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

    def __init__(self, path: str | Path, split: str = "all", *, seed: int = 0) -> None:
        self.name = str(path)
        self.split = split
        files = coco_files(path)
        if not files:
            raise CongealError(f"expected a COCO file, such as annotations.json, in {path}")
        parts = {part: load_images(file) for part, file in files.items()}
        self.images = select_split(
            parts, split, name=lambda image: image.name, where=str(path), seed=seed
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        entry = self.images[index]
        image = read_image(entry.path)
        height, width = image.shape[:2]
        if entry.size is not None and entry.size != (height, width):
            told = f"{entry.size[0]} x {entry.size[1]}"
            raise CongealError(
                f"expected {entry.path} to be {told} (height x width) as {entry.source.name} "
                f"says, it is {height} x {width}"
            )
        return Sample(entry.name, image, coco_labels(entry, height, width), entry.path)

    def names(self) -> list[str]:
        """The names of all samples in order, without reading any image."""
        return [image.name for image in self.images]


def coco_files(path: str | Path) -> dict[str, Path]:
    """Find the COCO files meant by a path: under ``"all"``, or under train, val and test.

    Returns:
        Empty when the path is a folder without such a file.

    Raises:
        CongealError: a file named outright does not exist.

    Example:
        >>> coco_files(".")
        {}
    """
    path = Path(path)
    if path.suffix.lower() == ".json" and not path.is_dir():
        if not path.is_file():
            raise CongealError(f"no such file: {path}")
        return {"all": path}
    whole = [path / f"{name}.json" for name in _NAMES]
    split = [(part, path / f"{name}_{part}.json") for name in _NAMES for part in PARTS]
    found = {part: file for part, file in split if file.is_file()}
    if found:
        return found
    one = next((file for file in whole if file.is_file()), None)
    return {} if one is None else {"all": one}


def load_images(file: Path) -> list[CocoImage]:
    """Read the images of a COCO file, each with its annotations.

    Raises:
        CongealError: the file is no COCO JSON, or an image it names is missing.

    Example:
        >>> load_images(Path("nowhere.json"))
        Traceback (most recent call last):
        ...
        congeal.errors.CongealError: cannot read nowhere.json: No such file or directory
    """
    content = _parse(file)
    images: dict[Any, CocoImage] = {}
    for record in content["images"]:
        entry = _image(record, file)
        if record["id"] in images:
            raise CongealError(f"expected one image for every id, {file} has two {record['id']}")
        images[record["id"]] = entry
    for annotation in content["annotations"]:
        owner = annotation.get("image_id") if isinstance(annotation, dict) else None
        if owner not in images:
            raise CongealError(f"expected annotations of its images, {file} has one of {owner!r}")
        images[owner].annotations.append(annotation)
    if not images:
        raise CongealError(f"expected images in {file}, it lists none")
    return list(images.values())


def _parse(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise CongealError(f"cannot read {file}: {error.strerror or error}") from error
    except ValueError as error:
        raise CongealError(f"expected COCO JSON, {file} is damaged or no JSON ({error})") from error
    for key in ("images", "annotations"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise CongealError(f"expected COCO JSON, {file} has no list of {key}")
    return dict(content)


def _image(record: Any, file: Path) -> CocoImage:
    if not isinstance(record, dict) or "id" not in record or "file_name" not in record:
        raise CongealError(f"expected id and file_name for every image, {file} has {record!r:.80}")
    told = str(record["file_name"])
    path = next((place for place in _places(file, told) if place.is_file()), None)
    if path is None:
        beside = file.parent / "images"
        raise CongealError(f"expected the image {told} of {file} in {beside}, found none")
    height, width = record.get("height"), record.get("width")
    size = (height, width) if isinstance(height, int) and isinstance(width, int) else None
    name = "__".join(PurePosixPath(told).with_suffix("").parts)
    return CocoImage(name, path, file, size)


def _places(file: Path, told: str) -> Iterator[Path]:
    """Where an image may lie; ``instances_val2017.json`` hints at a folder ``val2017``."""
    hint = file.stem.rsplit("_", 1)[-1]
    for folder in (file.parent, file.parent.parent):
        yield folder / "images" / told
        yield folder / "images" / hint / told
        yield folder / told
        yield folder / hint / told


def coco_labels(entry: CocoImage, height: int, width: int) -> LabelMap:
    """Paint the annotations of an image into a label map `(H, W)`.

    Raises:
        CongealError: an annotation has no mask, or one that does not fit the image.

    Example:
        >>> crowd = {"iscrowd": 1, "segmentation": {"size": [1, 3], "counts": [1, 2]}}
        >>> coco_labels(CocoImage("a", Path("a"), Path("b"), None, [crowd]), 1, 3).tolist()
        [[0, -1, -1]]
    """
    labels = np.zeros((height, width), np.int64)
    runs = [_runs(annotation, entry, height, width) for annotation in entry.annotations]
    crowd = [bool(annotation.get("iscrowd")) for annotation in entry.annotations]
    for mask, is_crowd in zip(runs, crowd, strict=True):
        if is_crowd:
            paint_runs(labels, mask, -1)
    objects = [mask for mask, is_crowd in zip(runs, crowd, strict=True) if not is_crowd]
    areas = [int(mask[1::2].sum()) for mask in objects]
    for k in sorted(range(len(objects)), key=lambda k: -areas[k]):
        paint_runs(labels, objects[k], k + 1)
    return labels


def _runs(annotation: dict[str, Any], entry: CocoImage, height: int, width: int) -> Runs:
    segmentation = annotation.get("segmentation")
    try:
        if isinstance(segmentation, list):
            return polygon_runs(segmentation, height, width)
        if isinstance(segmentation, dict):
            return rle_runs(segmentation, height, width)
        raise CongealError("it has no segmentation (polygons or run lengths)")
    except CongealError as error:
        which = annotation.get("id", "without id")
        raise CongealError(
            f"cannot use annotation {which} of {entry.path.name} in {entry.source}: {error}"
        ) from error
