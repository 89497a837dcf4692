"""Dilation (Yu & Koltun, ICLR 2016): a dilated VGG-16, and a context module of dilated layers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from congeal.networks.pixelwise import PixelNetwork, initialise, narrowed
from congeal.networks.vgg import VGG16

__all__ = ["Dilation"]

# The basic context module of Table 1 with the two layers that Cityscapes adds (Dilation10).
CONTEXT = (1, 1, 2, 4, 8, 16, 32, 64, 1)
FULLY_CONNECTED = 4096  # channels of VGG-16's first two fully connected layers
CLASSIFIER_DROPOUT = 0.5  # of the fully connected layers, as in VGG-16


class Dilation(PixelNetwork):
    """The front end and the context module of Yu & Koltun, at stride 8.

    The front end is VGG-16 without its last two poolings: the convolutions after the first of
    them are dilated by 2, those after both (the first fully connected layer, a 7 x 7
    convolution) by 4. It gives one map per class. The context module convolves these with
    growing dilation, from the identity at the start, and a 1 x 1 convolution per head ends it.
    134.4 million weights with one head of 19 classes (front end 134.34, context .03).

    The authors mirror the image at its borders and do not pad the convolutions of the front end.
    Here every convolution is padded with zeros, which keeps the sizes.

    Source: F. Yu, V. Koltun, "Multi-Scale Context Aggregation by Dilated Convolutions", ICLR
    2016, Table 1, equation 4 and sections 3 and 4; appendix on Cityscapes.

    Args:
        in_channels: channels of the image.
        out_channels: channels of each head by name.
        stride: stride of the maps: 8 (None); 4, 2 or 1 by bilinear interpolation; or coarser.
        width_divisor: divides all channels of the front end.

    Raises:
        CongealError: as :class:`PixelNetwork`, or ``width_divisor`` does not divide the channels.

    Example:
        >>> network = Dilation(3, {"embedding": 8}, width_divisor=32)
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
        classes = sum(out_channels.values())
        self.front = nn.Sequential(*_front_end(in_channels, classes, width_divisor))
        initialise(self.front)
        self.context = nn.Sequential(*_context(classes))
        self.heads = nn.ModuleDict(
            {name: nn.Conv2d(classes, c, 1) for name, c in out_channels.items()}
        )
        _start_at_identity(self.heads.values())

    def maps(self, image: Tensor) -> dict[str, Tensor]:
        """``(B, C, H, W)``, sides divisible by 8, to maps ``(B, D, H / 8, W / 8)``."""
        x = self.context(self.front(image))
        return {name: head(x) for name, head in self.heads.items()}


def _front_end(channels: int, classes: int, width_divisor: int) -> Iterator[nn.Module]:
    """Layers of VGG-16, with the fully connected ones as convolutions."""
    for number, stage in enumerate(VGG16):
        dilation = 2 if number == 4 else 1  # the pooling before the last stage is left out
        for width in stage:
            out = narrowed(width, width_divisor)
            yield nn.Conv2d(channels, out, 3, 1, dilation, dilation)
            yield nn.ReLU(inplace=True)
            channels = out
        if number < 3:
            yield nn.MaxPool2d(2)
    full = narrowed(FULLY_CONNECTED, width_divisor)
    yield from (
        nn.Conv2d(channels, full, 7, 1, 12, 4),
        nn.ReLU(inplace=True),
        nn.Dropout(CLASSIFIER_DROPOUT),
    )
    yield from (nn.Conv2d(full, full, 1), nn.ReLU(inplace=True), nn.Dropout(CLASSIFIER_DROPOUT))
    yield nn.Conv2d(full, classes, 1)


def _context(channels: int) -> Iterator[nn.Module]:
    """Layers of the context module, initialised to the identity."""
    for dilation in CONTEXT:
        layer = nn.Conv2d(channels, channels, 3, 1, dilation, dilation)
        nn.init.dirac_(layer.weight)  # the identity (equation 4)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
        yield from (layer, nn.ReLU(inplace=True))


@torch.no_grad()
def _start_at_identity(heads: Iterable[nn.Module]) -> None:
    """Initialise each head to select its own channels of the maps (equation 4)."""
    first = 0
    for head in heads:
        assert isinstance(head, nn.Conv2d)
        for parameter in head.parameters():
            nn.init.zeros_(parameter)
        own = head.weight[:, first : first + head.out_channels, 0, 0]
        own.copy_(torch.eye(head.out_channels))
        first += head.out_channels
