"""The stream of training samples: each one a pure function of the seed and its number."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import Sampler, get_worker_info

from congeal.data.batch import MAPS, Batch, TrainingImage, check_maps
from congeal.data.rescale import magnification
from congeal.data.sample import Dataset
from congeal.data.transforms import Augment
from congeal.errors import CongealError
from congeal.labels import areas
from congeal.training.read_ahead import ReadAhead

__all__ = ["DrawSampler", "TrainStream", "seeded_generator", "spread_draws", "start_worker"]


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


class TrainStream(TorchDataset[Batch]):
    """An endless stream of augmented crops, addressed by number.

    Every image comes once in the first round. In later ones those with more objects come more
    often, if asked for: scores count objects, not images. Each round has an order of its own. As
    nothing depends on what came before, workers, restarts and numbers of machines change nothing
    about sample n.

    Without workers a thread makes the next samples while the network is busy.

    Args:
        dataset: of images with their objects.
        transform: the augmentation.
        seed: of order and augmentation.
        cache_gb: memory for decoded images, over all workers together; with none, an image is
            read when its sample is asked for and not before.
        scale: size at which images are kept and shown, relative.
        min_object_area: pixels; images whose median object has fewer, at this scale, are shown
            larger, as at prediction (:func:`congeal.data.rescale.magnification`).
        object_sampling_power: an image comes in proportion to this power of the number of its
            objects; with 0 all come equally often. Above it, each process reads all images once.
        workers: processes that share it.
        ahead: how many samples the thread makes in advance.
        step: from one sample asked for to the next.
        maps: which of labels, semantic, boundaries and location the batches have; the others
            are not made. It changes nothing about the crops.
        objects_only: let semantic maps hold the classes of objects and nothing else.
        percentiles: intensities that become 0 and 1.
        planes: channels that the network takes; None: any number.

    Raises:
        CongealError: there is no such map.

    Example:
        >>> from congeal.data import open_dataset
        >>> from congeal.data.transforms import TrainTransform
        >>> data = open_dataset("discs", "train", count=2, size=64)
        >>> stream = TrainStream(data, TrainTransform(crop=32), cache_gb=0, maps=["semantic"])
        >>> stream[5].get("semantic").shape
        torch.Size([1, 32, 32])
    """

    def __init__(
        self,
        dataset: Dataset,
        transform: Augment,
        *,
        seed: int = 0,
        cache_gb: float = 4.0,
        scale: float = 1.0,
        min_object_area: float = 0.0,
        object_sampling_power: float = 0.0,
        workers: int = 0,
        ahead: int = 16,
        step: int = 1,
        maps: Sequence[str] = MAPS,
        objects_only: bool = False,
        percentiles: tuple[float, float] = (1.0, 99.8),
        planes: int | None = None,
    ) -> None:
        self.dataset = dataset
        self.transform = transform
        self.seed = seed
        self.budget = cache_gb * 2**30 / max(workers, 1)
        self.ahead = 0 if workers or not cache_gb else ahead
        self.step = step
        self.maps = check_maps(maps)
        self.objects_only = objects_only
        self.percentiles = percentiles
        self.planes = planes
        self.scale = scale
        self.min_object_area = min_object_area
        self.object_sampling_power = object_sampling_power
        self.objects: dict[int, int] = {}  # in each image read, where it matters
        self.cache: dict[int, TrainingImage] = {}
        self.reader: ReadAhead[Batch] = ReadAhead(self._make)
        self._round = lru_cache(maxsize=2)(self._order)

    def _order(self, number: int) -> list[int]:
        generator = seeded_generator(self.seed, number, 1)
        order = torch.randperm(len(self.dataset), generator=generator)
        if self.object_sampling_power and number:
            objects = [self._count(index) for index in range(len(self.dataset))]
            weights = torch.tensor(objects).clamp_min(1).double() ** self.object_sampling_power
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
        """Draw number ``draw``: a batch of one, joined with others by :meth:`Batch.collate`."""
        if not self.ahead:
            return self._make(draw)
        last = draw + self.step * self.ahead
        return self.reader.take(draw, range(draw + self.step, last + 1, self.step))

    def _make(self, draw: int) -> Batch:
        number, place = divmod(draw, len(self.dataset))
        image = self._load(self._round(number)[place])
        return image.draw(self.transform, seeded_generator(self.seed, draw, 2), self.maps)

    def _load(self, index: int) -> TrainingImage:
        if index in self.cache:
            return self.cache[index]
        sample = self.dataset[index]
        image = TrainingImage.from_sample(
            sample, self.maps, objects_only=self.objects_only, percentiles=self.percentiles
        )
        if self.planes not in (None, len(image.image)):
            raise CongealError(
                f"expected {self.planes} channels for the network, {sample.path or sample.name} "
                f"has {sample.image.shape[2]}; choose with --channels"
            )
        image = image.scaled(self._zoom(image.labels)).compact()
        if self.object_sampling_power:
            self.objects[index] = len(areas(image.labels.numpy())[0])
        if image.nbytes <= self.budget:
            self.budget -= image.nbytes
            self.cache[index] = image
        return image

    def _zoom(self, labels: Tensor) -> float:
        if not self.min_object_area:
            return self.scale
        shown = self.scale**2  # pixels for each of the image
        found = areas(labels.numpy())[1] * shown
        return self.scale * magnification(found, self.min_object_area, shown * labels.numel())


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
