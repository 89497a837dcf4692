"""Recurrent Pixel Embedding (Kong & Fowlkes, CVPR 2018): network, losses and decoding."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from congeal.data.batch import Batch
from congeal.data.measures import TrainingSurvey
from congeal.data.rescale import rescale_image
from congeal.data.sample import Dataset
from congeal.errors import CongealError
from congeal.grouping.decoder import GroupDecoder
from congeal.grouping.mean_shift import MeanShift
from congeal.losses.pairwise import pairwise_loss
from congeal.losses.touching import touching_loss
from congeal.methods.image import apply_gamma, pad_to
from congeal.methods.maps import ImageStatistics, MapPrediction
from congeal.methods.method import Method
from congeal.methods.object_size import component_areas, predict_at_object_size
from congeal.methods.rpe.classes import (
    mean_inside,
    mean_probabilities,
    object_class_loss,
    pixel_class_loss,
    pooled_classes,
    translate_heads,
    without_largest,
)
from congeal.methods.rpe.config import PRESETS, RPEConfig, current_settings
from congeal.methods.rpe.decoding import build_decoder
from congeal.methods.rpe.rescale import unscale
from congeal.methods.rpe.scoring import BUFFERS, FoundObjects, ScoreRegressor, fit_scores
from congeal.methods.rpe.search import SEARCH_SPACE
from congeal.methods.rpe.suggest import adapt_settings, suggest_settings
from congeal.methods.rpe.tidying import group_maps
from congeal.methods.rpe.tta import augmented_prediction
from congeal.methods.suggestions import is_divided
from congeal.networks.embedding import EmbeddingNetwork, EmbeddingOutput
from congeal.networks.encoders import build_encoder, input_moments
from congeal.networks.heads import ObjectHead
from congeal.segmentation import Segmentation

__all__ = ["RPE"]


class RPE(Method):
    """Recurrent Pixel Embedding: unit vectors for pixels, grouped into objects by mean shift.

    The network predicts unit embeddings at stride 2 or 4, a semantic map (background and classes)
    and a touching map (pixels where objects touch are poor seeds). The pairwise loss is computed
    before and after each mean-shift step. Decoding runs more steps; each mode becomes an object.

    Example:
        >>> model = RPE(dimensions=8, coordinates="none")
        >>> result = model.segment(np.zeros((30, 50, 3), np.uint8))
        >>> result.shape
        (30, 50)
    """

    name = "rpe"
    title = "Recurrent Pixel Embedding"
    reference = "Kong & Fowlkes, CVPR 2018"
    Config = RPEConfig
    tasks = ("instances",)
    siblings: ClassVar[Mapping[str, str]] = {
        "boundaries": "congeal.methods.rpe.boundaries:RPEBoundaries",
        "semantic": "congeal.methods.rpe.semantic:RPESemantic",
        "proposals": "congeal.methods.rpe.proposals:RPEProposals",
    }
    search_space = SEARCH_SPACE
    start_models: ClassVar[Mapping[str, str]] = {"instances": "nuclei"}
    presets = PRESETS
    variable_buffers = tuple(f"scoring.{name}" for name in BUFFERS)

    config: RPEConfig

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> RPE:
        """Create a model from stored settings, also from those of version 0.1."""
        return super().from_settings(current_settings(settings))

    def __init__(self, config: RPEConfig | None = None, **settings: Any) -> None:
        super().__init__(config, **settings)
        c, loss = self.config.network, self.config.loss
        mean, deviation = input_moments(
            c.encoder, c.mean, c.deviation, self.config.input.input_channels
        )
        encoder = build_encoder(
            c.encoder,
            self.config.input.input_channels + 2 * (c.coordinates in ("channels", "both")),
            **c.encoder_options,
        )
        self.network = EmbeddingNetwork(
            encoder,
            c.dimensions,
            classes=len(self.kinds),
            stride=c.stride,
            coordinates=c.coordinates,
            wavelengths=c.wavelengths,
            decoder=c.decoder,
            channels_image=self.config.input.input_channels,
            mean=mean,
            deviation=deviation,
            keep_features=self.pools_classes,
        )
        if self.pools_classes:
            channels = self.network.decoder.channels
            self.classify = ObjectHead(channels, len(self.kinds))
        radius = loss.repulsion_radius
        self.shift = MeanShift(
            loss.concentration,
            loss.margin,
            steps=loss.mean_shift_steps,
            eta=loss.eta,
            learnable=loss.learn_concentration,
            kernel_radius=None if radius is None else radius / c.stride,
        )
        self.scoring = ScoreRegressor()

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the classes that the heads predict."""
        return self.config.class_names

    @property
    def pools_classes(self) -> bool:
        """Whether a head predicts object classes: for several classes with classifier=pooled."""
        return len(self.kinds) > 1 and self.config.network.classifier == "pooled"

    @property
    def divisor(self) -> int:
        """Number that divides the sides of the network's input."""
        return self.network.divisor

    @property
    def context_radius(self) -> float | None:
        """The repulsion radius."""
        return self.config.loss.repulsion_radius

    @classmethod
    def suggest(cls, survey: TrainingSurvey) -> dict[str, Any]:
        """Choose scale, radius, coordinates, gamma and minimum area from object sizes."""
        return suggest_settings(survey)

    @classmethod
    def reason_against_start(cls, survey: TrainingSurvey) -> str | None:
        """The shipped model splits objects into connected components."""
        return "objects that others cross lie in parts" if is_divided(survey) else None

    @classmethod
    def adapt(cls, survey: TrainingSurvey, base: RPEConfig) -> dict[str, Any]:
        """Choose scale, radius and minimum area for other images than those of the base model."""
        return adapt_settings(survey, base)

    def translate_weights(self, start: Method) -> Mapping[str, Tensor]:
        """Convert the heads of a start model with other classes."""
        if not isinstance(start, RPE):
            return {}
        names = start.kinds, self.kinds
        return translate_heads(start.state_dict(), self.state_dict(), *names)

    def encoder_parameters(self) -> Iterable[nn.Parameter]:
        """Parameters that learn at the rate of the encoder."""
        return self.network.encoder.parameters()

    def forward(self, image: Tensor) -> EmbeddingOutput:
        """``(B, 3, H, W)``, sides divisible by :attr:`divisor`, to an :class:`EmbeddingOutput`."""
        image = apply_gamma(image, self.config.input.gamma)
        output: EmbeddingOutput = self.network(image)
        return output

    def note(self, progress: float) -> str:
        """Note when mean shift starts in the loss; before, objects are hardly separated."""
        start = self.config.loss.mean_shift_start
        return f"mean shift joins at {start:.0%}" if progress < start else ""

    def losses(
        self,
        batch: Batch,
        *,
        stage: str = "training",
        progress: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Weighted terms ``embedding``, ``semantic``, ``touching``, and ``classes`` if several.

        The embedding term includes mean-shift steps from ``progress = loss.mean_shift_start`` on.
        """
        del stage  # there is only one
        return self.losses_of(self(batch.image), batch, progress=progress, generator=generator)

    def losses_of(
        self,
        output: EmbeddingOutput,
        batch: Batch,
        *,
        progress: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """The same terms from an output of :meth:`forward`."""
        c, stride = self.config.loss, self.config.network.stride
        labels, semantic = batch.get("labels"), batch.get("semantic")
        if len(self.kinds) == 1:
            semantic = semantic.clamp_max(1)
        radius = c.repulsion_radius
        pair = pairwise_loss(
            output.embedding,
            labels[:, ::stride, ::stride],
            margin=c.margin,
            negative_weight=c.negative_weight,
            samples=c.samples,
            sampling=c.sampling,
            background=c.background == "group",
            repulsion_radius=None if radius is None else radius / stride,
            grouping=self.shift if progress >= c.mean_shift_start else None,
            generator=generator,
        )
        entropy = functional.cross_entropy(output.semantic, semantic.clamp_min(0), reduction="none")
        terms = {"embedding": c.embedding_weight * pair}
        if len(self.kinds) > 1:
            terms["classes"] = c.class_weight * self._class_loss(output, labels, semantic)
        return terms | {
            "semantic": mean_inside(entropy, semantic >= 0),
            "touching": c.touching_weight * touching_loss(output.touching[:, 0], labels),
        }

    def _class_loss(self, output: EmbeddingOutput, labels: Tensor, semantic: Tensor) -> Tensor:
        if output.features is None:
            return pixel_class_loss(output.semantic, semantic)
        coarse = (slice(None), *2 * [slice(None, None, self.config.network.stride)])
        return object_class_loss(self.classify, output.features, labels[coarse], semantic[coarse])

    def effective(self, path: str) -> float:
        """Margin or concentration of the loss, used for decoding settings that are None."""
        if path == "decoding.merge_margin":
            return self.config.loss.margin
        return float(self.shift.concentration)

    def decoder(self, maps: MapPrediction, bandwidth: float = 1.0) -> GroupDecoder:
        """The decoder of these maps with the current settings; ``bandwidth`` is a factor."""
        return build_decoder(self.config, float(self.shift.concentration), maps, bandwidth)

    def compute_maps(
        self, image: NDArray[Any], statistics: ImageStatistics | None = None
    ) -> MapPrediction:
        """Maps of one image of any size; predicted again, upscaled, if its objects are small."""
        predict = self._predict, self.object_areas
        return predict_at_object_size(image, self.config.input, *predict, statistics)

    def object_areas(self, maps: MapPrediction) -> NDArray[np.float64]:
        """Approximate areas of objects: components of the foreground without touching pixels."""
        c = self.config
        foreground = self._foreground(maps)[1] > c.decoding.foreground_threshold
        touching = maps.maps["touching"][0, : maps.size[0], : maps.size[1]] > 0
        return component_areas(foreground, touching, c.decoding.min_area / c.input.scale**2)

    def _foreground(self, maps: MapPrediction) -> tuple[Tensor, Tensor]:
        """Class probabilities ``(C + 1, H, W)``, and the foreground probability ``(H, W)``."""
        semantic = maps.maps["semantic"][:, : maps.size[0], : maps.size[1]].float().softmax(0)
        return semantic, 1 - semantic[0]

    def _predict(self, pixels: Tensor, magnified: float) -> MapPrediction:
        """Run the network on an image ``(3, H, W)`` at one scale."""
        height, width = pixels.shape[1:]
        scale = self.config.input.scale * magnified
        scaled = rescale_image(pixels, scale)  # (3, h, w)
        output, stride = self._predict_padded(scaled), int(self.config.network.stride)
        if scale != 1:
            within = (scaled.shape[1], scaled.shape[2])
            output, stride = unscale(output, within, (height, width), stride)
        maps = {name: part[0] for name, part in output.maps().items()}
        return MapPrediction(maps, (height, width), stride, magnified)

    def _predict_padded(self, image: Tensor) -> EmbeddingOutput:
        """Pad ``(3, H, W)``, and average predictions over orientations."""
        batch = pad_to(image[None], self.divisor)
        device = next(self.parameters()).device
        scaled = batch.to(device, memory_format=torch.channels_last)
        output = augmented_prediction(self, scaled, self.config.decoding.tta)
        rows, columns = (-(-side // self.config.network.stride) for side in image.shape[1:])
        features = output.features
        return output._replace(
            embedding=output.embedding[..., :rows, :columns],
            features=None if features is None else features[..., :rows, :columns],
        )

    @torch.inference_mode()
    def decode(self, maps: MapPrediction, *, keep_embedding: bool = False) -> Segmentation:
        """Group the pixels of the foreground into objects.

        Example:
            >>> model = RPE(dimensions=4, coordinates="none")
            >>> maps = model.predict_maps(np.zeros((30, 50), np.uint8))
            >>> model.configure(foreground_threshold=0.4).decode(maps).shape
            (30, 50)
        """
        found, c = self._found(maps), self.config.decoding
        scores = found.foreground
        if c.score == "regressor" and self.scoring.fitted:  # not fitted during the training
            scores = self.scoring.scores(found.described())
        embedding = maps.maps["embedding"].float().cpu().numpy() if keep_embedding else None
        result = Segmentation.from_labels(
            found.labels,
            scores=scores,
            classes=found.classes,
            class_names=self.config.class_names,
            embedding=embedding,
        )
        keep = found.foreground >= c.min_score
        return result if keep.all() else result.select(keep)

    @torch.inference_mode()
    def comparable_labels(self, maps: MapPrediction) -> NDArray[np.int64] | None:
        """Label map without the effect of ``decoding.min_area_ratio``; None if it is 0."""
        if not self.config.decoding.min_area_ratio:
            return None
        plain = replace(self.decoder(maps), min_area_ratio=0.0, fill_holes=False)
        return self._grouped(maps, plain)[0]

    @torch.inference_mode()
    def _found(self, maps: MapPrediction, bandwidth: float = 1.0) -> FoundObjects:
        """All objects of an image, before ``decoding.min_score``."""
        return self._classified(*self._grouped(maps, self.decoder(maps, bandwidth)), maps)

    def _grouped(
        self, maps: MapPrediction, decode: GroupDecoder
    ) -> tuple[NDArray[np.int64], Tensor]:
        """Label map ``(H, W)`` of the objects, and class probabilities ``(C + 1, H, W)``."""
        c, (semantic, objectness) = self.config, self._foreground(maps)
        touching = maps.maps["touching"][0, : maps.size[0], : maps.size[1]].float().sigmoid()
        weights = (objectness * (1 - touching)).clamp_min(0)
        mask = objectness > c.decoding.foreground_threshold
        if c.loss.background == "group":
            mask, weights = torch.ones_like(mask), torch.ones_like(weights)
        labels = group_maps(decode, maps, mask, weights**c.decoding.seed_power)
        return without_largest(labels) if c.loss.background == "group" else labels, semantic

    def _classified(
        self, labels: NDArray[np.int64], semantic: Tensor, maps: MapPrediction
    ) -> FoundObjects:
        """Predict the class of each object, by the head or by vote."""
        index = torch.from_numpy(labels).to(semantic.device)
        mean = mean_probabilities(index, semantic, int(labels.max(initial=0)))
        classes = mean[:, 1:].argmax(1) + 1
        if "features" in maps.maps:
            coarse = index[:: maps.stride, :: maps.stride]
            classes = pooled_classes(self.classify, maps.maps["features"], coarse, classes)
        return FoundObjects(labels, classes.cpu().numpy(), mean.cpu().numpy())

    def illustrate(self, image: NDArray[Any]) -> list[tuple[str, NDArray[Any]]]:
        """Embedding as colours, with the same projection for all images, and semantic map.

        Example:
            >>> [title for title, _ in RPE(dimensions=4).illustrate(np.zeros((30, 50), np.uint8))]
            ['embedding', 'semantic map']
        """
        from congeal.methods.rpe.illustration import draw_steps  # late: matplotlib is slow

        return list(draw_steps(image, self.predict_maps(image)))

    def finish(
        self, dataset: Dataset, on_image: Callable[[int, int], None] = lambda done, total: None
    ) -> None:
        """Fit the score regressor on up to 32 images, if ``decoding.score`` is ``regressor``."""
        if self.config.decoding.score != "regressor":
            return
        fit_scores(
            self.scoring,
            lambda image: self._found(self.predict_maps(image)),
            dataset,
            classes=len(self.kinds),
            min_score=self.config.decoding.min_score,
            on_image=on_image,
        )

    def fitted_values(self) -> Mapping[str, float]:
        """Weights of the score regressor, if it is fitted."""
        return self.scoring.named_weights()

    def configure(self, **settings: Any) -> Self:
        """Change decoding settings; ``score=regressor`` needs a model trained with it.

        Raises:
            CongealError: as in ``Method.configure``, or the score regressor is not fitted.
        """
        paths = {self.Config.path_of(name): value for name, value in settings.items()}
        if paths.get("decoding.score") == "regressor" and not self.scoring.fitted:
            raise CongealError(
                "expected a model with a fitted regressor for decoding.score=regressor, got one "
                "without; train with --set decoding.score=regressor"
            )
        return super().configure(**settings)
