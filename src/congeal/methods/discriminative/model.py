"""The discriminative loss (De Brabandere et al., 2017): network, loss and decoding joined."""

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
from congeal.data.rescale import rescale_image
from congeal.errors import CongealError, unknown
from congeal.grouping.flat_shift import FlatMeanShift
from congeal.grouping.registry import build_grouping
from congeal.losses.discriminative import discriminative_terms
from congeal.methods.companions import load_companion
from congeal.methods.discriminative.config import DiscriminativeConfig
from congeal.methods.discriminative.decoding import InstanceDecoder, SampledFlatShift, labels_by
from congeal.methods.discriminative.network import EmbeddingAndClasses
from congeal.methods.discriminative.search import SEARCH_SPACE
from congeal.methods.discriminative.semantic import class_odds, odds_of_result
from congeal.methods.discriminative.suggest import suggest_settings
from congeal.methods.image import lift_dark, pad_to
from congeal.methods.maps import ImageStatistics, MapPrediction
from congeal.methods.method import Method, SearchStep
from congeal.methods.object_size import predict_at_object_size
from congeal.methods.rescale import resample_embedding, resample_map
from congeal.processes import shared_count
from congeal.segmentation import Segmentation

__all__ = ["Discriminative"]


class Discriminative(Method):
    """Every pixel a point in space, every object a ball of points; mean shift takes the balls out.

    The network gives embeddings that are not normalised and a semantic map (background and
    classes). The loss pulls the pixels of an object to their mean up to delta_v and pushes the
    means of objects of one class apart up to 2 delta_d; background takes no part. Decoding groups
    the pixels of each predicted class by themselves.

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
        self._told_by: tuple[str, Method] | None = None

    @property
    def divisor(self) -> int:
        """What the sides of the network's input must be divisible by."""
        return self.network.divisor

    @property
    def wanted_maps(self) -> tuple[str, ...]:
        """Classes, and for instances labels."""
        return ("labels", "semantic") if self.config.task == "instances" else ("semantic",)

    @property
    def default_optimizer(self) -> str:
        """Muon for the compact network, as for RPE; AdamW for all others."""
        c = self.config.network
        return "muon" if (c.name, c.encoder) == ("encoder-decoder", "compact") else "adamw"

    @classmethod
    def suggest(cls, survey: TrainingSurvey) -> dict[str, Any]:
        """Choose scale, dimensions, coordinates and the smallest object by object sizes."""
        return suggest_settings(survey)

    def encoder_parameters(self) -> Iterable[nn.Parameter]:
        """Parameters of the encoder, where the network has one to itself."""
        encoder = getattr(self.network.trunk, "encoder", None)
        return encoder.parameters() if isinstance(encoder, nn.Module) else ()

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """``(B, 3, H, W)``, sides divisible by :attr:`divisor`, to the maps of the network."""
        image = lift_dark(image, self.config.input.gamma)
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
        """Terms ``variance``, ``distance``, ``regularisation`` and ``semantic``, weighted."""
        del stage, progress, generator  # one stage, nothing is drawn
        return self.losses_of(self(batch.image), batch)

    def losses_of(self, maps: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """The same terms for the maps of a network that are there already."""
        c, semantic = self.config.loss, batch.get("semantic")
        known = semantic >= 0
        entropy = functional.cross_entropy(
            maps["semantic"], semantic.clamp_min(0), reduction="none"
        )
        cross = c.semantic_weight * (entropy * known).sum() / shared_count(known.sum())
        if "embedding" not in maps:
            return {"semantic": cross}
        stride = self.network.stride
        found = discriminative_terms(
            maps["embedding"],
            batch.get("labels")[:, ::stride, ::stride],
            delta_v=c.delta_v,
            delta_d=c.delta_d,
            semantic=semantic[:, ::stride, ::stride],
        )
        return {
            "variance": c.variance_weight * found.variance,
            "distance": c.distance_weight * found.distance,
            "regularisation": c.regularisation_weight * found.regular,
            "semantic": cross,
        }

    def effective(self, path: str) -> float:
        """The bandwidth and the threshold in force."""
        c, loss = self.config.decoding, self.config.loss
        if path == "decoding.bandwidth":
            return c.bandwidth or loss.delta_v
        return c.threshold or loss.delta_d  # midway between two means that are apart

    def compute_maps(
        self, image: NDArray[Any], statistics: ImageStatistics | None = None
    ) -> MapPrediction:
        """Embedding and class logits of one image of any size.

        An image whose median object is smaller than ``input.min_object_area`` is predicted again,
        upscaled. With ``decoding.semantic`` the classes are those of that model.

        Raises:
            CongealError: the array is no image, or the model that tells the classes is missing or
                does not know one of them.
        """
        maps = predict_at_object_size(
            image, self.config.input, self._predict, self.object_areas, statistics
        )
        where = self.config.decoding.semantic
        if where is None:
            return maps
        if statistics is not None:
            raise CongealError(
                "expected an image that is predicted whole where decoding.semantic names a model, "
                "got one in tiles: give a larger --tile (tile= in Python)"
            )
        found = self._other_model(where).segment(image)
        odds = odds_of_result(found, self.config.class_names, where)
        return replace(maps, extra={"semantic": odds})

    def _other_model(self, where: str) -> Method:
        """The model that tells the classes; not a part of this one, so it is not saved with it."""
        if self._told_by is None or self._told_by[0] != where:
            device = next(self.parameters()).device
            self._told_by = (where, load_companion(where).to(device).eval())
        return self._told_by[1]

    def _predict(self, pixels: Tensor, magnified: float) -> MapPrediction:
        """Run the network on an image ``(3, H, W)``, shown at one size."""
        size = (pixels.shape[1], pixels.shape[2])
        scale = self.config.input.scale * magnified
        shown = rescale_image(pixels, scale)  # (3, h, w)
        device = next(self.parameters()).device
        padded = pad_to(shown[None], self.divisor)
        maps = self(padded.to(device, memory_format=torch.channels_last))
        stride, seen = int(self.network.stride), (shown.shape[1], shown.shape[2])
        if scale != 1:
            maps["semantic"] = resample_map(maps["semantic"], seen, size)
            if "embedding" in maps:
                maps["embedding"], stride = resample_embedding(
                    maps["embedding"], seen, size, stride
                )
        return MapPrediction({k: m[0] for k, m in maps.items()}, size, stride, magnified)

    @torch.inference_mode()
    def decode(
        self,
        maps: MapPrediction,
        *,
        keep_embedding: bool = False,
        semantic: NDArray[Any] | Tensor | None = None,
    ) -> Segmentation:
        """Group the pixels of each class into objects; the semantic map comes along.

        Args:
            maps: of :meth:`predict_maps`.
            keep_embedding: let the result carry its embedding, for pictures.
            semantic: what tells the classes in place of the method's own head: class ids
                ``(H, W)``, such as the true ones, or probabilities ``(C + 1, H, W)``.

        Raises:
            CongealError: ``semantic`` is of another size.

        Example:
            >>> model = Discriminative(dimensions=4)
            >>> maps = model.predict_maps(np.zeros((6, 8), np.uint8))
            >>> model.decode(maps, semantic=np.ones((6, 8), int)).shape
            (6, 8)
        """
        height, width = maps.size
        odds = maps.maps["semantic"][:, :height, :width].float().softmax(0)  # (C + 1, H, W)
        semantic = maps.extra.get("semantic") if semantic is None else semantic
        if semantic is not None:
            odds = class_odds(semantic, odds)
        if "embedding" not in maps.maps:
            return Segmentation.from_maps(
                probabilities=odds.cpu().numpy(), class_names=self.config.class_names
            )
        threshold = self.config.decoding.foreground_threshold
        classes = torch.where(1 - odds[0] > threshold, odds[1:].argmax(0) + 1, 0)
        rows, columns = (-(-side // maps.stride) for side in maps.size)
        embedding = maps.maps["embedding"][:, :rows, :columns]
        labels = self.decoder(embedding, self._things(classes), maps.stride)
        return self._describe(labels, classes, odds, embedding if keep_embedding else None)

    def _things(self, classes: Tensor) -> Tensor:
        """The classes ``(H, W)`` with 0 for those that have no objects."""
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
        """Predict the maps of one image and decode them; ``semantic`` as for :meth:`decode`.

        Raises:
            CongealError: the array is no image, or ``semantic`` does not fit.
        """
        maps = self.predict_maps(image)
        return self.decode(maps, keep_embedding=keep_embedding, semantic=semantic)

    @property
    def decoder(self) -> InstanceDecoder:
        """The decoder of label maps, with the settings in force."""
        c = self.config.decoding
        return InstanceDecoder(
            self._label,
            min_area=c.min_area / self.config.input.scale**2,
            split_components=c.split_components,
            fill_holes=c.fill_holes,
        )

    @property
    def _label(self) -> Callable[[Tensor, Tensor], Tensor]:
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
        self, labels: NDArray[np.int64], classes: Tensor, odds: Tensor, embedding: Tensor | None
    ) -> Segmentation:
        """Class of each object, and the mean probability of that class as its score."""
        count = int(labels.max(initial=0))
        index = torch.from_numpy(labels).to(odds.device).reshape(-1)
        sums = odds.new_zeros(count + 1, len(odds))
        sums.index_add_(0, index, odds.flatten(1).T.contiguous())
        area = torch.bincount(index, minlength=count + 1)
        kinds = torch.zeros(count + 1, dtype=torch.int64, device=odds.device)
        kinds.scatter_reduce_(0, index, self._things(classes).reshape(-1), "amax")  # holes: 0
        present = (area > 0).nonzero()[:, 0]
        present = present[present > 0]
        scores = sums[present, kinds[present]] / area[present]
        result = Segmentation.from_labels(
            labels,
            scores=scores.clamp(0, 1).cpu().numpy(),
            classes=kinds[present].cpu().numpy(),
            class_names=self.config.class_names,
            embedding=None if embedding is None else embedding.float().cpu().numpy(),
            semantic=classes.cpu().numpy(),
        )
        sure = result.scores >= self.config.decoding.min_score
        return result if sure.all() else result.select(sure)
