"""RPE for boundary detection (Kong & Fowlkes, CVPR 2018, section 4.1).

Flow: side outputs -> unit embeddings (pairwise loss) -> boundary maps (logistic loss) -> thinning.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import functional

from congeal.data.batch import Batch
from congeal.data.rescale import rescale_image
from congeal.losses.balanced_logistic import balanced_logistic_loss
from congeal.losses.pairwise import pairwise_loss
from congeal.methods.image import apply_gamma, network_input, pad_to
from congeal.methods.maps import ImageStatistics, MapPrediction
from congeal.methods.method import Stage
from congeal.methods.rescale import resample_map
from congeal.methods.rpe.boundaries_config import (
    BOUNDARY_PRESETS,
    BOUNDARY_SEARCH,
    RPEBoundariesConfig,
)
from congeal.methods.rpe.dense import DenseTask
from congeal.methods.rpe.edges import suppress_non_maxima
from congeal.methods.rpe.sides import SideNetwork, SideOutput
from congeal.segmentation import Segmentation

__all__ = ["RPEBoundaries", "boundary_groups"]

EMBEDDING, TUNING = "embedding", "fine-tuning"  # the stages


class RPEBoundaries(DenseTask):
    """Boundary probability of every pixel, from embeddings with three dimensions.

    Every side output of the encoder has a unit embedding with D = 3. The pairwise loss separates
    two groups, boundary and other pixels; each group has half of the weight. Boundary maps are
    predicted from each embedding, and from all together (fusion), and fine-tuned by the logistic
    loss. The result is the mean of the maps, thinned by edge non-maximum suppression.

    Example:
        >>> model = RPEBoundaries()
        >>> result = model.segment(np.zeros((30, 50, 3), np.uint8))
        >>> result.boundary.shape
        (30, 50)
    """

    Config = RPEBoundariesConfig
    tasks = ("boundaries",)
    search_space = BOUNDARY_SEARCH
    presets = BOUNDARY_PRESETS

    network: SideNetwork
    config: RPEBoundariesConfig

    def __init__(self, config: RPEBoundariesConfig | None = None, **settings: Any) -> None:
        super().__init__(config, **settings)
        self.network = SideNetwork(self.config.network, self.config.input.input_channels)

    @property
    def wanted_maps(self) -> tuple[str, ...]:
        """``boundaries``: share of the annotators that mark each pixel."""
        return ("boundaries",)

    def stages(self) -> tuple[Stage, ...]:
        """Training of the embedding (unless its share is 0), then fine-tuning."""
        share = self.config.loss.embedding_share
        if not share:
            return (Stage(TUNING),)
        return (Stage(EMBEDDING, share), Stage(TUNING, 1 - share))

    def forward(self, image: Tensor, *, hold_embedding: bool = False) -> SideOutput:
        """``(B, 3, H, W)``, sides divisible by :attr:`divisor`, to a :class:`SideOutput`."""
        image = apply_gamma(image, self.config.input.gamma)
        output: SideOutput = self.network(image, hold_embedding=hold_embedding)
        return output

    def losses(
        self,
        batch: Batch,
        *,
        stage: str = TUNING,
        progress: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Terms ``sides`` and ``fusion`` (logistic) and, if its weight is not 0, ``embedding``.

        In the stage ``embedding`` the gradient of the logistic loss stops at the embedding.
        """
        del progress
        c, alone = self.config.loss, stage == EMBEDDING
        output = self(batch.image, hold_embedding=alone)
        groups = boundary_groups(batch.get("boundaries"), c.consensus)
        sides = [self._logistic(one, groups) for one in output.sides]
        terms = {
            "sides": torch.stack(sides).mean(),
            "fusion": self._logistic(output.fusion, groups),
        }
        weight = 1.0 if alone else c.embedding_weight
        if weight:
            terms["embedding"] = weight * self._pairwise(output, groups, generator)
        return terms

    def _logistic(self, logits: Tensor, groups: Tensor) -> Tensor:
        """Logistic loss of logits ``(B, 1, h, w)``, resized to the crop."""
        resized = functional.interpolate(
            logits, size=groups.shape[-2:], mode="bilinear", align_corners=False
        )
        return balanced_logistic_loss(resized[:, 0], groups, balance=self.config.loss.balance)

    def _pairwise(
        self, output: SideOutput, groups: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """Mean over the side outputs, with groups downsampled to the grid of each."""
        c = self.config.loss
        losses = [
            pairwise_loss(
                one,
                _coarse(groups, one.shape[-2:]),
                margin=c.margin,
                negative_weight=c.negative_weight,
                samples=c.samples,
                sampling=c.sampling,
                generator=generator,
            )
            for one in output.embeddings
        ]
        return torch.stack(losses).mean()

    def compute_maps(
        self, image: NDArray[Any], statistics: ImageStatistics | None = None
    ) -> MapPrediction:
        """Boundary maps of one image of any size, averaged over ``decoding.scales``.

        Maps: ``sides`` (mean of the side outputs) and ``fusion``, ``(1, H, W)`` in [0, 1], and the
        finest ``embedding (D, h, w)`` at the first scale.

        Raises:
            CongealError: the array is not an image.
        """
        bounds = None if statistics is None else statistics.bounds
        pixels = network_input(image, self.config.input, bounds)
        size = (pixels.shape[1], pixels.shape[2])
        scaled = [self._at_scale(pixels, scale) for scale in self.config.decoding.scales]
        maps = {
            name: torch.stack([one[name] for one in scaled]).mean(0) for name in ("sides", "fusion")
        }
        embedding = scaled[0]["embedding"]
        return MapPrediction({**maps, "embedding": embedding}, size, self.network.stride)

    def _at_scale(self, pixels: Tensor, scale: float) -> dict[str, Tensor]:
        """Maps of an image ``(3, H, W)`` at one scale, resized to the image."""
        size = (pixels.shape[1], pixels.shape[2])
        output, sizes = self._run(pixels, scale)
        sides = [self._resized(one, sizes, size) for one in output.sides]
        rows, columns = (-(-side // self.network.stride) for side in sizes[0])
        return {
            "sides": torch.stack(sides).mean(0),
            "fusion": self._resized(output.fusion, sizes, size),
            "embedding": output.embeddings[0][0, :, :rows, :columns],
        }

    def _run(
        self, pixels: Tensor, scale: float
    ) -> tuple[SideOutput, tuple[tuple[int, int], tuple[int, int]]]:
        """Output for an image at one scale, its scaled size, and that size with padding."""
        scaled = rescale_image(pixels, self.config.input.scale * scale)
        padded = pad_to(scaled[None], self.divisor)
        device = next(self.parameters()).device
        output = self(padded.to(device, memory_format=torch.channels_last))
        return output, ((scaled.shape[1], scaled.shape[2]), (padded.shape[2], padded.shape[3]))

    @staticmethod
    def _resized(
        logits: Tensor, sizes: tuple[tuple[int, int], tuple[int, int]], size: tuple[int, int]
    ) -> Tensor:
        """Probabilities ``(1, H, W)`` of logits ``(1, 1, h, w)`` of the padded image."""
        full = resample_map(logits, (logits.shape[2], logits.shape[3]), sizes[1])
        return resample_map(full, sizes[0], size)[0].sigmoid()

    @torch.inference_mode()
    def decode(self, maps: MapPrediction, *, keep_embedding: bool = False) -> Segmentation:
        """The mean of the maps, smoothed and thinned.

        Example:
            >>> model = RPEBoundaries()
            >>> maps = model.predict_maps(np.zeros((30, 50), np.uint8))
            >>> bool((model.configure(thin=False).decode(maps).boundary > 0).all())
            True
        """
        c = self.config.decoding
        mean = torch.lerp(maps.maps["fusion"].float(), maps.maps["sides"].float(), c.side_weight)
        boundary = mean[0].cpu().numpy().astype(np.float64)
        if c.smoothing:
            boundary = gaussian_filter(boundary, c.smoothing, mode="nearest")
        if c.thin:
            boundary = suppress_non_maxima(boundary)
        embedding = maps.maps["embedding"].float().cpu().numpy() if keep_embedding else None
        return Segmentation.from_maps(boundary=boundary.clip(0, 1), embedding=embedding)

    def illustrate(self, image: NDArray[Any]) -> list[tuple[str, NDArray[Any]]]:
        """The embedding of each side output as colours, and the boundary map before thinning.

        Example:
            >>> [title for title, _ in RPEBoundaries().illustrate(np.zeros((64, 64), np.uint8))]
            ['stride 2', 'stride 4', 'stride 8', 'stride 16', 'stride 32', 'before thinning']
        """
        return list(self._steps(image))

    def _steps(self, image: NDArray[Any]) -> Iterator[tuple[str, NDArray[Any]]]:
        from congeal.figures.display import sphere_rgb, to_display  # late: matplotlib is slow
        from congeal.methods.image import evaluation_mode

        pixels = network_input(image, self.config.input)
        with torch.inference_mode(), evaluation_mode(self):
            output, (scaled, padded) = self._run(pixels, 1.0)
            maps = self.compute_maps(image)
        for one in output.embeddings:
            stride = padded[0] // one.shape[2]
            rows, columns = (-(-side // stride) for side in scaled)
            picture = sphere_rgb(one[0, :, :rows, :columns].float().cpu().numpy())
            yield f"stride {stride}", picture.repeat(stride, 0).repeat(stride, 1)
        mean = (maps.maps["sides"] + maps.maps["fusion"])[0] / 2
        yield "before thinning", to_display((mean * 255).byte().cpu().numpy())


def boundary_groups(share: Tensor, consensus: float) -> Tensor:
    """Group of each pixel by the share of annotators that mark it.

    Args:
        share: ``(B, H, W)``, share of annotators per pixel, -1 void.
        consensus: minimum share of a boundary pixel.

    Returns:
        ``(B, H, W)`` int64: 1 boundary, 0 not marked by any annotator, -1 otherwise.

    Example:
        >>> boundary_groups(torch.tensor([[[0.0, 0.2, 0.4, -1.0]]]), 0.3).tolist()
        [[[0, -1, 1, -1]]]
    """
    unsure = (share < 0) | ((share > 0) & (share < consensus))
    return (share >= consensus).long().masked_fill(unsure, -1)


def _coarse(groups: Tensor, size: torch.Size) -> Tensor:
    """Downsample groups: boundary if any pixel of a cell is, else void if any pixel is.

    Example:
        >>> _coarse(torch.tensor([[[0, 0, 1, -1, 0, -1]]]), torch.Size((1, 3))).tolist()
        [[[0, 1, -1]]]
    """
    rank = torch.where(groups < 0, 1.0, 2.0 * groups)  # not boundary 0, void 1, boundary 2
    coarse = functional.adaptive_max_pool2d(rank, size)
    return torch.where(coarse == 1, -1, (coarse > 1).long())
