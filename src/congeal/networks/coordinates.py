"""Position encodings: coordinate channels, and rotation of the embedding by position."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from congeal.errors import CongealError

__all__ = ["RotaryPosition", "coordinate_channels"]

HALF_GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5)) / 2  # directions repeat after pi, not 2 pi


def coordinate_channels(like: Tensor, stride: int = 1, scale: float = 64.0) -> Tensor:
    """Row and column of each pixel, measured from the centre of the map.

    Args:
        like: ``(B, C, H, W)``; gives shape, dtype and device.
        stride: pixels of the image per pixel of the map.
        scale: pixels of the image per unit of the coordinates.

    Returns:
        ``(B, 2, H, W)``: row, column.

    Example:
        >>> coordinate_channels(torch.zeros(1, 3, 1, 3), scale=1.0)[0, 1].tolist()
        [[-1.0, 0.0, 1.0]]
    """
    axes = [
        (torch.arange(side, device=like.device) - (side - 1) / 2) * (stride / scale)
        for side in like.shape[-2:]
    ]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    return grid.to(like.dtype).expand(len(like), -1, -1, -1)


class RotaryPosition(nn.Module):
    """Rotate pairs of embedding channels by angles proportional to the pixel position.

    Similarity then depends on the features h and the offset of two pixels, not on their absolute
    positions: x_i . x_j = h_i^T R(p_j - p_i) h_j, as in rotary attention (Su et al., 2021, here in
    two dimensions). A convolutional network does not know absolute positions. With the rotation it
    can give all pixels of an object the same vector by predicting the offset to the centre of the
    object, in images of any size.

    Args:
        dimensions: D, even.
        wavelengths: shortest and longest wavelength in pixels of the image; those of the channel
            pairs are spaced geometrically between them.
        stride: pixels of the image per pixel of the map.

    Raises:
        CongealError: D is odd, or not 0 < shortest <= longest.

    Example:
        >>> turned = RotaryPosition(4, (16.0, 64.0))(torch.ones(1, 4, 5, 7))
        >>> tuple(turned.shape), bool(turned.norm(dim=1).allclose(torch.tensor(2.0)))
        ((1, 4, 5, 7), True)
    """

    frequency: Tensor

    def __init__(self, dimensions: int, wavelengths: tuple[float, float], stride: int = 1) -> None:
        super().__init__()
        shortest, longest = wavelengths
        if dimensions % 2 or not 0 < shortest <= longest:
            raise CongealError(
                "expected an even number of dimensions and 0 < shortest <= longest wavelength, "
                f"got {dimensions} and {wavelengths}"
            )
        pairs = torch.arange(dimensions // 2, dtype=torch.float64)
        octave = torch.div(pairs, 2, rounding_mode="floor")  # two directions per wavelength
        position = octave / max(float(octave.max()), 1.0)
        wavelength = shortest * (longest / shortest) ** position
        direction = (pairs % 2) * math.pi / 2 + octave * HALF_GOLDEN_ANGLE
        frequency = torch.stack([direction.sin(), direction.cos()], 1)
        frequency = frequency * (2 * math.pi * stride / wavelength)[:, None]
        self.register_buffer("frequency", frequency.float(), persistent=False)  # (D / 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Rotate ``(B, D, H, W)``; shape and norms stay the same."""
        height, width = x.shape[-2:]
        rows = torch.arange(height, device=x.device, dtype=torch.float32) - height // 2
        columns = torch.arange(width, device=x.device, dtype=torch.float32) - width // 2
        frequency = self.frequency.float()
        phase = (
            frequency[:, 0, None, None] * rows[:, None] + frequency[:, 1, None, None] * columns
        )  # (D / 2, H, W)
        cosine, sine = phase.cos().to(x.dtype), phase.sin().to(x.dtype)
        even, odd = x[:, 0::2], x[:, 1::2]
        return torch.cat([even * cosine - odd * sine, even * sine + odd * cosine], 1)
