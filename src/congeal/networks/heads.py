"""Heads: what is read off the decoder's map, pixel by pixel or object by object."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from congeal.networks.blocks import ConvNorm
from congeal.networks.coordinates import coordinate_channels

__all__ = ["FullResolutionHead", "ObjectHead", "ProjectedHead", "pool_objects"]

UNIT = 32.0  # pixels of the image per radian at a direction of length one


class FullResolutionHead(nn.Module):
    """Logits at the resolution of the image, from a coarser map and the image itself.

    The map is spread by sub-pixel convolution (Shi et al. 2016) and added to a first look at the
    image, so that outlines are drawn pixel by pixel and not in blocks of the stride. There are
    many pixels at this resolution, so the layers are few and narrow.

    Args:
        channels_in: of the map.
        channels_image: of the image.
        channels_out: logits.
        stride: of the map.
        width: channels at full resolution.

    Example:
        >>> head = FullResolutionHead(16, 3, 2, stride=2)
        >>> tuple(head(torch.zeros(1, 16, 4, 4), torch.zeros(1, 3, 8, 8)).shape)
        (1, 2, 8, 8)
    """

    def __init__(
        self,
        channels_in: int,
        channels_image: int,
        channels_out: int,
        *,
        stride: int = 2,
        width: int = 8,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.spread = nn.Conv2d(channels_in, width * stride**2, 1)
        self.look = nn.Conv2d(channels_image, width, 3, padding=1)
        self.decide = nn.Conv2d(width, channels_out, 3, padding=1)

    def forward(self, x: Tensor, image: Tensor) -> Tensor:
        """``(B, C, H / stride, W / stride)`` and ``(B, 3, H, W)`` to ``(B, C_out, H, W)``."""
        fine = functional.pixel_shuffle(self.spread(x), self.stride)
        logits: Tensor = self.decide(functional.relu(fine + self.look(image)))
        return logits


class ProjectedHead(nn.Module):
    """An embedding that may depend on where the pixel lies along directions it chooses itself.

    Each pixel names K directions g_k, and is told sin and cos of g_k.p for its position p. Along
    a straight object whose pixels name its normal, g.p is the same everywhere, so an object's
    line (angle and distance from the middle) becomes its code, through crossings too, and two
    parallel neighbours differ. A plain coordinate channel leaves the network to learn that
    product from sums.

    Args:
        channels_in: of the map.
        dimensions: D of the embedding.
        stride: pixels of the image per pixel of the map.
        projections: K.
        hidden: channels before the embedding.

    Example:
        >>> tuple(ProjectedHead(16, 8, stride=2)(torch.zeros(2, 16, 4, 6)).shape)
        (2, 8, 4, 6)
    """

    scale: Tensor

    def __init__(
        self,
        channels_in: int,
        dimensions: int,
        *,
        stride: int = 2,
        projections: int = 16,
        hidden: int = 64,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.look = ConvNorm(channels_in, channels_in)
        self.direct = nn.Conv2d(channels_in, 2 * projections, 1)
        self.decide = nn.Sequential(
            ConvNorm(channels_in + 2 * projections, hidden, kernel=1),
            nn.Conv2d(hidden, dimensions, 1),
        )
        scale = torch.logspace(0, 0.5, projections)[:, None, None]  # coarse to fine
        self.register_buffer("scale", scale, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, h, w)`` to ``(B, D, h, w)``."""
        x = self.look(x)
        rows, columns = self.direct(x).float().chunk(2, dim=1)  # (B, K, h, w) each
        place = coordinate_channels(rows, self.stride, UNIT)  # (B, 2, h, w)
        phase = (rows * place[:, :1] + columns * place[:, 1:]) * self.scale
        told = torch.cat([x, phase.sin().to(x.dtype), phase.cos().to(x.dtype)], 1)
        embedding: Tensor = self.decide(told)
        return embedding


class ObjectHead(nn.Module):
    """Class logits of whole objects, from features pooled over their pixels.

    What tells two kinds apart may show at a few pixels only (the corners of a square), so the
    mean over the object is joined by the largest value.

    Args:
        channels_in: of the map.
        classes: C.
        hidden: channels between the two layers.

    Example:
        >>> head = ObjectHead(16, classes=3)
        >>> logits, first = head(torch.zeros(1, 16, 2, 2), torch.tensor([[[0, 7], [4, 7]]]))
        >>> tuple(logits.shape), first.tolist()
        ((2, 3), [2, 1])
    """

    def __init__(self, channels_in: int, classes: int, *, hidden: int = 64) -> None:
        super().__init__()
        self.channels_in = channels_in
        self.decide = nn.Sequential(
            nn.Linear(2 * channels_in, hidden), nn.GELU(), nn.Linear(hidden, classes)
        )

    def forward(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """``(B, C_in, h, w)`` and ``(B, h, w)`` to ``(K, C)``, and as :func:`pool_objects`."""
        pooled, first = pool_objects(x, labels)
        logits: Tensor = self.decide(pooled)
        return logits, first


def pool_objects(x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and largest value of each channel over the pixels of every object.

    Args:
        x: ``(B, C, h, w)``.
        labels: ``(B, h, w)`` int64; 0 and below are no objects.

    Returns:
        ``(K, 2 C)`` in float32, objects by image and label, and ``(K,)``: the first pixel of each
        in ``labels.flatten()``.

    Example:
        >>> x, labels = torch.tensor([[[[1.0, 3.0, 9.0]]]]), torch.tensor([[[5, 5, 0]]])
        >>> pooled, first = pool_objects(x, labels)
        >>> pooled.tolist(), first.tolist()
        ([[2.0, 3.0]], [0])
    """
    inside = (labels > 0).flatten().nonzero()[:, 0]
    image = inside // max(1, labels.shape[1] * labels.shape[2])
    keys = torch.stack([image, labels.flatten()[inside]], 1)
    objects, of = torch.unique(keys, dim=0, return_inverse=True)
    values = x.permute(0, 2, 3, 1).flatten(0, 2)[inside].float()  # (N, C)
    start = values.new_zeros(len(objects), x.shape[1])
    at = of[:, None].expand_as(values)
    mean = start.scatter_reduce(0, at, values, "mean", include_self=False)
    largest = start.scatter_reduce(0, at, values, "amax", include_self=False)
    first = inside.new_full((len(objects),), labels.numel())
    return torch.cat([mean, largest], 1), first.scatter_reduce(0, of, inside, "amin")
