"""ResNet-38 (Wu, Shen, van den Hengel, 2016): a wide residual network, model A."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor, nn
from torch.nn import functional

from congeal.networks.pixelwise import PixelNetwork, initialise, narrowed

__all__ = ["ResNet38"]

# Per level: channels of the convolutions of a unit, number of units, stride, dilation. Units with
# three convolutions have kernels 1 x 1, 3 x 3, 1 x 1. The classifier halves the sides at later
# levels too; here these levels are dilated instead.
LEVELS: tuple[tuple[tuple[int, ...], int, int, int], ...] = (
    ((128, 128), 3, 2, 1),
    ((256, 256), 3, 2, 1),
    ((512, 512), 6, 2, 1),
    ((512, 1024), 3, 1, 2),
    ((512, 1024, 2048), 1, 1, 4),
    ((1024, 2048, 4096), 1, 1, 4),
)
DROPOUT = (0.0, 0.0, 0.0, 0.0, 0.3, 0.5)  # rate inside the units of each level
STEM, TOP = 64, 512  # channels of the first convolution, and of the last one before the heads
TOP_DILATION = 12  # dilation of the last two convolutions


class ResNet38(PixelNetwork):
    """ResNet-38, model A of "Wider or Deeper", at stride 8, with a convolution per head.

    A 3 x 3 convolution (64 channels) and 17 residual units in pre-activation order, widened to
    4096 channels; then, for maps, a 3 x 3 convolution of 512 channels and one per head in place
    of the classifier. 124 million weights with one head of 19 classes: units 105.0, the first
    convolution of the top 18.9, the head .1.

    Source: Z. Wu, C. Shen, A. van den Hengel, "Wider or Deeper: Revisiting the ResNet Model for
    Visual Recognition", 2016, model A and its use for semantic segmentation. The shortcut of a
    unit that changes channels starts from the normed input, as in the pre-activation networks
    (He et al. 2016). The dilation of the top and the dropout rates carry no weights.

    Args:
        in_channels: channels of the image.
        out_channels: channels of each head by name.
        stride: stride of the maps: 8 (None); 4, 2 or 1 by bilinear interpolation; or coarser.
        width_divisor: divides all channels of the trunk.

    Raises:
        CongealError: as :class:`PixelNetwork`, or ``width_divisor`` does not divide the channels.

    Example:
        >>> import torch
        >>> network = ResNet38(3, {"embedding": 8}, width_divisor=32)
        >>> tuple(network(torch.zeros(1, 3, 32, 45))["embedding"].shape)
        (1, 8, 4, 6)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: Mapping[str, int],
        *,
        stride: int | None = None,
        width_divisor: int = 1,
    ) -> None:
        super().__init__(in_channels, out_channels, native_stride=8, divisor=8, stride=stride)
        stem, top = narrowed(STEM, width_divisor), narrowed(TOP, width_divisor)
        self.stem = nn.Conv2d(in_channels, stem, 3, padding=1, bias=False)
        units = list(_units(stem, width_divisor))
        self.units = nn.Sequential(*units)
        last = units[-1].channels
        self.top = nn.Sequential(
            nn.BatchNorm2d(last),
            nn.ReLU(inplace=True),
            nn.Conv2d(last, top, 3, 1, TOP_DILATION, TOP_DILATION),
            nn.ReLU(inplace=True),
        )
        initialise(self.stem, self.units, self.top)
        self.heads = nn.ModuleDict(
            {
                name: nn.Conv2d(top, channels, 3, 1, TOP_DILATION, TOP_DILATION)
                for name, channels in out_channels.items()
            }
        )

    def maps(self, image: Tensor) -> dict[str, Tensor]:
        """``(B, C, H, W)``, sides divisible by 8, to maps ``(B, D, H / 8, W / 8)``."""
        x = self.top(self.units(self.stem(image)))
        return {name: head(x) for name, head in self.heads.items()}


def _units(channels: int, width_divisor: int) -> Iterator[_Unit]:
    for (widths, count, stride, dilation), dropout in zip(LEVELS, DROPOUT, strict=True):
        inner = [narrowed(width, width_divisor) for width in widths]
        for number in range(count):
            yield _Unit([channels, *inner], 1 if number else stride, dilation, dropout)
            channels = inner[-1]


class _Unit(nn.Module):
    """Residual unit in pre-activation order: batch norm, ReLU, convolution, 2 or 3 times."""

    def __init__(self, channels: list[int], stride: int, dilation: int, dropout: float) -> None:
        super().__init__()
        first, self.channels = channels[0], channels[-1]
        kernels = (3, 3) if len(channels) == 3 else (1, 3, 1)
        self.norm = nn.BatchNorm2d(first)
        layers: list[nn.Module] = []
        for number, kernel in enumerate(kernels):
            before, after = channels[number], channels[number + 1]
            if number:
                layers += [nn.BatchNorm2d(before), nn.ReLU(inplace=True), nn.Dropout(dropout)]
            s, d = 1 if number else stride, dilation if kernel == 3 else 1
            padding = d * (kernel // 2)
            layers.append(nn.Conv2d(before, after, kernel, s, padding, d, bias=False))
        self.body = nn.Sequential(*layers)
        self.stride = stride
        self.shortcut: nn.Module | None = None
        if first != self.channels or stride > 1:
            self.shortcut = nn.Conv2d(first, self.channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` to ``(B, C_out, H / stride, W / stride)``."""
        activated = functional.relu(self.norm(x))
        if self.shortcut is not None:
            # Subsampled before the convolution, not by its stride: PyTorch 2.14 writes outside its
            # memory in the backward pass of a 1 x 1 convolution of stride 2 with under 16 channels
            # in channels_last on CPUs with AVX-512.
            x = self.shortcut(activated[..., :: self.stride, :: self.stride])
        y: Tensor = self.body(activated) + x
        return y
