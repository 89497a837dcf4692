"""Reader of Cityscapes: street scenes with semantic maps and instances."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image, ImageDraw

from congeal.data.cityscapes_distances import distance_files, distances_by_id, read_metres
from congeal.data.images import natural_key, read_image, read_labels
from congeal.data.pairs import Pair, check_sizes
from congeal.data.sample import LabelMap, Sample
from congeal.data.standard import StandardDataset, first_folder
from congeal.errors import CongealError
from congeal.labels import relabel

__all__ = ["CITYSCAPES_CLASSES", "CityscapesDataset", "cityscapes_ids"]

# Label ids of the files. Labels after the first 19 are not evaluated.
_IDS = {
    **{"road": 7, "sidewalk": 8, "building": 11, "wall": 12, "fence": 13, "pole": 17},
    **{"traffic light": 19, "traffic sign": 20, "vegetation": 21, "terrain": 22, "sky": 23},
    **{"person": 24, "rider": 25, "car": 26, "truck": 27, "bus": 28, "train": 31},
    **{"motorcycle": 32, "bicycle": 33},
    **{"unlabeled": 0, "ego vehicle": 1, "rectification border": 2, "out of roi": 3},
    **{"static": 4, "dynamic": 5, "ground": 6, "parking": 9, "rail track": 10},
    **{"guard rail": 14, "bridge": 15, "tunnel": 16, "polegroup": 18, "caravan": 29},
    **{"trailer": 30, "license plate": -1},
}
_EVALUATED = 19
_WITH_INSTANCES = range(24, 34)

CITYSCAPES_CLASSES = ("background", *list(_IDS)[:_EVALUATED])


class CityscapesDataset(StandardDataset):
    """Fine annotations: 19 evaluated classes, eight of which have instances.

    Class ids 1 to 19 are the official train ids plus 1; no pixel is background. Void in ``labels``
    are pixels that are not evaluated and groups of unseparated objects (``cargroup``); groups have
    their class in ``semantic``. Caravans and trailers are objects of class -1. Without
    ``instanceIds.png`` the polygons are rasterised. The test images have no public labels.

    Args:
        root: the folder with ``leftImg8bit`` and ``gtFine``, and for distances also ``disparity``
            and ``camera``.
        split: ``"train"``, ``"val"`` or ``"all"``.
        seed: of the hash split; not used where the dataset has a validation split.
        name: of the dataset; None: its path.

    Raises:
        CongealError: the folder does not hold the dataset, or a file cannot be used.

    Example:
        >>> CityscapesDataset.class_names[14], CityscapesDataset.class_ids[14]
        ('car', 26)
    """

    layout: ClassVar[str] = "Cityscapes (leftImg8bit and gtFine)"
    protocol = "cityscapes"
    other_protocols = ("cityscapes-distances", "miou")
    class_names = CITYSCAPES_CLASSES
    class_ids = (0, *list(_IDS.values())[:_EVALUATED])
    has_background = False

    @classmethod
    def find(cls, path: Path) -> Path | None:
        """The folder with ``leftImg8bit`` and ``gtFine``."""
        return first_folder(path, ("", "cityscapes"), ("leftImg8bit", "gtFine"))

    @classmethod
    def list_pairs(cls, home: Path) -> dict[str, list[Pair]]:
        """The images of all cities, by split."""
        images = home / "leftImg8bit"
        return {part: _pairs(home, part) for part in ("train", "val") if (images / part).is_dir()}

    def read(self, pair: Pair) -> Sample:
        """Read the image, its instances and its semantic map."""
        image = read_image(pair.image)
        ids = _read_ids(pair.mask)
        check_sizes(image.shape[:2], pair.image, ids.shape, pair.mask)
        labels, semantic, classes = _decode_ids(ids, pair.mask)
        return Sample(pair.name, image, labels, pair.image, semantic=semantic, classes=classes)

    def distances(self, name: str) -> dict[int, tuple[float, float]]:
        """Distances of the objects and groups of an image from the camera.

        Args:
            name: of the image, such as ``"aachen_000000_000019"``.

        Returns:
            Median distance in metres and fraction of measured pixels, by id as of `cityscapes_ids`.

        Raises:
            CongealError: the image does not exist, or its disparity or camera file is missing,
                invalid, or of another size than the labels.
        """
        pair = next((pair for pair in self.pairs if pair.name == name), None)
        if pair is None:
            raise CongealError(f"expected the name of an image of {self.name}, got {name!r}")
        disparity, camera = distance_files(self.root, pair.image, name)
        metres, stored = read_metres(disparity, camera), _read_ids(pair.mask)
        if metres.shape != stored.shape:
            raise CongealError(
                f"expected a disparity for each pixel {stored.shape} of {pair.mask}, {disparity} "
                f"has {metres.shape}"
            )
        # Instance ids of the files have gaps; predictions are compared by ids without gaps.
        return distances_by_id(cityscapes_ids(*_decode_ids(stored, pair.mask)), metres)


def _pairs(home: Path, part: str) -> list[Pair]:
    files = (home / "leftImg8bit" / part).glob("*/*_leftImg8bit.png")
    return [_pair(home, part, path) for path in sorted(files, key=lambda p: natural_key(p.name))]


def _pair(home: Path, part: str, image: Path) -> Pair:
    name = image.name.removesuffix("_leftImg8bit.png")
    beside = home / "gtFine" / part / image.parent.name
    ids = beside / f"{name}_gtFine_instanceIds.png"
    polygons = beside / f"{name}_gtFine_polygons.json"
    return Pair(name, image, polygons if polygons.is_file() and not ids.is_file() else ids)


def _read_ids(path: Path) -> LabelMap:
    return _draw_polygons(path) if path.suffix == ".json" else read_labels(path)


def _class_table() -> LabelMap:
    """The class 1..19 of each label id 0..33, -1 for labels that are not evaluated."""
    table = np.full(34, -1, np.int64)
    table[list(_IDS.values())[:_EVALUATED]] = np.arange(1, _EVALUATED + 1)
    return table


def _decode_ids(ids: LabelMap, path: Path) -> tuple[LabelMap, LabelMap, LabelMap]:
    """Decode instance ids to labels `(H, W)`, semantic `(H, W)` and object classes `(K,)`."""
    single = ids >= 1000
    numbers = np.where(single, ids // 1000, ids)
    if int(ids.min()) < 0 or int(numbers.max()) > 33:
        wrong = int(ids.min()) if int(ids.min()) < 0 else int(ids[numbers > 33][0])
        raise CongealError(f"expected Cityscapes ids 0 to 33 or from 24000, {path} has {wrong}")
    table = _class_table()
    semantic = table[numbers]
    grouped = np.isin(numbers, _WITH_INSTANCES) & ~single
    labels = relabel(np.where(single, ids, np.where(grouped | (semantic < 0), -1, 0)))
    return labels, semantic, table[np.unique(ids[single]) // 1000]


def cityscapes_ids(labels: LabelMap, semantic: LabelMap, classes: LabelMap) -> LabelMap:
    """Encode objects and classes as ids of the official files, for the official tools.

    Args:
        labels: objects 1..K, 0 background, -1 void or a group, `(H, W)`.
        semantic: class ids 1..19, 0 or -1 without class, `(H, W)`.
        classes: class of each object, `(K,)`; class -1 becomes caravan (caravans and trailers are
            not evaluated).

    Returns:
        `(H, W)`: 1000 * label id + k for object k (from 0) of a class, the label id for other
        pixels, 0 without class.

    Example:
        >>> row = np.array([[1, 2, 0, -1, -1]]), np.array([[14, 14, 1, 14, -1]])
        >>> cityscapes_ids(*row, np.array([14, 14])).tolist()
        [[26000, 26001, 7, 26, 0]]
    """
    official = np.array(CityscapesDataset.class_ids, np.int64)
    ids = official[np.maximum(semantic, 0)]
    for k, c in enumerate(classes.tolist()):
        before = int((classes[:k] == c).sum())
        ids[labels == k + 1] = 1000 * (official[c] if c > 0 else _IDS["caravan"]) + before
    return ids


def _draw_polygons(path: Path) -> LabelMap:
    """Rasterise the polygons in file order, later ones over earlier ones."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        canvas = Image.new("I", (int(content["imgWidth"]), int(content["imgHeight"])), 0)
        for number, polygon in _numbered(content["objects"]):
            ImageDraw.Draw(canvas).polygon([(x, y) for x, y in polygon], fill=number)
    except OSError as error:
        raise CongealError(f"cannot read {path}: {error.strerror or error}") from error
    except CongealError as error:
        raise CongealError(f"expected Cityscapes labels in {path}, got {error}") from error
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        reason = " ".join(str(error).split())[:80]
        raise CongealError(f"expected Cityscapes polygons, {path} is damaged ({reason})") from error
    return np.array(canvas).astype(np.int64)


def _numbered(objects: list[dict[str, Any]]) -> Iterator[tuple[int, list[list[float]]]]:
    """Polygons with their fill values: the instance id, or the label id without instances."""
    counts = dict.fromkeys(_IDS.values(), 0)
    for entry in objects:
        name = str(entry["label"])
        group = name not in _IDS and name.endswith("group")
        number = _IDS.get(name.removesuffix("group") if group else name)
        if number is None:
            raise CongealError(repr(name))
        if number < 0 or entry.get("deleted"):
            continue
        if number in _WITH_INSTANCES and not group:
            counts[number] += 1
            number = 1000 * number + counts[number] - 1
        yield number, entry["polygon"]
