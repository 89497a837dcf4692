"""The discriminative loss (De Brabandere et al., 2017) as a method: network, loss, decoding."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from congeal.data.batch import Batch
from congeal.data.measures import TrainingSurvey
from congeal.data.zoom import zoom_image
from congeal.errors import CongealError, unknown
from congeal.grouping.flat_shift import FlatMeanShift
from congeal.grouping.registry import build_grouping
from congeal.losses.discriminative import discriminative_terms
from congeal.methods.companions import load_companion
from congeal.methods.discriminative.config import DiscriminativeConfig
from congeal.methods.discriminative.decoding import InstanceDecoder, SampledFlatShift, labels_by
from congeal.methods.discriminative.network import EmbeddingAndClasses
from congeal.methods.discriminative.search import SEARCH_SPACE
from congeal.methods.discriminative.semantic import class_probabilities, probabilities_of_result
from congeal.methods.discriminative.suggest import suggest_settings
from congeal.methods.image import apply_gamma, pad_to
from congeal.methods.maps import ImageStatistics, MapPrediction
from congeal.methods.method import Method, SearchStep
from congeal.methods.object_size import predict_at_object_size
from congeal.methods.rescale import resample_embedding, resample_map
from congeal.processes import shared_count
from congeal.segmentation import Segmentation

__all__ = ["Discriminative"]


class Discriminative(Method):
    """Instance segmentation with the discriminative loss and mean shift in Euclidean space.

    The network predicts an embedding (not normalised) and a semantic map. The loss pulls pixels to
    within delta_v of the mean of their object and pushes the means of objects of the same class at
    least 2 delta_d apart; background has no embedding loss. Decoding groups the pixels of each
    predicted class by flat-kernel mean shift.

    Source: B. De Brabandere, D. Neven, L. Van Gool, "Semantic Instance Segmentation with a
    Discriminative Loss Function", 2017.

    Example:
        >>> model = Discriminative(dimensions=4)
        >>> result = model.segment(np.zeros((30, 50, 3), np.uint8))
        >>> result.shape
        (30, 50)
    """

    name = "discriminative"
    title = "Discriminative loss"
    reference = "De Brabandere, Neven & Van Gool, 2017"
    Config = DiscriminativeConfig
    tasks = ("instances", "semantic")
    search_space: ClassVar[Mapping[str, SearchStep]] = SEARCH_SPACE
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "fast": {},
        "paper": {
            "network.name": "enet",
            "network.coordinates": "none",
            "decoding.threshold": 0.5,
            "training.optimizer": "adamw",
            "training.weight_decay": 0.0,  # Adam
            "training.learning_rate": 1e-4,
            "training.power": 0.0,
            "training.crop": 384,
        },
    }

    config: DiscriminativeConfig

    def __init__(self, config: DiscriminativeConfig | None = None, **settings: Any) -> None:
        super().__init__(config, **settings)
        self.network = EmbeddingAndClasses(self.config)
        self._semantic_model: tuple[str, Method] | None = None  # name and model

    @property
    def divisor(self) -> int:
        """The sides of the network's input must be multiples of it."""
        return self.network.divisor

    @property
    def wanted_maps(self) -> tuple[str, ...]:
        """Ground truth classes, and object labels for instances."""
        return ("labels", "semantic") if self.config.task == "instances" else ("semantic",)

    @property
    def default_optimizer(self) -> str:
        """Muon for the network with the compact encoder; AdamW for all others."""
        c = self.config.network
        return "muon" if (c.name, c.encoder) == ("encoder-decoder", "compact") else "adamw"

    @classmethod
    def suggest(cls, survey: TrainingSurvey) -> dict[str, Any]:
        """Derive scale, dimensions, coordinates and ``min_area`` from the object sizes."""
        return suggest_settings(survey)

    def encoder_parameters(self) -> Iterable[nn.Parameter]:
        """Parameters of the encoder; none for networks without a separate encoder."""
        encoder = getattr(self.network.trunk, "encoder", None)
        return encoder.parameters() if isinstance(encoder, nn.Module) else ()

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Maps of :class:`EmbeddingAndClasses` for ``(B, C, H, W)``, sides divisible by divisor."""
        image = apply_gamma(image, self.config.input.gamma)
        maps: dict[str, Tensor] = self.network(image)
        return maps

    def losses(
        self,
        batch: Batch,
        *,
        stage: str = "training",
        progress: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Weighted terms ``variance``, ``distance``, ``regularisation`` and ``semantic``."""
        del stage, progress, generator  # one stage, nothing random
        return self.losses_of(self(batch.image), batch)

    def losses_of(self, maps: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """The terms of :meth:`losses` for maps that are already computed.

        Args:
            maps: output of :meth:`forward`.
            batch: ground truth.
        """
        c, semantic = self.config.loss, batch.get("semantic")
        labelled = semantic >= 0  # not void
        entropy = functional.cross_entropy(
            maps["semantic"], semantic.clamp_min(0), reduction="none"
        )
        mean_entropy = (entropy * labelled).sum() / shared_count(labelled.sum())
        semantic_term = c.semantic_weight * mean_entropy
        if "embedding" not in maps:
            return {"semantic": semantic_term}
        stride = self.network.stride
        terms = discriminative_terms(
            maps["embedding"],
            batch.get("labels")[:, ::stride, ::stride],
            delta_v=c.delta_v,
            delta_d=c.delta_d,
            semantic=semantic[:, ::stride, ::stride],
        )
        return {
            "variance": c.variance_weight * terms.variance,
            "distance": c.distance_weight * terms.distance,
            "regularisation": c.regularisation_weight * terms.regular,
            "semantic": semantic_term,
        }

    def effective(self, path: str) -> float:
        """Bandwidth or threshold of the decoding, or the margin that replaces it if None."""
        c, loss = self.config.decoding, self.config.loss
        if path == "decoding.bandwidth":
            return c.bandwidth or loss.delta_v
        return c.threshold or loss.delta_d  # half the distance 2 delta_d between two means

    def compute_maps(
        self, image: NDArray[Any], statistics: ImageStatistics | None = None
    ) -> MapPrediction:
        """Embedding and class logits of one image of any size.

        An image whose median object is smaller than ``input.min_object_area`` is predicted again,
        enlarged. With ``decoding.semantic`` another model predicts the classes.

        Raises:
            CongealError: the array is no image; the other model is missing or lacks a class; or it
                would have to predict a tile.
        """
        maps = predict_at_object_size(
            image, self.config.input, self._predict, self.object_areas, statistics
        )
        where = self.config.decoding.semantic
        if where is None:
            return maps
        if statistics is not None:
            raise CongealError(
                "expected an image that is predicted as a whole with decoding.semantic, got a "
                "tile; give a larger --tile (tile= in Python)"
            )
        result = self._load_semantic_model(where).segment(image)
        probabilities = probabilities_of_result(result, self.config.class_names, where)
        return replace(maps, extra={"semantic": probabilities})

    def _load_semantic_model(self, where: str) -> Method:
        """The model of ``decoding.semantic``, in a tuple so that PyTorch does not register it."""
        if self._semantic_model is None or self._semantic_model[0] != where:
            device = next(self.parameters()).device
            self._semantic_model = (where, load_companion(where).to(device).eval())
        return self._semantic_model[1]

    def _predict(self, pixels: Tensor, magnification: float) -> MapPrediction:
        """Run the network on an image ``(C, H, W)`` at one scale."""
        size = (pixels.shape[1], pixels.shape[2])
        scale = self.config.input.scale * magnification
        scaled = zoom_image(pixels, scale)  # (C, h, w)
        device = next(self.parameters()).device
        padded = pad_to(scaled[None], self.divisor)
        maps = self(padded.to(device, memory_format=torch.channels_last))
        stride, input_size = int(self.network.stride), (scaled.shape[1], scaled.shape[2])
        if scale != 1:
            maps["semantic"] = resample_map(maps["semantic"], input_size, size)
            if "embedding" in maps:
                maps["embedding"], stride = resample_embedding(
                    maps["embedding"], input_size, size, stride
                )
        single = {name: map_[0] for name, map_ in maps.items()}
        return MapPrediction(single, size, stride, magnification)

    @torch.inference_mode()
    def decode(
        self,
        maps: MapPrediction,
        *,
        keep_embedding: bool = False,
        semantic: NDArray[Any] | Tensor | None = None,
    ) -> Segmentation:
        """Group the pixels of each class into objects; the result has the semantic map too.

        Args:
            maps: output of :meth:`predict_maps`.
            keep_embedding: store the embedding in the result, for pictures.
            semantic: replaces the method's class head: class ids ``(H, W)``, such as the ground
                truth, or probabilities ``(C + 1, H, W)``.

        Raises:
            CongealError: the shape of ``semantic`` does not fit the image.

        Example:
            >>> model = Discriminative(dimensions=4)
            >>> maps = model.predict_maps(np.zeros((6, 8), np.uint8))
            >>> model.decode(maps, semantic=np.ones((6, 8), int)).shape
            (6, 8)
        """
        height, width = maps.size
        logits = maps.maps["semantic"][:, :height, :width].float()
        probabilities = logits.softmax(0)  # (C + 1, H, W)
        semantic = maps.extra.get("semantic") if semantic is None else semantic
        if semantic is not None:
            probabilities = class_probabilities(semantic, probabilities)
        if "embedding" not in maps.maps:
            return Segmentation.from_maps(
                probabilities=probabilities.cpu().numpy(), class_names=self.config.class_names
            )
        foreground = 1 - probabilities[0] > self.config.decoding.foreground_threshold
        classes = torch.where(foreground, probabilities[1:].argmax(0) + 1, 0)
        rows, columns = (-(-side // maps.stride) for side in maps.size)
        embedding = maps.maps["embedding"][:, :rows, :columns]
        labels = self.decoder(embedding, self._thing_classes(classes), maps.stride)
        stored = embedding if keep_embedding else None
        return self._describe(labels, classes, probabilities, stored)

    def _thing_classes(self, classes: Tensor) -> Tensor:
        """The class map ``(H, W)`` with stuff classes set to 0."""
        names, stuff = ("", *self.config.class_names), self.config.decoding.stuff
        kept = [0 if name in stuff else number for number, name in enumerate(names)]
        return torch.tensor(kept, device=classes.device)[classes]

    def segment(
        self,
        image: NDArray[Any],
        *,
        keep_embedding: bool = False,
        semantic: NDArray[Any] | Tensor | None = None,
    ) -> Segmentation:
        """Predict the maps of one image and decode them.

        Args:
            image: ``(H, W)`` or ``(H, W, C)``, any real type.
            keep_embedding: store the embedding in the result, for pictures.
            semantic: as for :meth:`decode`.

        Raises:
            CongealError: the array is no image, or ``semantic`` does not fit.
        """
        maps = self.predict_maps(image)
        return self.decode(maps, keep_embedding=keep_embedding, semantic=semantic)

    @property
    def decoder(self) -> InstanceDecoder:
        """The decoder with the current settings."""
        c = self.config.decoding
        return InstanceDecoder(
            self._label,
            min_area=c.min_area / self.config.input.scale**2,
            split_components=c.split_components,
            fill_holes=c.fill_holes,
        )

    @property
    def _label(self) -> Callable[[Tensor, Tensor], Tensor]:
        """The function that labels the pixels of a mask, with the grouping of the settings."""
        c = self.config.decoding
        options: dict[str, Any] = dict(c.grouping_options)
        if c.grouping not in ("flat-shift", "flat-shift-sampled"):
            return labels_by(build_grouping(c.grouping, **options))
        bandwidth, threshold = map(self.effective, ("decoding.bandwidth", "decoding.threshold"))
        if c.grouping == "flat-shift":
            options = {"bandwidth": bandwidth, "threshold": threshold} | options
            return labels_by(build_grouping("flat-shift", **options))
        if options.keys() - {"samples"}:
            raise unknown("option of flat-shift-sampled", min(options), ["samples"])
        return SampledFlatShift(FlatMeanShift(bandwidth, threshold), **options).label

    def _describe(
        self,
        labels: NDArray[np.int64],
        classes: Tensor,
        probabilities: Tensor,
        embedding: Tensor | None,
    ) -> Segmentation:
        """Result with a class for each object and its mean probability as score."""
        count = int(labels.max(initial=0))
        index = torch.from_numpy(labels).to(probabilities.device).reshape(-1)
        sums = probabilities.new_zeros(count + 1, len(probabilities))
        sums.index_add_(0, index, probabilities.flatten(1).T.contiguous())
        area = torch.bincount(index, minlength=count + 1)
        object_class = torch.zeros(count + 1, dtype=torch.int64, device=probabilities.device)
        # The maximum, because filled holes have class 0.
        object_class.scatter_reduce_(0, index, self._thing_classes(classes).reshape(-1), "amax")
        present = (area > 0).nonzero()[:, 0]
        present = present[present > 0]
        scores = sums[present, object_class[present]] / area[present]
        result = Segmentation.from_labels(
            labels,
            scores=scores.clamp(0, 1).cpu().numpy(),
            classes=object_class[present].cpu().numpy(),
            class_names=self.config.class_names,
            embedding=None if embedding is None else embedding.float().cpu().numpy(),
            semantic=classes.cpu().numpy(),
        )
        kept = result.scores >= self.config.decoding.min_score
        return result if kept.all() else result.select(kept)
