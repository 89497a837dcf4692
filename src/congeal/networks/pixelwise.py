"""Base class of the registered networks: named heads on a shared trunk, images of any size."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional

from congeal.errors import CongealError

__all__ = ["PixelNetwork"]


class PixelNetwork(nn.Module):
    """Base class of the networks of :func:`congeal.networks.build_network`.

    A subclass computes its maps at ``native_stride`` in :meth:`maps`. This class pads the image,
    resamples the maps to ``stride`` (finer: bilinear; coarser: average pooling) and crops them.

    Args:
        in_channels: channels of the image, coordinate channels included.
        out_channels: channels of each head by name, such as ``{"embedding": 8, "semantic": 3}``.
        native_stride: stride of the maps that :meth:`maps` computes.
        divisor: the sides of the padded image are multiples of it.
        stride: stride of the output, a divisor or a multiple of ``native_stride``; None:
            ``native_stride``.

    Attributes:
        stride: pixels of the image per pixel of the maps.
        divisor: images whose sides are multiples of it need no padding.
        out_channels: channels of each head by name.

    Raises:
        CongealError: there is no head, a number of channels is below 1, or the stride is neither
            a divisor nor a multiple of ``native_stride``.

    Example:
        >>> import torch
        >>> class Mean(PixelNetwork):
        ...     def maps(self, image):
        ...         return {"mean": image.mean(1, keepdim=True)}
        >>> network = Mean(3, {"mean": 1}, native_stride=1, divisor=1, stride=2)
        >>> tuple(network(torch.zeros(1, 3, 5, 8))["mean"].shape)
        (1, 1, 3, 4)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: Mapping[str, int],
        *,
        native_stride: int,
        divisor: int,
        stride: int | None = None,
    ) -> None:
        super().__init__()
        if not out_channels or min(in_channels, *out_channels.values()) < 1:
            raise CongealError(
                "expected at least one head and at least 1 channel each, "
                f"got {in_channels} in and {dict(out_channels)} out"
            )
        stride = native_stride if stride is None else stride
        if stride < 1 or (native_stride % stride and stride % native_stride):
            raise CongealError(
                f"expected a stride that divides {native_stride} or is a multiple, got {stride}"
            )
        self.in_channels = in_channels
        self.out_channels = dict(out_channels)
        self.native_stride = native_stride
        self.stride = stride
        self.divisor = math.lcm(divisor, stride)

    def maps(self, image: Tensor) -> dict[str, Tensor]:
        """Maps by name at ``native_stride`` of ``(B, C, H, W)``, sides divisible by divisor."""
        raise NotImplementedError

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Compute the map of each head.

        Args:
            image: ``(B, C, H, W)``, normalised, of any size.

        Returns:
            ``(B, out_channels[name], ceil(H / stride), ceil(W / stride))`` by name.
        """
        height, width = image.shape[-2:]
        extra = (0, -width % self.divisor, 0, -height % self.divisor)
        padded = functional.pad(image, extra, mode="replicate") if any(extra) else image
        rows, columns = (-(-side // self.stride) for side in (height, width))
        resized = {name: self._resized(x) for name, x in self.maps(padded).items()}
        return {name: x[..., :rows, :columns] for name, x in resized.items()}

    def _resized(self, x: Tensor) -> Tensor:
        if self.stride > self.native_stride:
            coarse: Tensor = functional.avg_pool2d(x, self.stride // self.native_stride)
            return coarse
        if self.stride == self.native_stride:
            return x
        factor = self.native_stride // self.stride
        fine: Tensor = functional.interpolate(x, scale_factor=factor, mode="bilinear")
        return fine


def narrowed(channels: int, width_divisor: int) -> int:
    """Channels / width_divisor.

    Raises:
        CongealError: the divisor does not divide the channels.

    Example:
        >>> narrowed(64, 16)
        4
    """
    if width_divisor < 1 or channels % width_divisor:
        raise CongealError(f"expected a width_divisor that divides {channels}, got {width_divisor}")
    return channels // width_divisor


def initialise(*trunk: nn.Module) -> None:
    """Initialise convolutions for ReLU layers (He et al. 2015), in place."""
    for module in trunk:
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
