"""Tiles tell where the pixels of a mask are, wherever these lie."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from congeal.grouping.tiles import find_tiles

SIZES = st.sampled_from([(19000,), (260, 250), (1, 900), (40, 70, 80)])


@given(size=SIZES, seed=st.integers(0, 99), count=st.integers(1, 4))
@settings(deadline=None, max_examples=30)
def test_each_pixel_of_the_mask_is_in_one_tile_and_none_twice(
    size: tuple[int, ...], seed: int, count: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    inside = torch.zeros(size, dtype=torch.bool)
    where = torch.randint(inside.numel(), (count,), generator=generator)
    inside.view(-1)[where] = True
    tiles = find_tiles(inside)
    assert tiles is not None
    held = tiles[tiles < inside.numel()]
    assert len(held.unique()) == len(held)
    assert set(where.tolist()) <= set(held.tolist())
    assert all(bool(torch.isin(tile, where).any()) for tile in tiles)


def test_pixels_of_a_tile_lie_beside_each_other_as_in_the_image() -> None:
    inside = torch.zeros(100, 130, dtype=torch.bool)
    inside[70, 40] = True
    tiles = find_tiles(inside)
    assert tiles is not None
    positions = torch.arange(100 * 130).view(100, 130)
    assert torch.equal(tiles[0], positions[64:96, 32:64])


def test_an_edge_comes_with_a_tile_and_says_where_the_image_ends() -> None:
    inside = torch.zeros(100, 130, dtype=torch.bool)
    inside[99, 0] = True
    tiles = find_tiles(inside, edge=1)
    assert tiles is not None
    assert tiles.shape == (1, 34, 34)
    assert tiles[0, 0, 1] == 95 * 130  # the row above the tile
    assert bool((tiles[0, :, 0] == inside.numel()).all())  # left of the image
    assert bool((tiles[0, 5:] == inside.numel()).all())  # below it


@pytest.mark.parametrize("size", [(32, 32), (30, 20), (64, 64)])
@pytest.mark.parametrize("value", [True, False])
def test_images_of_one_tile_or_with_pixels_in_most_or_none_are_taken_whole(
    size: tuple[int, ...], value: bool
) -> None:
    assert find_tiles(torch.full(size, value)) is None


def test_a_mask_that_lies_in_memory_otherwise_is_the_same() -> None:
    inside = torch.zeros(130, 200, dtype=torch.bool)
    inside[70, 40] = True
    turned = inside.T.contiguous().T
    one, other = find_tiles(inside), find_tiles(turned)
    assert one is not None
    assert other is not None
    assert torch.equal(one, other)
