"""The stream of training samples: sample n is a pure function of (seed, n).

Flow: number of a draw -> round and position -> image of the dataset (cached) -> random crop and
augmentation -> batch of one. :class:`DrawSampler` divides the numbers over processes.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import Sampler, get_worker_info

from congeal.data.batch import MAPS, Batch, TrainingImage, check_maps
from congeal.data.sample import Dataset
from congeal.data.transforms import Augment
from congeal.data.zoom import magnification
from congeal.errors import CongealError
from congeal.labels import areas
from congeal.training.read_ahead import ReadAhead

__all__ = ["DrawSampler", "TrainStream", "seeded_generator", "spread_draws", "start_worker"]


def seeded_generator(*numbers: int) -> torch.Generator:
    """A CPU generator seeded by a hash of all the numbers.

    Example:
        >>> a, b = seeded_generator(0, 1), seeded_generator(0, 2)
        >>> bool(torch.rand((), generator=a) == torch.rand((), generator=b))
        False
    """
    seed = 0
    for number in numbers:  # linear congruential steps: nearby numbers give distant seeds
        seed = (seed * 6364136223846793005 + number * 1442695040888963407 + 1) % 2**63
    return torch.Generator().manual_seed(seed)


class TrainStream(TorchDataset[Batch]):
    """An endless stream of augmented crops, addressed by the number of the draw.

    A round has as many draws as the dataset has images, in a random order of its own. In the first
    round each image is drawn once. In later rounds images with more objects may be drawn more often
    (``object_sampling_power``), because scores count objects, not images. Draw n depends on the
    seed and n only, so it is the same for any number of workers or machines and after a restart.

    Without workers a thread prepares the next samples while the network computes.

    Args:
        dataset: images with ground truth.
        transform: augmentation.
        seed: seed of order and augmentation.
        cache_gb: memory for decoded images in GiB, divided over the workers; 0: no cache and no
            preparing thread.
        scale: relative size to which images are resized before they are cached.
        min_object_area: in pixels after scaling; images with a smaller median object are enlarged,
            as in prediction (:func:`congeal.data.zoom.magnification`).
        object_sampling_power: images are drawn in proportion to (number of objects)^power; 0: all
            equally often. Above 0, each process first reads all images once.
        workers: number of loader processes.
        ahead: number of samples that the thread prepares in advance.
        step: difference between the numbers of successive draws of this process.
        maps: ground truth maps of the batches: labels, semantic, boundaries, location. Crops do
            not depend on it.
        objects_only: restrict semantic maps to the classes of objects.
        percentiles: percentiles of the intensities that become 0 and 1.
        input_channels: number of channels of the network's input; None: any number.

    Raises:
        CongealError: unknown name in ``maps``; on access: an image has another number of channels
            than ``input_channels``.

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
        input_channels: int | None = None,
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
        self.input_channels = input_channels
        self.scale = scale
        self.min_object_area = min_object_area
        self.object_sampling_power = object_sampling_power
        self.objects: dict[int, int] = {}  # number of objects by image, if needed for sampling
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
        indices: list[int] = order.tolist()
        return indices

    def _count(self, index: int) -> int:
        if index not in self.objects:
            self._load(index)
        return self.objects[index]

    def __getstate__(self) -> dict[str, object]:
        state = dict(self.__dict__)
        del state["_round"]  # the cache of a bound method cannot be pickled for workers
        return state

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._round = lru_cache(maxsize=2)(self._order)

    def __getitem__(self, draw: int) -> Batch:
        """Sample number ``draw`` as a batch of one; :meth:`Batch.collate` joins several."""
        if not self.ahead:
            return self._make(draw)
        last = draw + self.step * self.ahead
        return self.reader.take(draw, range(draw + self.step, last + 1, self.step))

    def _make(self, draw: int) -> Batch:
        number, position = divmod(draw, len(self.dataset))
        image = self._load(self._round(number)[position])
        return image.draw(self.transform, seeded_generator(self.seed, draw, 2), self.maps)

    def _load(self, index: int) -> TrainingImage:
        if index in self.cache:
            return self.cache[index]
        sample = self.dataset[index]
        image = TrainingImage.from_sample(
            sample, self.maps, objects_only=self.objects_only, percentiles=self.percentiles
        )
        if self.input_channels not in (None, len(image.image)):
            raise CongealError(
                f"expected {self.input_channels} channels for the network, got "
                f"{sample.image.shape[2]} in {sample.path or sample.name}; choose with --channels"
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
        area_scale = self.scale**2
        object_areas = areas(labels.numpy())[1] * area_scale
        image_area = area_scale * labels.numel()
        return self.scale * magnification(object_areas, self.min_object_area, image_area)


def spread_draws(weights: Tensor, generator: torch.Generator) -> Tensor:
    """Systematic sampling: N indices, index i about N w_i / sum(w) times.

    Each count is that number rounded down or up, at random with the right expectation.

    Args:
        weights: ``(N,)`` float64, above 0.
        generator: source of randomness.

    Returns:
        ``(N,)`` int64 indices, ascending.

    Example:
        >>> spread_draws(torch.tensor([1.0, 3.0, 1e-9, 1e-9]).double(), torch.Generator()).tolist()
        [0, 1, 1, 1]
    """
    ends = weights.cumsum(0) * (len(weights) / weights.sum())
    start = torch.rand((), generator=generator, dtype=torch.float64)
    marks = torch.arange(len(weights)) + start  # one in each interval of length 1
    return torch.searchsorted(ends, marks, right=True).clamp_max(len(weights) - 1)


class DrawSampler(Sampler[int]):
    """The numbers of the draws of an epoch for one of several processes.

    Numbers continue from those of earlier epochs, also when a training is resumed in the middle of
    an epoch.

    Args:
        draws: number of draws per epoch and process.
        rank: rank of this process.
        world: number of processes.
        before: returns the number of draws that each process made before this epoch.

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
    """Set up a loader process: one thread, and Ctrl-C ignored.

    The terminal sends Ctrl-C to all processes; the training process ends the loaders itself.
    """
    if get_worker_info() is not None:
        torch.set_num_threads(1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
