"""Deep Variational Instance Segmentation (Yuan et al., NeurIPS 2020): the method whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from congeal.data.batch import Batch
from congeal.data.measures import TrainingSurvey
from congeal.data.rescale import rescale_image
from congeal.methods.dvis.candidates import Candidates, find_candidates, suppress
from congeal.methods.dvis.config import PRESETS, DVISConfig
from congeal.methods.dvis.examples import draw_candidates, shift_masks, true_masks
from congeal.methods.dvis.map_losses import map_losses
from congeal.methods.dvis.network import ValueNetwork, ValueOutput, hold_moments
from congeal.methods.dvis.paste import Frame, sample_labels
from congeal.methods.dvis.search import SEARCH_SPACE
from congeal.methods.dvis.suggest import suggest_settings
from congeal.methods.dvis.verification import (
    VerificationNetwork,
    VerificationTargets,
    verification_losses,
    verification_targets,
)
from congeal.methods.image import apply_gamma, pad_to
from congeal.methods.maps import ImageStatistics, MapPrediction
from congeal.methods.method import Method, Stage
from congeal.methods.object_size import predict_at_object_size
from congeal.randomness import image_generator
from congeal.segmentation import Segmentation

__all__ = ["DVIS"]


class DVIS(Method):
    """One real number per pixel, constant within an object and different between objects.

    A variational loss trains the value map. Mean shift of the values, with several bandwidths,
    gives candidates. A second network verifies them: it predicts the IoU of each with an object,
    and its class.

    Example:
        >>> model = DVIS(min_area=4)
        >>> model.segment(np.zeros((30, 50, 3), np.uint8)).shape
        (30, 50)
    """

    name = "dvis"
    title = "Deep Variational Instance Segmentation"
    reference = "Yuan et al., NeurIPS 2020"
    Config = DVISConfig
    tasks = ("instances",)
    search_space = SEARCH_SPACE
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS

    config: DVISConfig
    verified: Tensor

    def __init__(self, config: DVISConfig | None = None, **settings: Any) -> None:
        super().__init__(config, **settings)
        c = self.config.network
        self.network = ValueNetwork(c, self.config.input.input_channels)
        self.verification = VerificationNetwork(
            self.network.feature_channels,
            len(self.config.class_names),
            c.verification_width,
            c.box_margin,
            c.object_pooling,
            c.verification_stride,
        )
        # Until verification has learnt, candidates are ranked by how constant their values are.
        self.register_buffer("verified", torch.tensor(False))

    @property
    def divisor(self) -> int:
        """What the sides of the network's input must be divisible by."""
        return self.network.divisor

    @property
    def context_radius(self) -> float | None:
        """The repulsion radius."""
        return self.config.loss.repulsion_radius

    @classmethod
    def suggest(cls, survey: TrainingSurvey) -> dict[str, Any]:
        """Choose scale, gamma, smallest object, channels and repulsion radius by the objects."""
        return suggest_settings(survey)

    def encoder_parameters(self) -> Iterable[nn.Parameter]:
        """Parameters that learn at the rate of the encoder."""
        return self.network.body.encoder.parameters()

    def stages(self) -> tuple[Stage, ...]:
        """Both networks together, or the value map, then the verification of its candidates."""
        if self.config.loss.joint:
            return (Stage("joint", 1.0, learns=("network", "verification")),)
        return (
            Stage("map", 0.7, learns=("network",)),
            Stage("verification", 0.3, learns=("verification",)),
        )

    def forward(self, image: Tensor) -> ValueOutput:
        """``(B, 3, H, W)``, sides divisible by :attr:`divisor`, to a :class:`ValueOutput`."""
        image = apply_gamma(image, self.config.input.gamma)
        output: ValueOutput = self.network(image)
        return output

    def losses(
        self,
        batch: Batch,
        *,
        stage: str = "map",
        progress: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Terms of the value map, ``class`` and ``iou``: those that the stage learns by.

        In the stage ``joint`` all of them train the encoder. Before ``loss.candidates_from``,
        while candidates are poor, the verification learns from true masks: no term of the value
        map depends on classes.
        """
        joint = stage == "joint"
        begun = joint and progress >= self.config.loss.candidates_from
        verifying = begun or stage == "verification"
        if verifying:
            self.verified.fill_(True)
        if verifying or progress >= self.config.network.settle_norm:
            hold_moments(self.network)
        with torch.set_grad_enabled(torch.is_grad_enabled() and (joint or not verifying)):
            output = self(batch.image)
        terms: dict[str, Tensor] = {}
        if joint or not verifying:
            labels = sample_labels(batch.get("labels"), self.config.network.stride)
            terms = self.map_losses(output, labels, generator)
        if verifying:
            return terms | self._verification_losses(batch, output, generator)
        if not joint:
            return terms
        return terms | self._verification_losses(batch, output, generator, truth_only=True)

    def map_losses(
        self, output: ValueOutput, labels: Tensor, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """The four weighted terms of a network's output and labels ``(B, h, w)``."""
        return map_losses(output, labels, self.config.loss, self.config.network.stride, generator)

    def _verification_losses(
        self,
        batch: Batch,
        output: ValueOutput,
        generator: torch.Generator | None,
        *,
        truth_only: bool = False,
    ) -> dict[str, Tensor]:
        """Losses of the verification of the candidates of all images together."""
        c = self.config.loss
        labels = sample_labels(batch.get("labels"), self.config.network.stride)
        semantic = sample_labels(batch.get("semantic"), self.config.network.stride)
        projected = self.verification.project(output.features)
        found, targets = [], []
        for i, values in enumerate(output.values.detach().relu()):
            chance = image_generator(generator, i)
            share = c.candidate_share if c.true_candidates else 1.0
            looked = not truth_only and float(torch.rand((), generator=chance)) < share
            found.append(self._examples(values if looked else None, labels[i], chance))
            targets.append(
                verification_targets(
                    found[-1],
                    labels[i],
                    semantic[i],
                    positive_iou=c.positive_iou,
                    negative_iou=c.negative_iou,
                )
            )
        counts = torch.tensor([len(masks) for masks in found], device=labels.device)
        images = torch.arange(len(counts), device=labels.device).repeat_interleave(counts)
        losses = verification_losses(
            self.verification(projected, torch.cat(found), self._ratio, images),
            VerificationTargets(*map(torch.cat, zip(*targets, strict=True))),
            theta=c.theta,
        )
        return {"class": c.class_weight * losses["class"], "iou": c.iou_weight * losses["iou"]}

    def _examples(
        self, values: Tensor | None, labels: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """Masks ``(N, h, w)`` that an image gives in training: candidates, then true objects.

        Candidates are of one bandwidth, drawn at random, which takes a third of the time of three.
        """
        c, truth = self.config.loss, true_masks(labels)
        parts = [truth[:0]]
        if values is not None:
            bandwidths = self.config.decoding.bandwidths
            one = int(torch.randint(len(bandwidths), (), generator=generator))
            masks = self.find(values, bandwidths[one : one + 1]).masks
            parts.append(
                draw_candidates(
                    masks, truth, c.candidates, positive_iou=c.positive_iou, generator=generator
                )
            )
        if values is None or c.true_candidates:
            order = torch.randperm(len(truth), generator=generator)[: c.candidates]
            parts.append(shift_masks(truth[order.to(truth.device)], c.jitter, generator))
        return torch.cat(parts)

    @property
    def _ratio(self) -> float:
        """Pixels of the features per pixel of the value map."""
        return self.config.network.stride / self.network.feature_stride

    def find(self, values: Tensor, bandwidths: tuple[float, ...] | None = None) -> Candidates:
        """Candidates of one value map ``(C, h, w)`` after the ReLU, by the settings in force.

        Args:
            values: the map.
            bandwidths: None: those of the settings.
        """
        c = self.config.decoding
        split = c.split_components
        return find_candidates(
            values,
            bandwidths=bandwidths or c.bandwidths,
            foreground_threshold=c.foreground_threshold,
            min_area=c.min_area / self.config.network.stride**2,
            split_components=self.context_radius is not None if split is None else split,
            duplicate_iou=c.duplicate_iou,
            max_candidates=c.max_candidates,
            holes=c.fill_holes,
        )

    def compute_maps(
        self, image: NDArray[Any], statistics: ImageStatistics | None = None
    ) -> MapPrediction:
        """Run the network on one image of any size.

        Maps are ``values (C, h, w)`` after the ReLU and ``features (n, h', w')``, those of the
        encoder after the first layer of the verification.

        Raises:
            CongealError: the array is no image.
        """
        return predict_at_object_size(
            image, self.config.input, self._predict, self.object_areas, statistics
        )

    def _predict(self, pixels: Tensor, magnified: float) -> MapPrediction:
        height, width = pixels.shape[1:]
        shown = rescale_image(pixels, self.config.input.scale * magnified)  # (3, h, w)
        device = next(self.parameters()).device
        batch = pad_to(shown[None], self.divisor).to(device, memory_format=torch.channels_last)
        output = self(batch)
        stride = self.config.network.stride
        rows, columns = (-(-side // stride) for side in shown.shape[1:])
        maps = {
            "values": output.values[0, :, :rows, :columns].relu(),
            "features": self.verification.project(output.features)[0],
        }
        return MapPrediction(maps, (height, width), stride, magnified)

    @torch.inference_mode()
    def decode(self, maps: MapPrediction, *, keep_embedding: bool = False) -> Segmentation:
        """Verified candidates as objects; of two that overlap much the better one.

        Example:
            >>> model = DVIS()
            >>> maps = model.predict_maps(np.zeros((30, 50), np.uint8))
            >>> model.configure(min_score=0.4).decode(maps).shape
            (30, 50)
        """
        c = self.config.decoding
        found, scores, classes = self._verify(maps)
        accepted = (scores >= c.min_score).nonzero()[:, 0]
        kept = accepted[suppress(found.masks[accepted], scores[accepted], c.max_overlap)]
        return self._describe(maps, found.masks[kept], scores[kept], classes[kept], keep_embedding)

    @torch.inference_mode()
    def candidates(self, maps: MapPrediction) -> Segmentation:
        """All candidates of an image with score and class, the rejected too; they may overlap.

        Example:
            >>> model = DVIS()
            >>> model.candidates(model.predict_maps(np.zeros((30, 50), np.uint8))).shape
            (30, 50)
        """
        found, scores, classes = self._verify(maps)
        return self._describe(maps, found.masks, scores, classes)

    def illustrate(self, image: NDArray[Any]) -> list[tuple[str, NDArray[Any]]]:
        """Value map, its levels, the groups of each bandwidth, candidates accepted and rejected.

        Example:
            >>> [title for title, _ in DVIS().illustrate(np.zeros((30, 50), np.uint8))][:2]
            ['value map', 'levels']
        """
        return self._picture_steps(image, self.predict_maps(image))

    def _picture_steps(
        self, image: NDArray[Any], maps: MapPrediction
    ) -> list[tuple[str, NDArray[Any]]]:
        from congeal.methods.dvis.illustration import draw_stages  # late: matplotlib is slow

        usual, groups = self.config, {}
        try:
            for bandwidth in usual.decoding.bandwidths:
                self.config = usual.updated({"decoding.bandwidths": (bandwidth,)})
                groups[bandwidth] = self.candidates(maps)
        finally:
            self.config = usual
        values = maps.maps["values"].float().cpu().numpy()
        every, accepted = self.candidates(maps), self.decode(maps)
        threshold = usual.decoding.foreground_threshold
        return list(draw_stages(image, values, groups, threshold, every, accepted))

    def _verify(self, maps: MapPrediction) -> tuple[Candidates, Tensor, Tensor]:
        """Candidates of an image, their scores ``(N,)`` and classes ``(N,)``."""
        found = self.find(maps.maps["values"].float())
        if not self.verified:
            return found, found.cohesion, torch.ones_like(found.cohesion, dtype=torch.int64)
        output = self.verification(maps.maps["features"][None], found.masks, self._ratio)
        return found, *output.scores(self.config.decoding.iou_share)

    def _describe(
        self,
        maps: MapPrediction,
        masks: Tensor,
        scores: Tensor,
        classes: Tensor,
        keep_embedding: bool = False,
    ) -> Segmentation:
        """Objects at the resolution of the image; a label map where none overlap."""
        values = maps.maps["values"]
        scale = self.config.input.scale * maps.scale
        frame = Frame(maps.size, (values.shape[1], values.shape[2]), maps.stride, scale)
        columns: dict[str, Any] = {
            "scores": scores.float().cpu().numpy(),
            "classes": classes.cpu().numpy(),
            "class_names": self.config.class_names,
            "embedding": values.float().cpu().numpy() if keep_embedding else None,
        }
        if bool((masks.sum(0) > 1).any()):
            drawn = np.stack([frame.draw(mask) for mask in masks])
            return Segmentation.from_masks(drawn, **columns)
        labels = np.zeros(maps.size, np.int64)
        for number, mask in enumerate(masks, 1):
            window, part = frame.crop(mask)
            labels[window][part] = number
        there = np.unique(labels[labels > 0]) - 1  # a shrunken image loses some
        columns |= {name: columns[name][there] for name in ("scores", "classes")}
        return Segmentation.from_labels(labels, **columns)
