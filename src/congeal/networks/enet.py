"""ENet (Paszke et al. 2016): a fast encoder-decoder with .36 million weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from congeal.errors import CongealError
from congeal.networks.pixelwise import PixelNetwork, narrowed

__all__ = ["ENet"]

Kind = Literal["regular", "asymmetric"]

# Kind and dilation of the bottlenecks of stage 2 after the first, and of stage 3 (Table 1).
STAGE: tuple[tuple[Kind, int], ...] = (
    ("regular", 1),
    ("regular", 2),
    ("asymmetric", 1),
    ("regular", 4),
    ("regular", 1),
    ("regular", 8),
    ("asymmetric", 1),
    ("regular", 16),
)
PROJECTION = 4  # channels of a block / channels of its main convolution
EARLY_DROPOUT, LATE_DROPOUT = 0.01, 0.1  # up to the end of stage 1, and after (section 3)


class ENet(PixelNetwork):
    """ENet: bottlenecks at strides 4 and 8, a small decoder with the encoder's pooling indices.

    Stages as in Table 1 of the paper: an initial block (stride 2, 16 channels); five bottlenecks
    at stride 4 (64 channels); nine and eight at stride 8 (128 channels), regular, dilated and
    asymmetric in turn; three at stride 4, two at stride 2; one 2 x 2 transposed convolution of
    stride 2 per head. 364 thousand weights with one head of 19 classes.

    Source: A. Paszke et al., "ENet: A Deep Neural Network Architecture for Real-Time Semantic
    Segmentation", 2016, Table 1, Figure 2 and section 3.

    Args:
        in_channels: channels of the image, at most 15: they are part of the initial block's 16.
        out_channels: channels of each head by name.
        stride: stride of the maps: 1 (None), or coarser by average pooling.
        width_divisor: divides all channels (tests and tiny models).

    Raises:
        CongealError: as :class:`PixelNetwork`; too many input channels; or ``width_divisor`` does
            not divide the channels.

    Example:
        >>> network = ENet(3, {"embedding": 8, "semantic": 3})
        >>> {name: tuple(x.shape) for name, x in network(torch.zeros(1, 3, 32, 45)).items()}
        {'embedding': (1, 8, 32, 45), 'semantic': (1, 3, 32, 45)}
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: Mapping[str, int],
        *,
        stride: int | None = None,
        width_divisor: int = 1,
    ) -> None:
        super().__init__(in_channels, out_channels, native_stride=1, divisor=8, stride=stride)
        fine, middle, coarse = (narrowed(c, width_divisor) for c in (16, 64, 128))
        if in_channels >= fine:
            raise CongealError(f"expected fewer than {fine} input channels, got {in_channels}")
        self.initial = _Initial(in_channels, fine)
        self.down1 = _Down(fine, middle, EARLY_DROPOUT)
        self.stage1 = nn.Sequential(*(_Bottleneck(middle, EARLY_DROPOUT) for _ in range(4)))
        self.down2 = _Down(middle, coarse, LATE_DROPOUT)
        self.stage2 = nn.Sequential(*_stage(coarse))
        self.stage3 = nn.Sequential(*_stage(coarse))
        self.up4 = _Up(coarse, middle, LATE_DROPOUT)
        self.stage4 = nn.Sequential(*(_Bottleneck(middle, LATE_DROPOUT) for _ in range(2)))
        self.up5 = _Up(middle, fine, LATE_DROPOUT)
        self.stage5 = _Bottleneck(fine, LATE_DROPOUT)
        self.heads = nn.ModuleDict(
            {name: nn.ConvTranspose2d(fine, c, 2, stride=2) for name, c in out_channels.items()}
        )

    def maps(self, image: Tensor) -> dict[str, Tensor]:
        """``(B, C, H, W)``, sides divisible by 8, to maps ``(B, D, H, W)``."""
        x, first = self.down1(self.initial(image))  # stride 4
        x, second = self.down2(self.stage1(x))  # stride 8
        x = self.up4(self.stage3(self.stage2(x)), second)  # stride 4
        x = self.stage5(self.up5(self.stage4(x), first))  # stride 2
        return {name: head(x) for name, head in self.heads.items()}


class _Initial(nn.Module):
    """A 3 x 3 convolution of stride 2 beside the pooled image (Figure 2a)."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out - channels_in, 3, 2, 1, bias=False)
        self.finish = nn.Sequential(nn.BatchNorm2d(channels_out), nn.PReLU(channels_out))

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C_in, H, W)`` to ``(B, C_out, H / 2, W / 2)``."""
        x = torch.cat([self.conv(x), functional.max_pool2d(x, 2)], 1)
        normed: Tensor = self.finish(x)
        return normed


class _Bottleneck(nn.Module):
    """Residual block (Figure 2b): 1 x 1 projection, main convolution, 1 x 1 expansion.

    The main convolution is 3 x 3 (regular, dilated) or 5 x 1 and 1 x 5 (asymmetric).
    """

    def __init__(
        self, channels: int, dropout: float, kind: Kind = "regular", dilation: int = 1
    ) -> None:
        super().__init__()
        inner = _inner(channels)
        self.body = nn.Sequential(
            *_normed(nn.Conv2d(channels, inner, 1, bias=False)),
            *_normed(*_main_convolution(inner, kind, dilation)),
            *_expansion(inner, channels, dropout),
        )
        self.activation = nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` to the same shape."""
        y: Tensor = self.activation(x + self.body(x))
        return y


class _Down(nn.Module):
    """Bottleneck that halves the sides, with max pooling as shortcut."""

    def __init__(self, channels_in: int, channels_out: int, dropout: float) -> None:
        super().__init__()
        inner = _inner(channels_out)
        self.extra = channels_out - channels_in
        self.body = nn.Sequential(
            *_normed(nn.Conv2d(channels_in, inner, 2, 2, bias=False)),
            *_normed(nn.Conv2d(inner, inner, 3, padding=1, bias=False)),
            *_expansion(inner, channels_out, dropout),
        )
        self.activation = nn.PReLU(channels_out)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``(B, C, H, W)`` to ``(B, C_out, H / 2, W / 2)`` and the pooling indices."""
        pooled, indices = functional.max_pool2d(x, 2, return_indices=True)
        shortcut = functional.pad(pooled, (0, 0, 0, 0, 0, self.extra))  # channels of zeros
        return self.activation(shortcut + self.body(x)), indices


class _Up(nn.Module):
    """Bottleneck that doubles the sides, with max unpooling as shortcut."""

    def __init__(self, channels_in: int, channels_out: int, dropout: float) -> None:
        super().__init__()
        inner = _inner(channels_out)
        self.shortcut = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 1, bias=False), nn.BatchNorm2d(channels_out)
        )
        self.body = nn.Sequential(
            *_normed(nn.Conv2d(channels_in, inner, 1, bias=False)),
            *_normed(nn.ConvTranspose2d(inner, inner, 3, 2, 1, output_padding=1, bias=False)),
            *_expansion(inner, channels_out, dropout),
        )
        self.activation = nn.PReLU(channels_out)

    def forward(self, x: Tensor, indices: Tensor) -> Tensor:
        """``(B, C, H, W)`` and pooling indices to ``(B, C_out, 2 H, 2 W)``."""
        shortcut = functional.max_unpool2d(self.shortcut(x), indices, [2, 2])
        y: Tensor = self.activation(shortcut + self.body(x))
        return y


def _stage(channels: int) -> Iterator[nn.Module]:
    return (_Bottleneck(channels, LATE_DROPOUT, kind, dilation) for kind, dilation in STAGE)


def _inner(channels: int) -> int:
    return max(channels // PROJECTION, 1)


def _main_convolution(channels: int, kind: Kind, dilation: int) -> tuple[nn.Module, ...]:
    if kind == "regular":
        return (nn.Conv2d(channels, channels, 3, 1, dilation, dilation, bias=False),)
    return (
        nn.Conv2d(channels, channels, (5, 1), padding=(2, 0), bias=False),
        nn.Conv2d(channels, channels, (1, 5), padding=(0, 2), bias=False),
    )


def _normed(*convolutions: nn.Module) -> tuple[nn.Module, ...]:
    channels = convolutions[-1].out_channels
    assert isinstance(channels, int)
    return (*convolutions, nn.BatchNorm2d(channels), nn.PReLU(channels))


def _expansion(inner: int, channels: int, dropout: float) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(inner, channels, 1, bias=False),
        nn.BatchNorm2d(channels),
        nn.Dropout2d(dropout),
    )
