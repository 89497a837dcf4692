"""The base class of methods: settings, network, losses, and decoding of maps into objects.

Training, resuming, validation, tuning, evaluation, saving, the command line and the report use this
class only and know no method by name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from congeal.data.batch import Batch
from congeal.data.measures import TrainingSurvey
from congeal.data.sample import Dataset
from congeal.errors import CongealError
from congeal.methods.configured import Configured
from congeal.methods.image import as_array, evaluation_mode
from congeal.methods.maps import ImageStatistics, MapPrediction
from congeal.methods.stage import Stage
from congeal.segmentation import Segmentation

__all__ = ["MapPrediction", "Method", "SearchStep", "Stage"]

SearchStep = Callable[[Any, int], Any]
"""step(value, direction): next value of a setting downwards (-1) or upwards (1); None: no more."""


class Method(Configured, ABC):
    """Base class of all methods. A subclass builds its network from ``self.config``.

    Args:
        config: all settings, or None for the defaults.
        settings: changes to ``config``, by path or by name.

    Raises:
        CongealError: a setting is unknown (the nearest is suggested) or out of range, or the
            class does not do the task.

    Attributes:
        name: name in commands and model folders.
        title: full name.
        reference: authors and year of the paper.
        Config: class of the settings.
        tasks: names of the tasks that this class does; the first is the default.
        siblings: classes for further tasks under the same name, as ``module:class`` by task.
        couples_batch: True if the loss compares images of a batch; such a batch is not split
            over replicas.
        search_space: decoding settings that tuning varies, by path, with their steps. They must
            not change the maps. The most useful come first, because time may end the search.
        presets: settings by path (training settings as ``training.NAME``), by name of the preset.
        variable_buffers: names of buffers that may be missing from, or of another shape than, those
            of a new model.
        fitted_images: number of training images that :meth:`finish` gets before each validation;
            0: it is not called before validations.
        start_models: shipped model whose weights a training starts from by default, by task.
        learns_unlabelled: True if some settings train on images without ground truth.
        on_request: maps that a result has only if a setting is on, with the path of that setting.
    """

    title: ClassVar[str]
    reference: ClassVar[str]
    siblings: ClassVar[Mapping[str, str]] = {}
    couples_batch: ClassVar[bool] = False
    search_space: ClassVar[Mapping[str, SearchStep]] = {}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"fast": {}, "paper": {}}
    fitted_images: ClassVar[int] = 0
    start_models: ClassVar[Mapping[str, str]] = {}
    learns_unlabelled: ClassVar[bool] = False

    @property
    def divisor(self) -> int:
        """The sides of training crops must be multiples of it, in pixels."""
        return 1

    @property
    def context_radius(self) -> float | None:
        """Radius within which objects must have different embeddings, px; None: whole image."""
        return None

    @property
    def wanted_maps(self) -> tuple[str, ...]:
        """Ground truth that the losses read: labels, semantic, boundaries, location."""
        return ("labels", "semantic")

    @property
    def needs_truth(self) -> bool:
        """Whether training with these settings needs the ground truth of the task."""
        return True

    def prepare(self, dataset: Dataset) -> Dataset:
        """Wrap the training dataset, for instance to add ground truth; here it is unchanged.

        Args:
            dataset: training images.
        """
        return dataset

    def encoder_parameters(self) -> Iterable[nn.Parameter]:
        """Parameters that are trained at the learning rate of the encoder."""
        return ()

    @property
    def default_optimizer(self) -> str:
        """Default optimiser: Muon for the compact encoder, else AdamW.

        In equal time the compact network scored higher with Muon on drawn sticks and on nuclei.
        With a pretrained encoder both scored alike on nuclei, and a step of Muon costs more for
        large matrices.
        """
        leaves = self.Config.leaves()
        compact = "network.encoder" in leaves and self.config.network.encoder == "compact"
        return "muon" if compact else "adamw"

    @classmethod
    def suggest(cls, survey: TrainingSurvey) -> dict[str, Any]:
        """Derive settings from a survey of the training images.

        Args:
            survey: image sizes, objects and classes of a sample of the training images.

        Returns:
            Settings by path; all others keep their defaults.

        Raises:
            CongealError: the data lacks the ground truth that the method needs.
        """
        del survey
        return {}

    @classmethod
    def reason_against_start(cls, survey: TrainingSurvey) -> str | None:
        """Reason why the model in :attr:`start_models` does not suit these images; None: it does.

        Args:
            survey: survey of the training images.
        """
        del survey
        return None

    @classmethod
    def adapt(cls, survey: TrainingSurvey, base: Any) -> dict[str, Any]:
        """Derive settings that replace those of the start model.

        Args:
            survey: survey of the training images.
            base: settings of the start model.

        Returns:
            Settings by path; all others stay as in ``base``.
        """
        del survey, base
        return {}

    def translate_weights(self, start: Method) -> Mapping[str, Tensor]:
        """Convert weights of a start model whose shape differs here, such as those of classes.

        Args:
            start: start model, of any method.

        Returns:
            Weights by their names in this model. They replace weights that were copied by name.
        """
        del start
        return {}

    def stages(self) -> tuple[Stage, ...]:
        """Stages of the training in order; their shares must add up to 1."""
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
        """Compute the weighted loss terms; their sum is minimised and each is logged.

        Args:
            batch: images with the maps of :attr:`wanted_maps`.
            stage: name of the current stage, one of :meth:`stages`.
            progress: share of the stage that is done, 0 to 1.
            generator: source of randomness; None: PyTorch's global one.

        Returns:
            Scalar tensors by name.
        """

    def note(self, progress: float) -> str:
        """Short text for the progress bar at this point of the training; here none.

        Args:
            progress: share of the training that is done, 0 to 1.
        """
        del progress
        return ""

    def finish(
        self, dataset: Dataset, on_image: Callable[[int, int], None] = lambda done, total: None
    ) -> None:
        """Fit what is not learnt by gradient descent; called after the last step.

        Args:
            dataset: training images; before a validation only ``fitted_images`` of them.
            on_image: called with the number of images done and their total.
        """

    def fitted_values(self) -> Mapping[str, float]:
        """Values fitted by :meth:`finish`, by name, for the card; here none."""
        return {}

    def predict_maps(
        self, image: NDArray[Any], statistics: ImageStatistics | None = None
    ) -> MapPrediction:
        """Run the network on one image of any size, in evaluation mode, without gradients.

        Several threads may predict at once.

        Args:
            image: ``(H, W)``, ``(H, W, 1)`` or ``(H, W, 3)``, any real type; ``(H, W, C)`` if the
                model was trained with other channels.
            statistics: statistics of the whole image, if ``image`` is a tile.

        Raises:
            CongealError: the array is no image, or has another number of channels.
        """
        image = as_array(image)
        with torch.inference_mode(), evaluation_mode(self):
            if statistics is None:
                return self.compute_maps(image)
            return replace(self.compute_maps(image, statistics), statistics=statistics)

    @abstractmethod
    def compute_maps(
        self, image: NDArray[Any], statistics: ImageStatistics | None = None
    ) -> MapPrediction:
        """Implementation of :meth:`predict_maps`, called in evaluation mode without gradients.

        Args:
            image: as for :meth:`predict_maps`.
            statistics: if given, to be used in place of statistics of ``image``.
        """

    def object_areas(self, maps: MapPrediction) -> NDArray[Any]:
        """Estimated areas ``(K,)`` of the objects in pixels; small ones cause an enlarged image.

        Args:
            maps: output of :meth:`predict_maps`.
        """
        return self.decode(maps).areas

    def comparable_labels(self, maps: MapPrediction) -> NDArray[Any] | None:
        """Label map ``(H, W)`` whose median area :meth:`decode` uses to remove fragments.

        None, as here, if decoding does not compare the objects of an image.

        Args:
            maps: output of :meth:`predict_maps`.
        """
        del maps
        return None

    @abstractmethod
    def decode(self, maps: MapPrediction, *, keep_embedding: bool = False) -> Segmentation:
        """Decode the maps of an image into a result, with the current decoding settings.

        Args:
            maps: output of :meth:`predict_maps`.
            keep_embedding: store the embedding in the result, for pictures.
        """

    def effective(self, path: str) -> Any:
        """Value that the method uses for a setting of the search space that is None.

        Args:
            path: path of the setting.

        Raises:
            CongealError: the method has no such value.
        """
        raise CongealError(f"expected a value for {path} of {self.name}, got none")

    def segment(self, image: NDArray[Any], *, keep_embedding: bool = False) -> Segmentation:
        """Predict the maps of one image and decode them.

        Args:
            image: as for :meth:`predict_maps`.
            keep_embedding: store the embedding in the result, for pictures.

        Raises:
            CongealError: the array is no image, or has another number of channels.
        """
        return self.decode(self.predict_maps(image), keep_embedding=keep_embedding)

    def illustrate(self, image: NDArray[Any]) -> list[tuple[str, NDArray[Any]]]:
        """Pictures of the intermediate steps from an image to its result, for reports; here none.

        Args:
            image: as for :meth:`segment`.

        Returns:
            Title and picture ``(h, w, 3)`` uint8 of each step.
        """
        del image
        return []
