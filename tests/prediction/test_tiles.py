import numpy as np
import pytest

from congeal.errors import CongealError
from congeal.prediction.tiles import Window, plan_tiles, tile_unit

PLANS = [((300, 410), 128, 32, 16), ((64, 1000), 256, 64, 32), ((129, 129), 128, 0, 1)]


@pytest.mark.parametrize(("size", "tile", "overlap", "unit"), PLANS)
def test_every_pixel_is_in_one_core_and_trusted_there(size, tile, overlap, unit):
    plan, cores = plan_tiles(size, tile, overlap, unit), np.zeros(size, int)
    for block in plan.blocks:
        cores[block.core.slices] += 1
        assert block.core.meet(block.trusted) == block.core
        assert block.trusted.meet(block.tile) == block.trusted
    assert (cores == 1).all()


@pytest.mark.parametrize(("size", "tile", "overlap", "unit"), PLANS)
def test_tiles_begin_at_multiples_of_the_unit_and_are_no_larger_than_asked(
    size, tile, overlap, unit
):
    for block in plan_tiles(size, tile, overlap, unit).blocks:
        assert block.tile.top % unit == block.tile.left % unit == 0
        assert max(block.tile.size) <= tile


@pytest.mark.parametrize("seed", range(4))
def test_an_object_of_three_quarters_of_the_overlap_has_one_block_that_sees_it_whole(seed):
    plan, rng = plan_tiles((500, 700), 128, 64, 16), np.random.default_rng(seed)
    for _ in range(50):
        height, width = rng.integers(1, 49, 2)
        top, left = rng.integers(0, 500 - height), rng.integers(0, 700 - width)
        box = Window(top, left, top + height, left + width)
        number = plan.responsible((top, left + rng.integers(width)), box)
        assert plan.blocks[number].trusted.meet(box) == box


def test_an_object_larger_than_a_tile_has_none():
    plan = plan_tiles((500, 700), 128, 64, 16)
    assert plan.responsible((10, 10), Window(10, 10, 20, 300)) is None


@pytest.mark.parametrize(
    ("divisor", "shown", "unit"),
    [(32, 1.0, 32), (32, 0.5, 64), (32, 2.0, 16), (32, 1.5, 64), (1, 1.0, 1), (32, 1.2345, 32)],
)
def test_offsets_are_whole_multiples_of_the_divisor_as_shown(divisor, shown, unit):
    assert tile_unit(divisor, shown) == unit


def test_an_overlap_of_more_than_half_a_tile_is_refused():
    with pytest.raises(CongealError, match="twice the overlap"):
        plan_tiles((500, 500), 128, 96)


def test_a_context_is_seen_and_not_trusted():
    plain, wide = (plan_tiles((500, 700), 128, 64, 16, context) for context in (0, 40))
    assert wide.context == 48
    for one, other in zip(plain.blocks, wide.blocks, strict=True):
        assert (one.core, one.trusted) == (other.core, other.trusted)
        top, left, bottom, right = vars(one.tile).values()
        around = Window(top - 48, left - 48, bottom + 48, right + 48)
        assert other.tile == around.meet(Window(0, 0, 500, 700))
