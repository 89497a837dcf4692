"""Pixels in a row know where they are in the image."""

from __future__ import annotations

import pytest
import torch

from congeal.errors import CongealError
from congeal.grouping.masked import read_pixels


@pytest.mark.parametrize("masked", [True, False])
def test_what_is_laid_out_is_picked_again(masked: bool) -> None:
    embedding = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(20).view(4, 5) % 3 > 0 if masked else None
    pixels = read_pixels(embedding, mask, torch.arange(20.0).view(4, 5))
    values = torch.arange(len(pixels)) + 5
    image = pixels.lay_out(values, outside=-1)
    assert torch.equal(pixels.pick(image), values)
    assert mask is None or bool((image[~mask] == -1).all())
    assert torch.equal(pixels.pick(embedding[0]), pixels.points[0])
    torch.testing.assert_close(pixels.length, pixels.points.norm(dim=0))
    assert pixels.mass is not None
    torch.testing.assert_close(pixels.mass, pixels.pick(torch.arange(20.0)).clamp_min(1e-6))


def test_a_mask_of_all_pixels_is_none() -> None:
    pixels = read_pixels(torch.ones(2, 3), torch.ones(3, dtype=torch.bool))
    assert pixels.inside is None
    assert len(pixels) == 3


def test_what_is_not_a_number_is_refused() -> None:
    embedding = torch.ones(2, 3, 3)
    embedding[1, 2, 0] = torch.nan
    with pytest.raises(CongealError, match="finite"):
        read_pixels(embedding)
