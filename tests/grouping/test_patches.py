"""Blocks of alike pixels stand for an image: none is left out, and what they say is theirs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import interpolate

from congeal.grouping.patches import Patches, find_patches
from congeal.grouping.tiles import find_tiles
from congeal.sphere import normalise


def smooth(
    size: tuple[int, ...], dimensions: int = 3, seed: int = 0, coarse: int = 3
) -> tuple[Tensor, Tensor]:
    """An embedding that changes little from pixel to pixel, of random length, and that length."""
    generator = torch.Generator().manual_seed(seed)
    few = torch.randn(1, dimensions, *(coarse for _ in size), generator=generator)
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[len(size)]
    embedding = normalise(interpolate(few.double(), size=size, mode=mode)[0], dim=0)
    length = 0.5 + torch.rand(size, generator=generator).double()
    return embedding * length, length


def cut(
    embedding: Tensor,
    length: Tensor | None = None,
    mass: Tensor | None = None,
    most: int = 40,
    foreign: float = torch.inf,
) -> Patches | None:
    one = torch.ones_like(embedding[0])
    return find_patches(
        embedding,
        one if length is None else length,
        one if mass is None else mass,
        most=most,
        foreign=foreign,
    )


SIZES = st.sampled_from([(40,), (9, 16), (13, 7), (1, 30), (4, 6, 5)])


@given(size=SIZES, seed=st.integers(0, 99), most=st.integers(10, 200), inside=st.floats(0.2, 1))
@settings(deadline=None, max_examples=60)
def test_each_pixel_is_in_one_patch_which_has_their_mass_and_mean(
    size: tuple[int, ...], seed: int, most: int, inside: float
) -> None:
    embedding, length = smooth(size, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    mass = 0.1 + torch.rand(size, generator=generator).double()
    mass *= torch.rand(size, generator=generator) < inside
    assert_whole(cut(embedding, length, mass, most), embedding, length, mass, most)


def assert_whole(
    patches: Patches | None, embedding: Tensor, length: Tensor, mass: Tensor, most: int
) -> None:
    """Each pixel is in one of few patches, and each patch is what its pixels are."""
    assert patches is not None
    assert len(patches.mass) <= most
    assert torch.equal(patches.of >= 0, mass > 0)
    assert torch.equal(patches.of[mass > 0].unique(), torch.arange(len(patches.mass)))
    for number, (direction, held, reach) in enumerate(
        zip(patches.directions, patches.mass, patches.length, strict=True)
    ):
        own = patches.of == number
        total = (embedding / length * mass)[:, own].sum(1)
        torch.testing.assert_close(held, mass[own].sum())
        torch.testing.assert_close(direction * reach * held, total)


@pytest.mark.parametrize("size", [(19000,), (200, 150), (40, 60, 70)])
def test_so_is_each_of_few_pixels_of_a_large_image(size: tuple[int, ...]) -> None:
    embedding, length = smooth(size, coarse=9)
    mass = torch.zeros(size, dtype=torch.float64)
    mass[tuple(slice(side - 9, side) for side in size)] = 1.0  # the last corner, and the middle
    mass[tuple(slice(side // 2 - 4, side // 2 + 5) for side in size)] = 2.0
    assert find_tiles(mass > 0) is not None
    assert_whole(cut(embedding, length, mass, 40), embedding, length, mass, 40)


def test_few_pixels_are_cut_as_they_are_in_an_image_of_their_size() -> None:
    embedding, length = smooth((32, 32), dimensions=4)
    large, long = torch.zeros(4, 160, 192).double(), torch.ones(160, 192).double()
    mass = torch.zeros(160, 192).double()
    large[:, 64:96, 96:128], long[64:96, 96:128], mass[64:96, 96:128] = embedding, length, 1.0
    one, other = cut(embedding, length, most=90), cut(large, long, mass, most=90)
    assert one is not None
    assert other is not None
    assert torch.equal(one.of, other.of[64:96, 96:128])
    torch.testing.assert_close(one.directions, other.directions)


@given(size=SIZES, seed=st.integers(0, 99), most=st.integers(10, 100))
@settings(deadline=None, max_examples=30)
def test_patches_are_blocks_whose_sides_are_a_power_of_two(
    size: tuple[int, ...], seed: int, most: int
) -> None:
    patches = cut(*smooth(size, seed=seed), most=most)
    assert patches is not None
    for number in range(len(patches.mass)):
        places = (patches.of == number).nonzero().numpy()
        side = 1
        while len(np.unique(places // side, axis=0)) > 1:
            side *= 2
        corner = places[0] // side * side
        block = product(*(range(c, min(c + side, n)) for c, n in zip(corner, size, strict=True)))
        assert sorted(map(tuple, places)) == sorted(block)


@dataclass
class Block:
    pixels: int
    largest: float  # spread of it and of those in it
    inner: list[Block]

    def up_to(self, limit: float) -> list[int]:
        """Pixels of the largest blocks up to a spread."""
        if self.largest <= limit:
            return [self.pixels]
        return [pixels for part in self.inner for pixels in part.up_to(limit)]

    def spreads(self) -> set[float]:
        return {self.largest}.union(*(part.spreads() for part in self.inner))


def block_at(unit: Tensor, top: int, left: int, side: int) -> Block | None:
    here = unit[:, top : top + side, left : left + side].flatten(1)
    if here.shape[1] == 0:
        return None
    if side == 1:
        return Block(1, 0.0, [])
    half = side // 2
    parts = [block_at(unit, r, c, half) for r in (top, top + half) for c in (left, left + half)]
    inner = [part for part in parts if part]
    own = float(1 - here.mean(1).norm())
    return Block(here.shape[1], max([own] + [part.largest for part in inner]), inner)


@given(
    size=st.sampled_from([(8, 8), (9, 16), (13, 7)]),
    seed=st.integers(0, 99),
    most=st.integers(5, 60),
)
@settings(deadline=None, max_examples=40)
def test_blocks_are_formed_up_to_the_smallest_spread_that_leaves_few_enough(
    size: tuple[int, int], seed: int, most: int
) -> None:
    embedding, length = smooth(size, seed=seed)
    patches = cut(embedding, length, most=most)
    assert patches is not None
    whole = block_at(embedding / length, 0, 0, 16)
    assert whole is not None
    spreads = sorted(whole.spreads())
    enough = next(i for i, t in enumerate(spreads) if len(whole.up_to(t)) <= most)
    about = [sorted(whole.up_to(t)) for t in spreads[enough : enough + 2]]  # not sought any finer
    assert sorted(patches.mass.tolist()) in about


def test_an_image_of_one_direction_is_one_patch() -> None:
    patches = cut(torch.ones(2, 13, 6), torch.full((13, 6), 2**0.5), most=1)
    assert patches is not None
    assert patches.mass.tolist() == [78]
    torch.testing.assert_close(patches.directions, torch.full((1, 2), 0.5**0.5))


def test_borders_stay_pixels_where_the_rest_becomes_large() -> None:
    embedding = torch.zeros(2, 32, 32)
    embedding[0, :, :13], embedding[1, :, 13:] = 1, 1
    patches = cut(embedding, most=150)
    assert patches is not None
    single = patches.mass[patches.of] == 1
    assert bool(single[:, 12:14].all())
    assert not bool(single[:, :12].any() or single[:, 14:].any())


@pytest.mark.parametrize("foreign", [0.9, 1.1])
def test_no_block_is_formed_in_which_an_object_may_hide(foreign: float) -> None:
    embedding = torch.zeros(2, 16, 16)
    embedding[0], embedding[:, 5, 5] = 1, torch.tensor([0.0, 1.0])  # one pixel at a right angle
    patches = cut(embedding, most=1, foreign=foreign)
    assert (patches is None) == (foreign < 1)


def test_pixels_at_odds_with_each_other_are_not_cut_into_patches() -> None:
    rows, columns = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
    embedding = torch.stack([(rows + columns) % 2, (rows + columns + 1) % 2]).float()
    assert cut(embedding, most=100, foreign=1.0) is None


def test_a_vector_without_a_direction_is_no_danger() -> None:
    embedding, length = smooth((8, 8))
    embedding[:, 3, 3] = 0
    patches = cut(embedding, length.clamp_min(1e-12), most=30)
    assert patches is not None
    assert bool(patches.directions.isfinite().all())
