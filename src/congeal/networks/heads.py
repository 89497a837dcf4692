"""Heads: predictions from the decoder's map, for each pixel or for each object."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from congeal.networks.blocks import ConvNorm
from congeal.networks.coordinates import coordinate_channels

__all__ = ["FullResolutionHead", "ObjectHead", "ProjectedHead", "pool_objects"]

PIXELS_PER_RADIAN = 32.0  # of the phase g . p of ProjectedHead, for a direction g of length 1


class FullResolutionHead(nn.Module):
    """Logits at full resolution from a coarser map and the image.

    The map is upsampled by sub-pixel convolution (Shi et al. 2016) and added to a 3 x 3 convolution
    of the image, so outlines are not limited to blocks of the stride. Layers at full resolution are
    expensive, so there are only two narrow ones.

    Args:
        channels_in: channels of the map.
        channels_image: channels of the image.
        channels_out: number of logits.
        stride: stride of the map.
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
        """Map ``(B, C_in, H / s, W / s)`` and image ``(B, C, H, W)`` to ``(B, C_out, H, W)``."""
        fine = functional.pixel_shuffle(self.spread(x), self.stride)
        logits: Tensor = self.decide(functional.relu(fine + self.look(image)))
        return logits


class ProjectedHead(nn.Module):
    """Embedding head with positions projected on predicted directions.

    For each pixel at position p the network predicts K directions g_k; sin(g_k . p) and cos(g_k .
    p) are inputs of the embedding. If the pixels of a straight object predict its normal, g . p is
    the same along the whole object, also across crossings, and differs between parallel neighbours.
    With coordinate channels alone the network would have to learn the product g . p.

    Args:
        channels_in: channels of the map.
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
        position = coordinate_channels(rows, self.stride, PIXELS_PER_RADIAN)  # (B, 2, h, w)
        phase = (rows * position[:, :1] + columns * position[:, 1:]) * self.scale
        encoded = torch.cat([x, phase.sin().to(x.dtype), phase.cos().to(x.dtype)], 1)
        embedding: Tensor = self.decide(encoded)
        return embedding


class ObjectHead(nn.Module):
    """Class logits of objects, from features pooled over their pixels.

    Both mean and maximum are used, because two classes may differ at a few pixels only, such as the
    corners of a square.

    Args:
        channels_in: channels of the map.
        classes: C, number of classes.
        hidden: channels of the hidden layer.

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
        """Map ``(B, C_in, h, w)`` and labels ``(B, h, w)`` to logits ``(K, C)``.

        Returns:
            The logits, and the first pixel ``(K,)`` of each object (:func:`pool_objects`).
        """
        pooled, first = pool_objects(x, labels)
        logits: Tensor = self.decide(pooled)
        return logits, first


def pool_objects(x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and maximum of each channel over the pixels of each object.

    Args:
        x: ``(B, C, h, w)``.
        labels: ``(B, h, w)`` int64; labels <= 0 are no objects.

    Returns:
        ``(K, 2 C)`` float32, mean then maximum, objects sorted by image and label; and ``(K,)``
        int64, the index of the first pixel of each object in ``labels.flatten()``.

    Example:
        >>> x, labels = torch.tensor([[[[1.0, 3.0, 9.0]]]]), torch.tensor([[[5, 5, 0]]])
        >>> pooled, first = pool_objects(x, labels)
        >>> pooled.tolist(), first.tolist()
        ([[2.0, 3.0]], [0])
    """
    inside = (labels > 0).flatten().nonzero()[:, 0]
    image = inside // max(1, labels.shape[1] * labels.shape[2])
    keys = torch.stack([image, labels.flatten()[inside]], 1)
    objects, object_of = torch.unique(keys, dim=0, return_inverse=True)
    values = x.permute(0, 2, 3, 1).flatten(0, 2)[inside].float()  # (N, C)
    zeros = values.new_zeros(len(objects), x.shape[1])
    index = object_of[:, None].expand_as(values)
    mean = zeros.scatter_reduce(0, index, values, "mean", include_self=False)
    maximum = zeros.scatter_reduce(0, index, values, "amax", include_self=False)
    first = inside.new_full((len(objects),), labels.numel())
    return torch.cat([mean, maximum], 1), first.scatter_reduce(0, object_of, inside, "amin")
