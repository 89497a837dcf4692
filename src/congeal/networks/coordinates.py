"""Where a pixel lies, told to a network: as channels, or as a rotation of its embedding."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from congeal.errors import CongealError

__all__ = ["RotaryPosition", "coordinate_channels"]

GOLDEN_TURN = math.pi * (3 - math.sqrt(5)) / 2


def coordinate_channels(like: Tensor, stride: int = 1, scale: float = 64.0) -> Tensor:
    """Row and column of each pixel from the middle of the map, in units of ``scale`` pixels.

    Args:
        like: ``(B, C, H, W)``, for size, type and device.
        stride: pixels of the image per step of the map.
        scale: pixels per unit.

    Returns:
        ``(B, 2, H, W)``.

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
    """Turn each pair of embedding channels by an angle that grows along a direction of the image.

    With it the similarity of two pixels depends on what the network says of each and on their
    offset, not on where they lie: x_i.x_j = h_i^T R(p_j - p_i) h_j, as in rotary attention (Su et
    al., 2021, in two dimensions). A convolutional network, blind to absolute position, can then
    give one vector to all pixels of an object by answering "where is my centre from here", and
    the same answer serves in an image of any size.

    Args:
        dimensions: D, even.
        wavelengths: shortest and longest, in pixels of the image; pairs are spread between.
        stride: pixels of the image per step of the map.

    Raises:
        CongealError: D is odd, or the wavelengths are not in order.

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
        direction = (pairs % 2) * math.pi / 2 + octave * GOLDEN_TURN
        frequency = torch.stack([direction.sin(), direction.cos()], 1)
        frequency = frequency * (2 * math.pi * stride / wavelength)[:, None]
        self.register_buffer("frequency", frequency.float(), persistent=False)  # (D / 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, D, H, W)`` to the same shape; lengths are kept."""
        height, width = x.shape[-2:]
        rows = torch.arange(height, device=x.device, dtype=torch.float32) - height // 2
        columns = torch.arange(width, device=x.device, dtype=torch.float32) - width // 2
        along = self.frequency.float()
        phase = (
            along[:, 0, None, None] * rows[:, None] + along[:, 1, None, None] * columns
        )  # (D / 2, H, W)
        cosine, sine = phase.cos().to(x.dtype), phase.sin().to(x.dtype)
        even, odd = x[:, 0::2], x[:, 1::2]
        return torch.cat([even * cosine - odd * sine, even * sine + odd * cosine], 1)
