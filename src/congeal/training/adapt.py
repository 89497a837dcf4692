"""Settings that follow from the training images, for those who do not want to set them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from congeal.data.intensity import scale_intensity
from congeal.data.sample import Dataset, Sample
from congeal.data.zoom import magnification, zoomed_size
from congeal.errors import CongealError
from congeal.grouping.components import on_edge
from congeal.labels import relabel
from congeal.methods.rpe import RPE
from congeal.training.config import LARGEST_CROP

__all__ = ["suggest_crop", "suggest_crowding", "suggest_settings"]

LOOKED_AT = 64  # images
MEASURED = 16  # images whose size is looked at
CROWD = 24  # objects in an image beyond which far-apart objects share directions
LARGE = 96  # extent of objects, in pixels, beyond which they are shown smaller
TYPICAL = 48  # extent that they are shown at then
HAIRLINE = 2.5  # least width of objects, in pixels, in images that are shown smaller
MAGNIFY = 200.0  # area of the median object, in pixels, below which an image is shown larger
COUNTED = 2000  # images, up to which the objects of each are counted
CROWDING = 0.5  # how much more often crowded images are drawn, as a power of their objects
DARK = 0.15  # median intensity, 0..1, under which most of an image is dark ground

# Few long objects: each a direction of its own, told apart by where its line lies. Learning to
# separate comes first, mean shift joins for the last stretch, and modes are read out finely, from
# similarities in four views.
SPARSE = {
    "coordinates": "projected",
    "reach": None,
    "margin": 0.75,
    "samples": 512,
    "shift_from": 0.8,
    "merge": 0.85,
    "read_concentration": 250.0,
    "views": 4,
}


def suggest_settings(dataset: Dataset) -> dict[str, Any]:
    """Look at objects and choose how to see, embed and read them.

    Images are shown to the network smaller where few objects fill a large image, so that a crop
    holds all of it, or where objects are large, so that the network takes them in.

    Crowded images (over 24 objects in the busiest) get a reach of twice the median diameter and
    rotary positions: objects need to differ from their neighbours only. Those of them in which the
    median object has fewer than 200 pixels are shown enlarged. Sparse images keep one
    direction per object and projected coordinates, which suit long objects that cross, and are
    looked at in four views. What is smaller than the smallest hundredth of the objects is taken
    for a fragment (less strictly where few objects hide each other). Images that are mostly dark
    are shown to the network with their dark parts lifted.

    Args:
        dataset: of training images; 64 of them, evenly spread, are read.

    Returns:
        Fields of :class:`congeal.methods.RPEConfig`.

    Raises:
        CongealError: no image has any object.

    Example:
        >>> from congeal.data import open_dataset
        >>> suggest_settings(open_dataset("sticks", "train", count=8))["coordinates"]
        'projected'
    """
    seen = [_measure(sample) for sample in _some(dataset, LOOKED_AT)]
    areas = np.concatenate([one.areas for one in seen])
    if not len(areas):
        raise CongealError(f"expected objects in the training images of {dataset.name}, found none")
    sparse = max(len(one.areas) for one in seen) <= CROWD
    extents = np.concatenate([one.extents for one in seen])
    zoom = _zoom_to_fit(seen) if sparse else _zoom_to_size(float(np.median(extents)))
    smallest = max(4.0, round(zoom**2 * float(np.quantile(areas, 0.01))))
    tone = 0.5 if np.median([one.tone for one in seen]) < DARK else 1.0
    if sparse:
        return {"zoom": zoom, "smallest": max(4.0, round(0.7 * smallest)), "tone": tone, **SPARSE}
    shares = np.concatenate([one.shares for one in seen])
    shown = [zoom * magnification(zoom**2 * one.areas, MAGNIFY) * one.extents for one in seen]
    reach = float(np.clip(2 * np.median(np.concatenate(shown)), 24, 128).round())
    return {
        "zoom": zoom,
        "magnify": MAGNIFY,
        "smallest": smallest,
        "tone": tone,
        "fragment": round(min(0.3, float(np.quantile(shares, 0.03))), 2) if len(shares) else 0.0,
        "least_score": 0.7,
        "coordinates": "rotary",
        "reach": reach,
        "wavelengths": (round(reach / 2, 1), round(2.7 * reach, 1)),
        "holes": True,
    }


@dataclass(frozen=True)
class _Measures:
    """What is worth knowing of one image; lengths in pixels, one entry an object."""

    tone: float  # median intensity
    side: int  # the longer one of the image
    areas: NDArray[np.float64]
    extents: NDArray[np.float64]  # longer side of the box
    widths: NDArray[np.float64]
    shares: NDArray[np.float64]  # of the median area in the image; whole objects only


def _measure(sample: Sample) -> _Measures:
    labels = relabel(np.maximum(sample.labels, 0))
    area = np.bincount(labels.ravel()).astype(float)  # (K + 1,)
    whole = np.ones(len(area), bool)
    whole[on_edge(labels)] = False
    area, whole = area[1:], whole[1:]
    boxes = ndimage.find_objects(labels)
    return _Measures(
        tone=float(scale_intensity(sample.image).median()),
        side=max(labels.shape),
        areas=area,
        extents=np.array([max(s.stop - s.start for s in box) for box in boxes], float),
        widths=_widths(labels, area),
        shares=area[whole] / np.median(area) if len(area) else area,
    )


def _widths(labels: NDArray[np.int64], area: NDArray[np.float64]) -> NDArray[np.float64]:
    """How broad each object is, across: of a strip its width, of a disc half of it.

    Area over half the outline; edges of pixels make an outline 4 / pi times too long on average
    over all directions.
    """
    padded = np.pad(labels, 1)
    edges = np.zeros(len(area) + 1)
    for one, other in ((padded[1:], padded[:-1]), (padded[:, 1:], padded[:, :-1])):
        differ = one != other
        edges += np.bincount(one[differ], minlength=len(edges))
        edges += np.bincount(other[differ], minlength=len(edges))
    widths: NDArray[np.float64] = 2 * area / (np.pi / 4 * edges[1:])
    return widths


def _zoom_to_fit(seen: list[_Measures]) -> float:
    """Show whole images to the network, as far as their objects do not become hairlines."""
    fitting = LARGEST_CROP / float(np.median([one.side for one in seen]))
    width = float(np.median(np.concatenate([one.widths for one in seen])))
    return _round_zoom(max(fitting, HAIRLINE / width))


def _zoom_to_size(extent: float) -> float:
    """Show large objects at a size at which the network takes them in."""
    return _round_zoom(1.0 if extent <= LARGE else TYPICAL / extent)


def _round_zoom(zoom: float) -> float:
    """The nearest 2 / k, k >= 2: embeddings at stride 2 then lie on whole pixels of the image."""
    return round(2 / max(2, round(2 / zoom)), 4)


def suggest_crop(dataset: Dataset, model: RPE, *, small: bool) -> int:
    """Choose the side of the training crops.

    Where each object has a direction of its own, the whole image counts, up to 256 pixels. Where
    far-apart objects share directions, a crop needs room for neighbours within reach and no more:
    in a short training many small crops teach more than few large ones with as many pixels.

    Args:
        dataset: of training images; 16 of them, evenly spread, are read if need be.
        model: to be trained, whose reach and divisor count.
        small: whether to go down to what reach needs, as on a CPU.

    Returns:
        Pixels, a multiple of the model's divisor.

    Example:
        >>> from congeal.data import open_dataset
        >>> suggest_crop(
        ...     open_dataset("sticks", "train", count=2, size=96), RPE(reach=None), small=True
        ... )
        96
    """
    reach = model.config.reach
    if reach is None:
        zoom = model.config.zoom
        sizes = (sample.labels.shape for sample in _some(dataset, MEASURED))
        wanted = float(max(max(zoomed_size(size, zoom)) for size in sizes))
    else:
        wanted = 2.5 * reach if small else LARGEST_CROP
    divisor = model.divisor
    least = max(2 * divisor, 96)
    return divisor * math.ceil(min(max(wanted, least), LARGEST_CROP) / divisor)


def suggest_crowding(dataset: Dataset, model: RPE) -> float:
    """Choose how much more often images of many objects are drawn in training.

    Where far-apart objects share directions, images differ in how many objects they hold, and
    scores are mostly about the full ones. To know them, every image is read.

    Args:
        dataset: of training images, of which none is read here.
        model: to be trained, whose reach counts.

    Returns:
        The power of the number of objects: 0.5, or 0 for few objects or over 2,000 images.

    Example:
        >>> from congeal.data import open_dataset
        >>> suggest_crowding(open_dataset("discs", "train", count=2), RPE(reach=24.0))
        0.5
    """
    return CROWDING if model.config.reach and len(dataset) <= COUNTED else 0.0


def _some(dataset: Dataset, most: int) -> Iterator[Sample]:
    """At most so many samples, evenly spread."""
    for index in np.unique(np.linspace(0, len(dataset) - 1, most).round().astype(int)):
        yield dataset[int(index)]
