"""RPE for semantic segmentation, classes as groups (Kong & Fowlkes, CVPR 2018, section 4.3)."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from congeal.data.batch import Batch
from congeal.data.rescale import rescale_image
from congeal.grouping.mean_shift import MeanShift
from congeal.losses.pairwise import pairwise_loss
from congeal.methods.image import apply_gamma, network_input, pad_to
from congeal.methods.maps import ImageStatistics, MapPrediction
from congeal.methods.rescale import resample_map
from congeal.methods.rpe.dense import DenseTask
from congeal.methods.rpe.semantic_config import SEMANTIC_PRESETS, RPESemanticConfig
from congeal.methods.rpe.semantic_network import ClassNetwork, ClassOutput
from congeal.segmentation import Segmentation

__all__ = ["RPESemantic"]


class RPESemantic(DenseTask):
    """The class of every pixel, by cross-entropy and a pairwise loss with one group per class.

    Logits and unit embeddings are computed from the features of an atrous pyramid. The pairwise
    loss, with mean-shift steps, attracts pixels of the same class and separates classes by the
    margin. Prediction uses only the logits.

    Example:
        >>> import numpy as np
        >>> model = RPESemantic(class_names=("road", "car"))
        >>> result = model.segment(np.zeros((30, 50, 3), np.uint8))
        >>> result.semantic.shape, result.probabilities.shape
        ((30, 50), (3, 30, 50))
    """

    Config = RPESemanticConfig
    tasks = ("semantic",)
    presets = SEMANTIC_PRESETS

    network: ClassNetwork
    config: RPESemanticConfig

    def __init__(self, config: RPESemanticConfig | None = None, **settings: Any) -> None:
        super().__init__(config, **settings)
        c, loss = self.config.network, self.config.loss
        self.network = ClassNetwork(
            c, len(self.config.class_names), self.config.input.input_channels
        )
        self.shift = MeanShift(
            loss.concentration, loss.margin, steps=loss.mean_shift_steps, eta=loss.eta
        )

    @property
    def wanted_maps(self) -> tuple[str, ...]:
        """``semantic``: class of every pixel."""
        return ("semantic",)

    def forward(self, image: Tensor) -> ClassOutput:
        """``(B, 3, H, W)``, sides divisible by :attr:`divisor`, to a :class:`ClassOutput`."""
        image = apply_gamma(image, self.config.input.gamma)
        output: ClassOutput = self.network(image)
        return output

    def losses(
        self,
        batch: Batch,
        *,
        stage: str = "training",
        progress: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Terms ``classes`` and, if its weight is not 0, ``embedding``."""
        del stage, progress  # there is one stage, with constant losses
        output, truth = self(batch.image), batch.get("semantic")
        logits = functional.interpolate(
            output.logits, size=truth.shape[-2:], mode="bilinear", align_corners=False
        )
        entropy = functional.cross_entropy(logits, truth.clamp_min(0), reduction="none")
        known = truth >= 0
        terms = {"classes": (entropy * known).sum() / known.sum().clamp_min(1)}
        if self.config.loss.embedding_weight:
            pair = self._pairwise(output.embedding, truth, generator)
            terms["embedding"] = self.config.loss.embedding_weight * pair
        return terms

    def _pairwise(
        self, embedding: Tensor, truth: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        c, stride = self.config.loss, self.config.network.stride
        return pairwise_loss(
            embedding,
            truth[:, ::stride, ::stride],
            margin=c.margin,
            negative_weight=c.negative_weight,
            samples=c.samples,
            sampling=c.sampling,
            grouping=self.shift if c.mean_shift_steps else None,
            generator=generator,
        )

    def compute_maps(
        self, image: NDArray[Any], statistics: ImageStatistics | None = None
    ) -> MapPrediction:
        """Probabilities of one image of any size, averaged over scales and mirroring.

        Maps: ``probabilities (C + 1, H, W)``, and ``embedding (D, h, w)`` at the first scale.

        Raises:
            CongealError: the array is not an image.
        """
        c = self.config.decoding
        bounds = None if statistics is None else statistics.bounds
        pixels = network_input(image, self.config.input, bounds)
        mirrored = [pixels, pixels.flip(-1)] if c.mirror else [pixels]
        found = [self._at_scale(one, scale) for one in mirrored for scale in c.scales]
        probs = [probabilities for probabilities, _ in found]
        probs[len(c.scales) :] = [one.flip(-1) for one in probs[len(c.scales) :]]
        maps = {"probabilities": torch.stack(probs).mean(0), "embedding": found[0][1]}
        size = (pixels.shape[1], pixels.shape[2])
        return MapPrediction(maps, size, int(self.config.network.stride))

    def _at_scale(self, pixels: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        """Probabilities of an image ``(3, H, W)`` at one scale, and its embedding."""
        scaled = rescale_image(pixels, self.config.input.scale * scale)
        padded = pad_to(scaled[None], self.divisor)
        device = next(self.parameters()).device
        output = self(padded.to(device, memory_format=torch.channels_last))
        size, stride = (scaled.shape[1], scaled.shape[2]), self.config.network.stride
        full = functional.interpolate(
            output.logits, size=padded.shape[-2:], mode="bilinear", align_corners=False
        )
        resized = resample_map(full, size, (pixels.shape[1], pixels.shape[2]))
        rows, columns = (-(-side // stride) for side in size)
        return resized[0].softmax(0), output.embedding[0, :, :rows, :columns]

    @torch.inference_mode()
    def decode(self, maps: MapPrediction, *, keep_embedding: bool = False) -> Segmentation:
        """The most probable class of every pixel, with the probabilities of all.

        Example:
            >>> import numpy as np
            >>> model = RPESemantic()
            >>> maps = model.predict_maps(np.zeros((30, 50), np.uint8))
            >>> float(model.decode(maps).probabilities.sum(0).round(3).min())
            1.0
        """
        probs = maps.maps["probabilities"].float().cpu().numpy()
        kept = maps.maps["embedding"].float().cpu().numpy() if keep_embedding else None
        return Segmentation.from_maps(None, probs, None, self.config.class_names, kept)

    def illustrate(self, image: NDArray[Any]) -> list[tuple[str, NDArray[Any]]]:
        """Embedding as colours, with the same projection for all images.

        Example:
            >>> import numpy as np
            >>> [title for title, _ in RPESemantic().illustrate(np.zeros((30, 50), np.uint8))]
            ['embedding']
        """
        from congeal.methods.rpe.illustration import draw_embedding  # late: matplotlib is slow

        return [("embedding", draw_embedding(self.predict_maps(image).maps["embedding"]))]
