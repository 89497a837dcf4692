"""Recurrent Pixel Embedding (Kong & Fowlkes, CVPR 2018): network, loss and decoding joined."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
from congeal.grouping.groups import Grouping
from congeal.grouping.mean_shift import MeanShift
from congeal.grouping.readout import ReadOut
from congeal.grouping.registry import build_grouping
from congeal.losses.pairwise import pairwise_loss
from congeal.losses.touching import touching_loss
from congeal.methods.image import lift_dark, pad_to
from congeal.methods.maps import ImageStatistics, MapPrediction
from congeal.methods.method import Method
from congeal.methods.object_size import predict_at_object_size
from congeal.methods.rpe.classes import (
    mean_inside,
    object_class_loss,
    pixel_class_loss,
    pooled_classes,
    translate_heads,
)
from congeal.methods.rpe.config import PRESETS, RPEConfig
from congeal.methods.rpe.rescale import unscale
from congeal.methods.rpe.search import SEARCH_SPACE
from congeal.methods.rpe.suggest import adapt_settings, suggest_settings
from congeal.methods.rpe.tidying import group_part, without_largest
from congeal.methods.rpe.tta import augmented_prediction
from congeal.methods.suggestions import is_parted
from congeal.networks.embedding import EmbeddingNetwork, EmbeddingOutput
from congeal.networks.encoders import build_encoder, input_moments
from congeal.networks.heads import ObjectHead
from congeal.segmentation import Segmentation

__all__ = ["RPE"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


class RPE(Method):
    """Recurrent Pixel Embedding: every pixel a point on the sphere, mean shift makes the objects.

    The network gives unit embeddings at stride 2 or 4 and, beside them, a semantic map
    (background and classes) and a map of where objects touch (pixels there are poor seeds). The
    pairwise loss shapes the embedding, through mean-shift steps too; decoding shifts further and
    makes each mode an object.

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
    search_space = SEARCH_SPACE
    starts: ClassVar[Mapping[str, str]] = {"instances": "nuclei"}
    presets = PRESETS

    config: RPEConfig

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> RPE:
        """Make the model that stored settings describe, also those of version 0.1.

        Then every encoder of timm was shown images scaled by ImageNet's moments, and classes were
        voted for.
        """
        told = {**settings, **settings.get("network", {})}
        if not {"classifier", "network.classifier"} & {*told}:
            settings = {**settings, "network.classifier": "vote"}
        old = "encoder" in settings and settings["encoder"] != "compact"
        moments = {"network.mean": IMAGENET_MEAN, "network.deviation": IMAGENET_DEVIATION}
        return super().from_settings({**moments, **_given(settings)} if old else settings)

    def __init__(self, config: RPEConfig | None = None, **settings: Any) -> None:
        super().__init__(config, **settings)
        c, loss = self.config.network, self.config.loss
        mean, deviation = input_moments(c.encoder, c.mean, c.deviation, self.config.input.planes)
        encoder = build_encoder(
            c.encoder,
            self.config.input.planes + 2 * (c.coordinates in ("channels", "both")),
            pretrained=c.pretrained,
            weights=c.encoder_weights,
            output_stride=c.output_stride,
            freeze_norm=c.freeze_norm,
            levels=c.encoder_levels,
            frozen=c.frozen_levels,
        )
        self.network = EmbeddingNetwork(
            encoder,
            c.dimensions,
            classes=len(self.config.class_names),
            stride=c.stride,
            coordinates=c.coordinates,
            wavelengths=c.wavelengths,
            decoder=c.decoder,
            channels_image=self.config.input.planes,
            mean=mean,
            deviation=deviation,
            keep_features=self.pools_classes,
        )
        if self.pools_classes:
            channels = self.network.decoder.channels
            self.classify = ObjectHead(channels, len(self.config.class_names))
        radius = loss.repulsion_radius
        self.shift = MeanShift(
            loss.concentration,
            loss.margin,
            steps=loss.mean_shift_steps,
            step_size=loss.eta,
            learnable=loss.learn_concentration,
            reach=None if radius is None else radius / c.stride,
        )

    @property
    def pools_classes(self) -> bool:
        """Whether a head names the classes of objects (of several, and unless pixels vote)."""
        return len(self.config.class_names) > 1 and self.config.network.classifier == "pooled"

    @property
    def divisor(self) -> int:
        """What the sides of the network's input must be divisible by."""
        return self.network.divisor

    @property
    def context(self) -> float | None:
        """The repulsion radius."""
        return self.config.loss.repulsion_radius

    @classmethod
    def suggest(cls, survey: TrainingSurvey) -> dict[str, Any]:
        """Choose scale, radius, coordinates, gamma and the smallest object by object sizes."""
        return suggest_settings(survey)

    @classmethod
    def why_no_start(cls, survey: TrainingSurvey) -> str | None:
        """The model that ships makes every connected part an object of its own."""
        return "objects that others cross lie in parts" if is_parted(survey) else None

    @classmethod
    def adapt(cls, survey: TrainingSurvey, base: RPEConfig) -> dict[str, Any]:
        """Fit scale, radius and the smallest object to other images than the model's own."""
        return adapt_settings(survey, base)

    def translate_weights(self, start: Method) -> Mapping[str, Tensor]:
        """Fit the heads of other classes to these."""
        if not isinstance(start, RPE):
            return {}
        names = start.config.class_names, self.config.class_names
        return translate_heads(start.state_dict(), self.state_dict(), *names)

    def encoder_parameters(self) -> Iterable[nn.Parameter]:
        """Parameters that learn at the rate of the encoder."""
        return self.network.encoder.parameters()

    def forward(self, image: Tensor) -> EmbeddingOutput:
        """``(B, 3, H, W)``, sides divisible by :attr:`divisor`, to an :class:`EmbeddingOutput`."""
        image = lift_dark(image, self.config.input.gamma)
        output: EmbeddingOutput = self.network(image)
        return output

    def note(self, progress: float) -> str:
        """Say when mean shift joins: until then objects are hardly told apart."""
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
        """Terms ``embedding``, ``semantic``, ``touching`` and, of several, ``classes``, weighted.

        The embedding term runs through mean-shift steps once ``progress`` has reached
        ``loss.mean_shift_start``.
        """
        del stage  # there is one
        return self.losses_of(self(batch.image), batch, progress=progress, generator=generator)

    def losses_of(
        self,
        output: EmbeddingOutput,
        batch: Batch,
        *,
        progress: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """The same terms for an output of :meth:`forward` that is there already."""
        c, stride = self.config.loss, self.config.network.stride
        labels, semantic = batch.get("labels"), batch.get("semantic")
        radius = c.repulsion_radius
        pair = pairwise_loss(
            output.embedding,
            labels[:, ::stride, ::stride],
            margin=c.margin,
            negative_weight=c.negative_weight,
            samples=c.samples,
            sampling=c.sampling,
            background=c.background == "group",
            reach=None if radius is None else radius / stride,
            grouping=self.shift if progress >= c.mean_shift_start else None,
            generator=generator,
        )
        entropy = functional.cross_entropy(output.semantic, semantic.clamp_min(0), reduction="none")
        terms = {"embedding": c.embedding_weight * pair}
        if len(self.config.class_names) > 1:
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
        """The loss's margin and concentration, where decoding has none of its own."""
        if path == "decoding.merge_margin":
            return self.config.loss.margin
        return float(self.shift.concentration)

    @property
    def read_out(self) -> ReadOut:
        """The decoder of label maps, with the settings in force."""
        c, loss = self.config.decoding, self.config.loss
        radius = loss.repulsion_radius
        kernel = c.kernel_radius or (None if radius is None else radius / 2)
        return ReadOut(
            margin=loss.margin if c.merge_margin is None else c.merge_margin,
            concentration=c.decode_concentration or float(self.shift.concentration),
            reach=kernel,
            smallest=c.min_area,
            fragment=c.min_area_ratio,
            # Far-apart objects may share a direction, whatever groups them.
            connected=c.split_components or (radius is not None and c.grouping != "auto"),
            holes=c.fill_holes,
            grouping=self._named_grouping(),
        )

    def _named_grouping(self) -> Grouping | None:
        """The grouping that the settings name; None: mean shift, as the decoder does it."""
        c = self.config.decoding
        if c.grouping == "auto":
            return None
        options: dict[str, Any] = dict(c.grouping_options)
        if c.grouping == "mean-shift":
            margin = self.config.loss.margin if c.merge_margin is None else c.merge_margin
            kappa = c.decode_concentration or float(self.shift.concentration)
            options = {"concentration": kappa, "margin": margin} | options
        return build_grouping(c.grouping, **options)

    def compute_maps(
        self, image: NDArray[Any], statistics: ImageStatistics | None = None
    ) -> MapPrediction:
        """The maps of one image of any size, predicted again upscaled if its objects are small."""
        return predict_at_object_size(
            image, self.config.input, self._predict, self.decode, statistics
        )

    def _predict(self, pixels: Tensor, magnified: float) -> MapPrediction:
        """Run the network on an image ``(3, H, W)``, shown at one size."""
        height, width = pixels.shape[1:]
        scale = self.config.input.scale * magnified
        shown = zoom_image(pixels, scale)  # (3, h, w)
        output, stride = self._predict_padded(shown), int(self.config.network.stride)
        if scale != 1:
            within = (shown.shape[1], shown.shape[2])
            output, stride = unscale(output, within, (height, width), stride)
        maps = {name: part[0] for name, part in output.maps().items()}
        return MapPrediction(maps, (height, width), stride, magnified)

    def _predict_padded(self, image: Tensor) -> EmbeddingOutput:
        """Pad ``(3, H, W)`` for the network and average over orientations."""
        batch = pad_to(image[None], self.divisor)
        device = next(self.parameters()).device
        shown = batch.to(device, memory_format=torch.channels_last)
        output = augmented_prediction(self, shown, self.config.decoding.tta)
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
        semantic = self._semantic(maps)
        return self._describe(self._group(maps, semantic), semantic, maps, keep_embedding)

    @torch.inference_mode()
    def comparable_labels(self, maps: MapPrediction) -> NDArray[np.int64] | None:
        """The objects before any is taken for a fragment by ``decoding.min_area_ratio``."""
        if not self.config.decoding.min_area_ratio:
            return None
        whole = replace(self.read_out, fragment=0.0, holes=False)
        return self._group(maps, self._semantic(maps), whole)

    def _semantic(self, maps: MapPrediction) -> Tensor:
        """Probabilities ``(C + 1, H, W)`` of background and classes."""
        height, width = maps.size
        return maps.maps["semantic"][:, :height, :width].float().softmax(0)

    def _group(
        self, maps: MapPrediction, semantic: Tensor, read_out: ReadOut | None = None
    ) -> NDArray[np.int64]:
        """The label map ``(H, W)`` of the objects, by the settings in force or another decoder."""
        c, (height, width) = self.config, maps.size
        read_out = self._sized(self.read_out if read_out is None else read_out, maps)
        objectness = 1 - semantic[0]
        touching_map = maps.maps["touching"][0, :height, :width].float().sigmoid()
        trust = (objectness * (1 - touching_map)).clamp_min(0)
        mask = objectness > c.decoding.foreground_threshold
        if c.loss.background == "group":
            mask, trust = torch.ones_like(mask), torch.ones_like(trust)
        seeds, embedding = trust**c.decoding.seed_power, maps.maps["embedding"]
        if maps.statistics is None:
            labels = read_out(embedding, mask, seeds, stride=maps.stride)
        else:
            labels = group_part(read_out, embedding, mask, seeds, maps.stride, maps.statistics)
        return without_largest(labels) if c.loss.background == "group" else labels

    def _sized(self, read_out: ReadOut, maps: MapPrediction) -> ReadOut:
        """Fit the decoder to the size at which the image was shown."""
        if self.config.input.scale != 1:
            read_out = read_out.on_zoomed(self.config.input.scale)
        if maps.scale != 1 and read_out.reach is not None:  # objects are as large as ever
            read_out = replace(read_out, reach=read_out.reach / maps.scale)
        return read_out

    def _describe(
        self,
        labels: NDArray[np.int64],
        semantic: Tensor,
        maps: MapPrediction,
        keep_embedding: bool,
    ) -> Segmentation:
        """Class of each object by its head or by vote, score by how sure its foreground is."""
        count = int(labels.max(initial=0))
        index = torch.from_numpy(labels).to(semantic.device).reshape(-1)
        sums = semantic.new_zeros(count + 1, len(semantic))
        sums.index_add_(0, index, semantic.flatten(1).T.contiguous())
        area = torch.bincount(index, minlength=count + 1).clamp_min(1)
        mean = (sums / area[:, None])[1:]  # (K, C + 1)
        classes = mean[:, 1:].argmax(1) + 1
        if "features" in maps.maps:
            coarse = index.reshape(maps.size)[:: maps.stride, :: maps.stride]
            classes = pooled_classes(self.classify, maps.maps["features"], coarse, classes)
        embedding = maps.maps["embedding"].float().cpu().numpy() if keep_embedding else None
        scores = 1 - mean[:, 0]
        result = Segmentation.from_labels(
            labels,
            scores=scores.cpu().numpy(),
            classes=classes.cpu().numpy(),
            class_names=self.config.class_names,
            embedding=embedding,
        )
        sure = result.scores >= self.config.decoding.min_score
        return result if sure.all() else result.select(sure)


def _given(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Stored settings, without those that say that pixel moments were left open."""
    left_open = ("pixel_mean", "pixel_deviation")
    return {k: v for k, v in settings.items() if not (k in left_open and v is None)}
