"""The stream of training samples: each one a pure function of the seed and its number."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import Sampler, get_worker_info

from congeal.data.batch import MAPS, Batch
from congeal.data.intensity import scale_intensity
from congeal.data.sample import Dataset, Sample
from congeal.data.transforms import Augment
from congeal.data.zoom import magnification, zoom_image, zoom_labels
from congeal.errors import CongealError
from congeal.labels import areas, relabel
from congeal.metrics.boundary_matching import corner_boundaries
from congeal.training.read_ahead import ReadAhead

__all__ = [
    "DrawSampler",
    "Loaded",
    "TrainStream",
    "seeded_generator",
    "spread_draws",
    "start_worker",
]

LARGEST = 2**24  # number of an object that stays exact where a transform takes it through float32


def seeded_generator(*numbers: int) -> torch.Generator:
    """A generator whose seed depends on all the numbers.

    Example:
        >>> a, b = seeded_generator(0, 1), seeded_generator(0, 2)
        >>> bool(torch.rand((), generator=a) == torch.rand((), generator=b))
        False
    """
    seed = 0
    for number in numbers:  # a multiplicative hash keeps neighbours far apart
        seed = (seed * 6364136223846793005 + number * 1442695040888963407 + 1) % 2**63
    return torch.Generator().manual_seed(seed)


@dataclass(frozen=True)
class Loaded:
    """A decoded image with its maps, as the cache holds it.

    Attributes:
        image: ``(3, H, W)``, or ``(1, H, W)`` where the channels are equal.
        planes: ``(1 + S + A, H, W)``: labels, the semantic map if there is one, then what each of
            A annotators drew.
        classes: ``(K + 1,)`` class of each label, background first; None where the semantic map
            is among the planes.
        drawn: whether annotators drew boundaries, not segments.
    """

    image: Tensor
    planes: Tensor
    classes: Tensor | None
    drawn: bool = False

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return sum(t.numel() * t.element_size() for t in (self.image, self.planes))


class TrainStream(TorchDataset[Batch]):
    """An endless stream of augmented crops with their maps, addressed by number.

    Every image comes once in the first round. In later ones those with more objects come more
    often, if asked for: scores count objects, not images. Each round has an order of its own. As
    nothing depends on what came before, workers, restarts and numbers of machines change nothing
    about sample n.

    Without workers a thread makes the next samples while the network is busy.

    Args:
        dataset: of images and labels.
        transform: the augmentation.
        seed: of order and augmentation.
        cache_gb: memory for decoded images, over all workers together; with none, an image is
            read when its sample is asked for and not before.
        zoom: size at which images are kept and shown, relative.
        magnify: pixels; images whose median object has fewer, zoomed, are shown larger, as at
            prediction (:func:`congeal.data.zoom.magnification`).
        crowding: how often an image comes, in proportion to this power of the number of its
            objects; with 0 all come equally often. Above it, each process reads all images once.
        workers: processes that share it.
        ahead: how many samples the thread makes in advance.
        step: from one sample asked for to the next.
        maps: of :class:`congeal.data.Batch` that are wanted.
        semantic: whether the semantic map is of objects, or of all pixels that have a class.
    """

    def __init__(
        self,
        dataset: Dataset,
        transform: Augment,
        *,
        seed: int = 0,
        cache_gb: float = 4.0,
        zoom: float = 1.0,
        magnify: float = 0.0,
        crowding: float = 0.0,
        workers: int = 0,
        ahead: int = 16,
        step: int = 1,
        maps: Sequence[str] = ("labels", "semantic"),
        semantic: Literal["objects", "pixels"] = "objects",
    ) -> None:
        self.dataset = dataset
        self.maps = {name: name in maps for name in MAPS}
        self.semantic = semantic
        self.transform = transform
        self.seed = seed
        self.budget = cache_gb * 2**30 / max(workers, 1)
        self.ahead = 0 if workers or not cache_gb else ahead
        self.step = step
        self.zoom = zoom
        self.magnify = magnify
        self.crowding = crowding
        self.objects: dict[int, int] = {}  # in each image read, where it matters
        self.cache: dict[int, Loaded] = {}
        self.reader = ReadAhead(self._make)
        self._round = lru_cache(maxsize=2)(self._order)

    def _order(self, number: int) -> list[int]:
        generator = seeded_generator(self.seed, number, 1)
        order = torch.randperm(len(self.dataset), generator=generator)
        if self.crowding and number:
            objects = [self._count(index) for index in range(len(self.dataset))]
            weights = torch.tensor(objects).clamp_min(1).double() ** self.crowding
            order = spread_draws(weights, generator)[order]
        drawn: list[int] = order.tolist()
        return drawn

    def _count(self, index: int) -> int:
        if index not in self.objects:
            self._load(index)
        return self.objects[index]

    def __getstate__(self) -> dict[str, object]:
        state = dict(self.__dict__)
        del state["_round"]  # a bound cache does not travel to workers
        return state

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._round = lru_cache(maxsize=2)(self._order)

    def __getitem__(self, draw: int) -> Batch:
        """Draw number ``draw``, a batch of one crop."""
        if not self.ahead:
            return self._make(draw)
        last = draw + self.step * self.ahead
        return self.reader.take(draw, range(draw + self.step, last + 1, self.step))

    def _make(self, draw: int) -> Batch:
        number, place = divmod(draw, len(self.dataset))
        loaded = self._load(self._round(number)[place])
        image = loaded.image.expand(3, -1, -1)  # gray is kept once
        planes = loaded.planes
        if self.maps["location"]:
            planes = torch.cat([planes, _pixel_numbers(planes)])
        height, width = planes.shape[1:]
        image, planes = self.transform(image, planes, seeded_generator(self.seed, draw, 2))
        return self._batch(image, planes, loaded, (height, width))

    def _batch(self, image: Tensor, planes: Tensor, loaded: Loaded, size: tuple[int, int]) -> Batch:
        """Name the planes ``(M, h, w)`` after the augmentation."""
        labels, rest = planes[0], planes[1:]
        semantic = boundaries = location = None
        if self.maps["location"]:
            location, rest = _location(rest[-1], size), rest[:-1]
        if self.maps["semantic"] and loaded.classes is not None:
            semantic = loaded.classes[labels.clamp_min(0)].masked_fill(labels < 0, -1)
        elif self.maps["semantic"]:
            semantic, rest = rest[0], rest[1:]
        if self.maps["boundaries"]:
            boundaries = _boundary_share(rest if len(rest) else labels[None], loaded.drawn)
        made = (labels if self.maps["labels"] else None, semantic, boundaries, location)
        return Batch(image[None], *(None if one is None else one[None] for one in made))

    def _load(self, index: int) -> Loaded:
        if index in self.cache:
            return self.cache[index]
        loaded = self._shown(load_sample(self.dataset[index], self.maps, self.semantic))
        if self.crowding:
            self.objects[index] = len(areas(loaded.planes[0].numpy())[0])
        if loaded.nbytes <= self.budget:
            self.budget -= loaded.nbytes
            self.cache[index] = loaded
        return loaded

    def _shown(self, loaded: Loaded) -> Loaded:
        """At the size that the network sees, in half precision: 11 bits of intensity."""
        zoom = self._zoom(loaded.planes[0])
        image, planes = zoom_image(loaded.image, zoom), zoom_labels(loaded.planes, zoom)
        if (image == image[:1]).all():
            image = image[:1]
        return Loaded(image.half(), planes.int(), loaded.classes, loaded.drawn)

    def _zoom(self, labels: Tensor) -> float:
        if not self.magnify:
            return self.zoom
        shown = self.zoom**2  # pixels for each of the image
        found = areas(labels.numpy())[1] * shown
        return self.zoom * magnification(found, self.magnify, shown * labels.numel())


def spread_draws(weights: Tensor, generator: torch.Generator) -> Tensor:
    """As many draws as there are weights, each index as often as its share of them.

    The share is rounded up or down by chance, so that over many rounds it is met.

    Args:
        weights: ``(N,)`` above 0, float64.
        generator: gives the chance.

    Returns:
        ``(N,)`` indices, ascending.

    Example:
        >>> spread_draws(torch.tensor([1.0, 3.0, 1e-9, 1e-9]).double(), torch.Generator()).tolist()
        [0, 1, 1, 1]
    """
    ends = weights.cumsum(0) * (len(weights) / weights.sum())
    start = torch.rand((), generator=generator, dtype=torch.float64)
    marks = torch.arange(len(weights)) + start  # one in each stretch of length one
    return torch.searchsorted(ends, marks, right=True).clamp_max(len(weights) - 1)


def load_sample(
    sample: Sample,
    maps: Mapping[str, bool] | None = None,
    semantic: Literal["objects", "pixels"] = "objects",
) -> Loaded:
    """Network input and maps of a sample.

    Args:
        sample: to be shown.
        maps: which are wanted; None: labels and semantic.
        semantic: whether the semantic map is of objects, or of all pixels that have a class.

    Raises:
        CongealError: image and labels differ in size.
    """
    image = scale_intensity(sample.image)
    if image.shape[1:] != sample.labels.shape:
        raise CongealError(
            f"expected labels of {tuple(image.shape[1:])} pixels for {sample.name}, "
            f"got {sample.labels.shape}"
        )
    wanted = maps or {"labels": True, "semantic": True}
    labels = sample.labels
    classes: Tensor | None = torch.from_numpy(_label_classes(sample))
    if labels.max(initial=0) > LARGEST:
        labels, classes = relabel(labels), classes
    planes = [labels]
    if wanted.get("semantic") and semantic == "pixels" and sample.semantic is not None:
        planes, classes = [labels, sample.semantic], None
    drawn = bool(sample.boundaries) and not sample.annotations
    if wanted.get("boundaries"):
        planes += [np.asarray(one, np.int64) for one in sample.boundaries if drawn]
        planes += sample.annotations
    return Loaded(image, torch.from_numpy(np.stack(planes)), classes, drawn)


def _label_classes(sample: Sample) -> NDArray[np.int64]:
    """``(K + 1,)`` class of each label, 0 for background, -1 where an object has none."""
    highest = int(sample.labels.max(initial=0))
    if sample.classes is None:
        count = highest if highest <= LARGEST else len(areas(sample.labels)[0])
        return np.concatenate([[0], np.ones(count, np.int64)]).astype(np.int64)
    return np.concatenate([[0], sample.classes]).astype(np.int64)


def _pixel_numbers(planes: Tensor) -> Tensor:
    """``(1, H, W)`` number of each pixel: moved with the labels, it says where a pixel was."""
    height, width = planes.shape[1:]
    return torch.arange(height * width, dtype=planes.dtype).reshape(1, height, width)


def _location(number: Tensor, size: tuple[int, int]) -> Tensor:
    """``(2, h, w)`` y and x in [0, 1) of pixels by number; -1 beyond the image."""
    height, width = size
    known = number.clamp_min(0)
    y, x = known // width, known % width
    place = torch.stack([(y + 0.5) / height, (x + 0.5) / width])
    return place.masked_fill(number < 0, -1.0)


def _boundary_share(drawn: Tensor, are_boundaries: bool) -> Tensor:
    """``(h, w)`` share of annotators with a boundary at the pixel, -1 beyond the image.

    Segments are moved, and their boundaries found afterwards: thin lines would be lost where an
    image is shown smaller.
    """
    if are_boundaries:
        marks = drawn > 0
    else:
        marks = torch.from_numpy(np.stack([corner_boundaries(one.numpy()) for one in drawn]))
    return marks.float().mean(0).masked_fill(drawn[0] < 0, -1.0)


class DrawSampler(Sampler[int]):
    """The numbers of one epoch's draws, shared out over processes.

    They follow on from all that were drawn before, also when an epoch was broken off in the
    middle and the training is resumed.

    Args:
        draws: per epoch and process.
        rank: of this process.
        world: number of processes.
        before: gives the draws of each process before this epoch, at its start.

    Example:
        >>> list(DrawSampler(2, rank=1, world=2, before=lambda: 2))
        [5, 7]
    """

    def __init__(
        self, draws: int, rank: int = 0, world: int = 1, before: Callable[[], int] = int
    ) -> None:
        self.draws = draws
        self.rank = rank
        self.world = world
        self.before = before

    def __len__(self) -> int:
        return self.draws

    def __iter__(self) -> Iterator[int]:
        first = self.before() * self.world + self.rank
        return iter(range(first, first + self.draws * self.world, self.world))


def start_worker(_: int) -> None:
    """Keep a loader process from taking the threads of the training, and from ending at Ctrl-C.

    The terminal sends Ctrl-C to all processes; it is for the training to end in good order.
    """
    if get_worker_info() is not None:
        torch.set_num_threads(1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
