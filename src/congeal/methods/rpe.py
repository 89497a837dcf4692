"""Recurrent Pixel Embedding (Kong & Fowlkes, CVPR 2018): network, loss and grouping joined."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from congeal.data.intensity import scale_intensity
from congeal.data.zoom import magnification, zoom_image
from congeal.errors import unknown
from congeal.grouping.groups import Grouping
from congeal.grouping.mean_shift import MeanShift
from congeal.grouping.readout import ReadOut
from congeal.grouping.registry import build_grouping
from congeal.losses.pairwise import pairwise_loss
from congeal.losses.touching import touching
from congeal.methods.rpe_config import READ_OUT, RPEConfig, make_config, normalisation
from congeal.methods.views import look
from congeal.methods.zoom import Seen, unzoom
from congeal.networks.embedding import EmbeddingNetwork, EmbeddingOutput
from congeal.networks.encoders import build_encoder
from congeal.segmentation import Segmentation

__all__ = ["RPE", "RPEConfig", "Seen"]


class RPE(nn.Module):
    """Recurrent Pixel Embedding: every pixel a point on the sphere, mean shift makes the objects.

    The network gives unit embeddings at stride 2 or 4 and, beside them, a semantic map (which
    tells background and classes) and a map of where objects touch (pixels there are poor seeds).
    The pairwise loss shapes the embedding, through mean-shift steps too; mean shift to
    convergence reads the objects out.

    Args:
        config: all settings, or None and settings by name.
        settings: fields of :class:`RPEConfig`.

    Raises:
        CongealError: a setting is unknown (the nearest is suggested) or out of range.

    Example:
        >>> model = RPE(dimensions=8, coordinates="none")
        >>> result = model.segment(np.zeros((30, 50, 3), np.uint8))
        >>> result.shape
        (30, 50)
    """

    def __init__(self, config: RPEConfig | None = None, **settings: Any) -> None:
        super().__init__()
        self.config = make_config(config, settings)
        c = self.config
        mean, deviation = normalisation(c)
        encoder = build_encoder(
            c.encoder,
            3 + 2 * (c.coordinates in ("channels", "both")),
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
            classes=len(c.class_names),
            stride=c.stride,
            coordinates=c.coordinates,
            wavelengths=c.wavelengths,
            decoder=c.decoder,
            mean=mean,
            deviation=deviation,
        )
        self.shift = MeanShift(
            c.concentration,
            c.margin,
            steps=c.train_steps,
            step_size=c.step_size,
            learnable=c.learn_concentration,
            reach=None if c.reach is None else c.reach / c.stride,
        )

    @property
    def settings(self) -> dict[str, Any]:
        """All settings, ready for JSON; of a file of weights its name, not where it lay."""
        weights = self.config.encoder_weights
        told = {"encoder_weights": None if weights is None else Path(weights).name}
        return self.config.model_dump(mode="json") | told

    @property
    def divisor(self) -> int:
        """What the sides of the network's input must be divisible by."""
        return self.network.divisor

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> RPE:
        """Make the model that ``settings`` describe, without fetching or reading any weights."""
        return cls(**{**settings, "pretrained": False, "encoder_weights": None})

    def configure(self, **settings: Any) -> RPE:
        """Change settings of the read-out in place (``smallest``, ``merge``, ``foreground``, ...).

        Raises:
            CongealError: the setting is unknown, out of range, or not one of the read-out.

        Example:
            >>> RPE(dimensions=4).configure(smallest=30).config.smallest
            30.0
        """
        for name in settings:
            if name not in READ_OUT:
                raise unknown("setting of the read-out", name, READ_OUT)
        self.config = make_config(None, {**self.config.model_dump(), **settings})
        return self

    def forward(self, image: Tensor) -> EmbeddingOutput:
        """``(B, 3, H, W)``, sides divisible by :attr:`divisor`, to an :class:`EmbeddingOutput`."""
        if self.config.tone != 1:
            image = image.clamp_min(0) ** self.config.tone
        output: EmbeddingOutput = self.network(image)
        return output

    def losses(
        self,
        output: EmbeddingOutput,
        labels: Tensor,
        semantic: Tensor | None = None,
        generator: torch.Generator | None = None,
        progress: float = 1.0,
    ) -> dict[str, Tensor]:
        """The terms of the training loss, weighted; their sum is what to minimise.

        Args:
            output: of :meth:`forward`.
            labels: ``(B, H, W)`` int64 instances, -1 void.
            semantic: ``(B, H, W)`` int64 classes, 0 background, -1 void; None: objects are 1.
            generator: of the pixel sampling.
            progress: share of the training that is done, for ``shift_from``.

        Returns:
            Scalars ``embedding``, ``semantic`` and ``touching``.
        """
        c = self.config
        if semantic is None:
            semantic = labels.clamp(max=1)
        coarse = labels[:, :: c.stride, :: c.stride]
        pair = pairwise_loss(
            output.embedding,
            coarse,
            margin=c.margin,
            negative_weight=c.negative_weight,
            samples=c.samples,
            sampling=c.sampling,
            background=c.background == "group",
            reach=None if c.reach is None else c.reach / c.stride,
            grouping=self.shift if progress >= c.shift_from else None,
            generator=generator,
        )
        return {
            "embedding": c.embedding_weight * pair,
            "semantic": _mean_where(
                functional.cross_entropy(output.semantic, semantic.clamp_min(0), reduction="none"),
                semantic >= 0,
            ),
            "touching": c.boundary_weight * _touching_loss(output.touching[:, 0], labels),
        }

    @property
    def read_out(self) -> ReadOut:
        """The grouping that makes label maps, with the settings in force."""
        c = self.config
        return ReadOut(
            margin=c.margin if c.merge is None else c.merge,
            concentration=c.read_concentration or float(self.shift.concentration),
            reach=None if c.reach is None else c.reach / 2,
            smallest=c.smallest,
            fragment=c.fragment,
            connected=c.connected,
            holes=c.holes,
            grouping=self._named_grouping(),
        )

    def _named_grouping(self) -> Grouping | None:
        """The grouping that the settings name; None: mean shift, as the read-out does it."""
        c = self.config
        if c.grouping == "auto":
            return None
        options: dict[str, Any] = dict(c.grouping_options)
        if c.grouping == "mean-shift":
            margin = c.margin if c.merge is None else c.merge
            kappa = c.read_concentration or float(self.shift.concentration)
            options = {"concentration": kappa, "margin": margin} | options
        return build_grouping(c.grouping, **options)

    @torch.inference_mode()
    def group(
        self, output: EmbeddingOutput, size: tuple[int, int], *, keep_embedding: bool = False
    ) -> list[Segmentation]:
        """Read the objects of each image of a batch.

        Args:
            output: of :meth:`forward`, in evaluation mode.
            size: height and width of the image inside its padding (top left).
            keep_embedding: let each result carry its embedding ``(views D, h, w)``.
        """
        stride, read_out = self.config.stride, self.read_out
        return [
            self._group_one(one, size, stride, read_out, keep_embedding)
            for one in (EmbeddingOutput(*parts) for parts in zip(*output, strict=True))
        ]

    def _group_one(
        self,
        output: EmbeddingOutput,
        size: tuple[int, int],
        stride: int,
        read_out: ReadOut,
        keep_embedding: bool,
    ) -> Segmentation:
        cut = (slice(None), slice(size[0]), slice(size[1]))
        semantic = output.semantic[cut].float().softmax(0)  # (C + 1, H, W)
        objectness = 1 - semantic[0]
        trust = (objectness * (1 - output.touching[cut][0].float().sigmoid())).clamp_min(0)
        mask = objectness > self.config.foreground
        if self.config.background == "group":
            mask, trust = torch.ones_like(mask), torch.ones_like(trust)
        labels = read_out(output.embedding, mask, trust**self.config.seed_power, stride=stride)
        if self.config.background == "group":
            labels = _without_largest(labels)
        return self._describe(labels, semantic, output.embedding if keep_embedding else None)

    def _describe(
        self, labels: NDArray[np.int64], semantic: Tensor, embedding: Tensor | None
    ) -> Segmentation:
        """Class of each object by vote, score by how sure the semantic map is of it."""
        count = int(labels.max(initial=0))
        index = torch.from_numpy(labels).to(semantic.device).reshape(-1)
        sums = semantic.new_zeros(count + 1, len(semantic))
        sums.index_add_(0, index, semantic.flatten(1).T.contiguous())
        area = torch.bincount(index, minlength=count + 1).clamp_min(1)
        mean = (sums / area[:, None])[1:]  # (K, C + 1)
        classes = mean[:, 1:].argmax(1) + 1
        scores = 1 - mean[:, 0]
        result = Segmentation.from_labels(
            labels,
            scores=scores.cpu().numpy(),
            classes=classes.cpu().numpy(),
            class_names=self.config.class_names,
            embedding=None if embedding is None else embedding.float().cpu().numpy(),
        )
        sure = result.scores >= self.config.least_score
        return result if sure.all() else result.select(sure)

    @torch.inference_mode()
    def segment(self, image: NDArray[Any], *, keep_embedding: bool = False) -> Segmentation:
        """Segment one image of any size.

        Args:
            image: ``(H, W)``, ``(H, W, 1)`` or ``(H, W, 3)``, any real type.
            keep_embedding: let the result carry the embedding ``(views D, h, w)``, for pictures.

        Returns:
            The objects, each with its mask, class and score.

        Raises:
            CongealError: the array is no image.
        """
        seen, found = self._look_closely(image, keep_embedding)
        return self.read(seen, keep_embedding=keep_embedding) if found is None else found

    @torch.inference_mode()
    def look(self, image: NDArray[Any]) -> Seen:
        """What the network says of one image of any size, ready for :meth:`read`.

        Args:
            image: as for :meth:`segment`.

        Raises:
            CongealError: the array is no image.
        """
        return self._look_closely(image)[0]

    def _look_closely(
        self, image: NDArray[Any], keep_embedding: bool = False
    ) -> tuple[Seen, Segmentation | None]:
        """Look again, enlarged, where objects are small; and what was read where it was once."""
        pixels = scale_intensity(image)  # (3, H, W)
        seen = self._see(pixels)
        if not self.config.magnify:
            return seen, None
        found = self.read(seen, keep_embedding=keep_embedding)
        shown = self.config.zoom**2  # pixels for each of the image
        larger = magnification(
            found.areas * shown, self.config.magnify, shown * math.prod(found.shape)
        )
        return (seen, found) if larger == 1 else (self._see(pixels, larger), None)

    def _see(self, pixels: Tensor, magnified: float = 1.0) -> Seen:
        """Look once at an image ``(3, H, W)``, at one size."""
        height, width = pixels.shape[1:]
        zoom = self.config.zoom * magnified
        shown = zoom_image(pixels, zoom)  # (3, h, w)
        output, stride = self._look(shown), int(self.config.stride)
        if zoom != 1:
            within = (shown.shape[1], shown.shape[2])
            output, stride = unzoom(output, within, (height, width), stride)
        one = EmbeddingOutput(*(part[0] for part in output))
        return Seen(one, (height, width), stride, magnified)

    @torch.inference_mode()
    def read(self, seen: Seen, *, keep_embedding: bool = False) -> Segmentation:
        """Read the objects out of what the network said, by the settings in force.

        The network's part is done, so several settings of the read-out can be compared quickly
        (not ``zoom``, ``magnify`` and ``views``, which change what it is shown).

        Example:
            >>> model = RPE(dimensions=4, coordinates="none")
            >>> seen = model.look(np.zeros((30, 50), np.uint8))
            >>> model.configure(foreground=0.4).read(seen).shape
            (30, 50)
        """
        read_out = self.read_out
        if self.config.zoom != 1:
            read_out = read_out.on_zoomed(self.config.zoom)
        if seen.magnified != 1 and read_out.reach is not None:  # objects are as large as ever
            read_out = replace(read_out, reach=read_out.reach / seen.magnified)
        return self._group_one(seen.output, seen.size, seen.stride, read_out, keep_embedding)

    def _look(self, image: Tensor) -> EmbeddingOutput:
        """What the network says of one image ``(3, H, W)``, padded for it; views put together."""
        batch = pad_to(image[None], self.divisor)
        was_training = self.training
        self.eval()
        device = next(self.parameters()).device
        shown = batch.to(device, memory_format=torch.channels_last)
        output = look(self, shown, self.config.views)
        self.train(was_training)
        rows, columns = (-(-side // self.config.stride) for side in image.shape[1:])
        return output._replace(embedding=output.embedding[..., :rows, :columns])


def pad_to(image: Tensor, divisor: int) -> Tensor:
    """Repeat the last row and column until both sides of ``(B, C, H, W)`` divide."""
    sides = (0, -image.shape[3] % divisor, 0, -image.shape[2] % divisor)
    return functional.pad(image, sides, mode="replicate")


def _mean_where(values: Tensor, mask: Tensor) -> Tensor:
    return (values * mask).sum() / mask.sum().clamp_min(1)


def _touching_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy of touching pixels, over the pixels of objects."""
    target = touching(labels).to(logits.dtype)
    weight = logits.new_tensor(3.0)  # touching pixels are the fewer
    loss = functional.binary_cross_entropy_with_logits(
        logits, target, pos_weight=weight, reduction="none"
    )
    return _mean_where(loss, labels > 0)


def _without_largest(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Take the largest group for background."""
    area = np.bincount(labels.ravel())
    area[0] = 0
    if not area.any():
        return labels
    largest = int(area.argmax())
    rename = np.arange(len(area))
    rename[largest] = 0
    rename[largest + 1 :] -= 1
    return rename[labels]
