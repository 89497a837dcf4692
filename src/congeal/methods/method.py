"""What a method is: settings, a network with its losses, and decoding of its maps into objects.

Training, resuming, validation, tuning, evaluation, saving, the command line and the report know
this class only, never a method by name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from congeal.data.batch import Batch
from congeal.data.measures import TrainingSurvey
from congeal.data.sample import Dataset
from congeal.errors import CongealError, unknown
from congeal.methods.image import evaluation_mode
from congeal.methods.maps import ImageStatistics, MapPrediction
from congeal.methods.sections import MethodSettings
from congeal.methods.stage import Stage
from congeal.segmentation import Segmentation
from congeal.tasks import TASKS, Task

__all__ = ["MapPrediction", "Method", "SearchStep", "Stage"]

SearchStep = Callable[[Any, int], Any]
"""Next value of a setting one way (-1) or the other (1); None at the end of its range."""


class Method(nn.Module, ABC):
    """Base of all methods. A subclass builds its network from ``self.config``.

    Args:
        config: all settings, or None for the defaults.
        settings: by path or name, over those of ``config``.

    Raises:
        CongealError: a setting is unknown (the nearest is suggested) or out of range, or the
            method does not do the task.

    Attributes:
        name: by which commands and model folders know the method.
        title: its full name.
        reference: the paper.
        Config: class of its settings.
        tasks: names of the tasks it does; the first is the default.
        siblings: classes that do further tasks under the same name: ``module:class`` by task.
        couples_batch: the loss compares images of a batch, so no batch may be split over replicas.
        search_space: decoding settings that tuning varies, and how; all of them can be decoded
            from the same maps. What gains most comes first, since time may end the search.
        presets: settings by path, those of training too (``training.epochs``), by preset.
        variable_buffers: names of buffers whose size is not known before loading, or which a
            folder may hold beyond those of a fresh model.
        fitted_images: training images that :meth:`finish` needs before a validation; 0: none.
        starts: by task, the model that ships whose weights a training begins with by default.
        learns_unlabelled: some settings learn from images alone.
        on_request: maps that a result has only where a setting is on, and the path of that setting.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    reference: ClassVar[str]
    Config: ClassVar[type[MethodSettings]]
    tasks: ClassVar[tuple[str, ...]]
    siblings: ClassVar[Mapping[str, str]] = {}
    couples_batch: ClassVar[bool] = False
    search_space: ClassVar[Mapping[str, SearchStep]] = {}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"fast": {}, "paper": {}}
    variable_buffers: ClassVar[tuple[str, ...]] = ()
    fitted_images: ClassVar[int] = 0
    starts: ClassVar[Mapping[str, str]] = {}
    learns_unlabelled: ClassVar[bool] = False
    on_request: ClassVar[Mapping[str, str]] = {}

    config: Any

    def __init__(self, config: MethodSettings | None = None, **settings: Any) -> None:
        super().__init__()
        base = config if config is not None else self.default_config()
        if not isinstance(base, self.Config):
            kind = type(base).__name__
            raise CongealError(
                f"expected settings of {self.name} ({self.Config.__name__}), got {kind}"
            )
        self.config = base.updated(settings)
        if self.config.task not in self.tasks:
            raise unknown(f"task of {type(self).__name__}", self.config.task, self.tasks)

    def __repr__(self) -> str:
        """Name, task and size; ``named_children`` has the layers."""
        count = sum(parameter.numel() for parameter in self.parameters())
        return f"{type(self).__name__}({self.config.task}, {count:,} parameters)"

    @classmethod
    def default_config(cls) -> MethodSettings:
        """Settings when nothing is said, for the first of the method's tasks."""
        return cls.Config(task=cls.tasks[0])  # type: ignore[arg-type]

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Make the model that stored settings describe, without fetching or reading any weights."""
        return cls(cls.default_config().updated({**settings}).updated(cls._without_weights()))

    @classmethod
    def _without_weights(cls) -> dict[str, Any]:
        told = {"network.pretrained": False, "network.encoder_weights": None}
        return {path: value for path, value in told.items() if path in cls.Config.leaves()}

    @property
    def task(self) -> Task:
        """The task that the model is for."""
        return TASKS[self.config.task]

    @property
    def settings(self) -> dict[str, Any]:
        """All settings by section, ready for JSON; of a file of weights its name only."""
        dumped: dict[str, Any] = self.config.model_dump(mode="json")
        network = dumped.get("network", {})
        if network.get("encoder_weights"):
            network["encoder_weights"] = Path(network["encoder_weights"]).name
        return dumped

    @property
    def divisor(self) -> int:
        """What the sides of a training crop must be divisible by."""
        return 1

    @property
    def scale(self) -> float:
        """Relative size at which the network sees images, in training too."""
        return float(self._input("scale", 1.0))

    @property
    def min_object_area(self) -> float:
        """Images with smaller objects are shown upscaled, in training too; 0: never."""
        return float(self._input("min_object_area", 0.0))

    @property
    def percentiles(self) -> tuple[float, float]:
        """Intensities that become 0 and 1, in training too."""
        low, high = self._input("percentiles", (1.0, 99.8))
        return low, high

    @property
    def channels(self) -> tuple[int, ...] | None:
        """Channels of the images that the network is shown, in this order; None: gray or RGB."""
        chosen: tuple[int, ...] | None = self._input("channels", None)
        return chosen

    @property
    def planes(self) -> int | None:
        """Channels of the network's input; None: the method takes any number."""
        count: int | None = self._input("planes", None)
        return count

    def _input(self, name: str, usual: Any) -> Any:
        """A setting on how images are shown; the usual value where a method has no such section."""
        return getattr(getattr(self.config, "input", None), name, usual)

    @property
    def context(self) -> float | None:
        """Radius in pixels within which objects need to differ; None: the whole image."""
        return None

    @property
    def wanted_maps(self) -> tuple[str, ...]:
        """Maps of a batch that the losses read: labels, semantic, boundaries, location."""
        return ("labels", "semantic")

    @property
    def needs_truth(self) -> bool:
        """Whether these settings learn from what the task names, not from images alone."""
        return True

    def prepare(self, dataset: Dataset) -> Dataset:
        """The images that the losses see, made of the training images; mostly as they are."""
        return dataset

    def encoder_parameters(self) -> Iterable[nn.Parameter]:
        """Parameters that learn at the rate of the encoder."""
        return ()

    @property
    def default_optimizer(self) -> str:
        """Optimiser for a training that names none: Muon for the compact encoder, else AdamW.

        In equal time the compact network learned more by Muon, on drawn sticks and on nuclei.
        With a pretrained encoder the two were alike on nuclei. Muon costs more for large matrices.
        """
        leaves = self.Config.leaves()
        compact = "network.encoder" in leaves and self.config.network.encoder == "compact"
        return "muon" if compact else "adamw"

    @classmethod
    def suggest(cls, survey: TrainingSurvey) -> dict[str, Any]:
        """Choose settings by a survey of the training images; what is not chosen keeps its default.

        Args:
            survey: sizes, objects and classes of a sample of the training images.

        Returns:
            Settings by path.

        Raises:
            CongealError: the data does not hold what the method learns from.
        """
        del survey
        return {}

    @classmethod
    def why_no_start(cls, survey: TrainingSurvey) -> str | None:
        """Why the model that :attr:`starts` names would not help with these images; mostly None."""
        del survey
        return None

    @classmethod
    def adapt(cls, survey: TrainingSurvey, base: Any) -> dict[str, Any]:
        """Choose settings that go over those of a model which a training starts from.

        Args:
            survey: of the training images.
            base: settings of the model.

        Returns:
            Settings by path; what is not chosen stays as the model has it.
        """
        del survey, base
        return {}

    def translate_weights(self, start: Method) -> Mapping[str, Tensor]:
        """Weights of a model to start from that take another shape here, such as those of classes.

        Args:
            start: the model; of this method or another.

        Returns:
            Weights by their names in this model; they go over those that fit as they are.
        """
        del start
        return {}

    def stages(self) -> tuple[Stage, ...]:
        """Parts of the training, in order; their shares add up to 1."""
        return (Stage(),)

    @abstractmethod
    def losses(
        self,
        batch: Batch,
        *,
        stage: str = "training",
        progress: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """The weighted terms of the training loss; their sum is minimised, each is logged.

        Args:
            batch: images with the maps of :attr:`wanted_maps`.
            stage: name of the stage, of :meth:`stages`.
            progress: share of the stage that is done, 0 to 1.
            generator: source of chance.
        """

    def note(self, progress: float) -> str:
        """A few words for the progress bar on what to expect at this point; mostly none."""
        del progress
        return ""

    def finish(
        self, dataset: Dataset, on_image: Callable[[int, int], None] = lambda done, total: None
    ) -> None:
        """Fit what is not learnt by gradient, on training images, after the last step.

        Args:
            dataset: training images; before a validation some of them.
            on_image: called with the number of images done and their count.
        """

    def fitted_values(self) -> Mapping[str, float]:
        """What :meth:`finish` has fitted, by name, for the card; mostly nothing."""
        return {}

    def predict_maps(
        self, image: NDArray[Any], statistics: ImageStatistics | None = None
    ) -> MapPrediction:
        """Run the network on one image ``(H, W)``, ``(H, W, 1)`` or ``(H, W, 3)`` of any size.

        The model is in evaluation mode meanwhile, and several threads may predict at once.

        Args:
            image: any real type.
            statistics: of the whole image, where this is a part of one.

        Raises:
            CongealError: the array is no image.
        """
        with torch.inference_mode(), evaluation_mode(self):
            if statistics is None:
                return self.compute_maps(image)
            return replace(self.compute_maps(image, statistics), statistics=statistics)

    @abstractmethod
    def compute_maps(
        self, image: NDArray[Any], statistics: ImageStatistics | None = None
    ) -> MapPrediction:
        """What :meth:`predict_maps` does, in evaluation mode and without gradients.

        What is measured on an image and not learnt is taken from ``statistics`` where given.
        """

    def object_areas(self, maps: MapPrediction) -> NDArray[Any]:
        """Areas ``(K,)`` of the objects, about; by their median an image is shown upscaled."""
        return self.decode(maps).areas

    def comparable_labels(self, maps: MapPrediction) -> NDArray[Any] | None:
        """Label map whose median area decides what :meth:`decode` takes for a fragment, if any.

        None, as mostly, where no object is judged by the others of its image.
        """
        del maps
        return None

    @abstractmethod
    def decode(self, maps: MapPrediction, *, keep_embedding: bool = False) -> Segmentation:
        """Turn the maps of an image into a result, by the decoding settings in force.

        Args:
            maps: of :meth:`predict_maps`.
            keep_embedding: let the result carry its embedding, for pictures.
        """

    def effective(self, path: str) -> Any:
        """What the method takes for a setting of the search space that is left open (none)."""
        raise CongealError(f"{self.name} has no value for {path} that is left open")

    def segment(self, image: NDArray[Any], *, keep_embedding: bool = False) -> Segmentation:
        """Predict the maps of one image and decode them.

        Args:
            image: ``(H, W)``, ``(H, W, 1)`` or ``(H, W, 3)``, any real type.
            keep_embedding: let the result carry its embedding, for pictures.

        Raises:
            CongealError: the array is no image.
        """
        return self.decode(self.predict_maps(image), keep_embedding=keep_embedding)

    def illustrate(self, image: NDArray[Any]) -> list[tuple[str, NDArray[Any]]]:
        """Pictures of how the result of an image came about, for a report; mostly none.

        Args:
            image: as for :meth:`segment`.

        Returns:
            Title and picture ``(h, w, 3)`` uint8 of each step between image and result.
        """
        del image
        return []

    def configure(self, **settings: Any) -> Self:
        """Change settings that may change after training, in place.

        Raises:
            CongealError: a setting is unknown, out of range, or fixed by the training.
        """
        adjustable = {path for path, leaf in self.Config.leaves().items() if leaf.adjustable}
        changed = {self.Config.path_of(name): value for name, value in settings.items()}
        for path in changed:
            if not any(path == one or path.startswith(one + ".") for one in adjustable):
                raise unknown("setting that may change after training", path, adjustable)
        self.config = self.config.updated(changed)
        return self

    def request(self, *maps: str) -> Self:
        """Let results carry maps that they have on request only; others are passed over."""
        wanted = {path: True for name, path in self.on_request.items() if name in maps}
        return self.configure(**wanted)

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Load weights; buffers of variable size take the size of what is loaded.

        PyTorch calls it also where the method is part of a larger module, as in a training.
        """
        for name in self.variable_buffers:
            if prefix + name in state_dict:
                path, _, last = name.rpartition(".")
                home = self.get_submodule(path)
                like = getattr(home, last)
                stored = state_dict[prefix + name]
                setattr(home, last, torch.empty_like(stored, dtype=like.dtype, device=like.device))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
