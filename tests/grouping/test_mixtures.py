"""Lines of mixture and scattered pixels are told from objects."""

from __future__ import annotations

import pytest
import torch

from congeal.grouping.mixtures import _look_at, _neighbours, _Windows, find_mixtures
from congeal.sphere import normalise

MODES = normalise(torch.tensor([[1.0, 0, 0], [0, 1.0, 0], [1.0, 1.0, 0], [0, 0, 1.0]]), dim=1)


def between(width: int) -> torch.Tensor:
    """Group 1 on the left, 2 on the right, and 3 between them, so many columns wide."""
    return torch.tensor([1] * 9 + [3] * width + [2] * 9).expand(20, -1)


def test_a_line_between_two_groups_whose_mode_lies_between_theirs_is_a_mixture() -> None:
    assert find_mixtures(MODES[:3], between(1)).tolist() == [False, False, True]


def test_a_line_with_a_mode_of_its_own_is_none() -> None:
    assert not find_mixtures(MODES[[0, 1, 3]], between(1)).any()


def test_a_solid_group_is_none_wherever_its_mode_lies() -> None:
    assert not find_mixtures(MODES[:3], between(6)).any()


def test_scattered_pixels_are_no_group() -> None:
    drawn = torch.ones(20, 20, dtype=torch.int64)
    drawn[2::4, 2::4] = 2
    assert find_mixtures(MODES[[0, 3]], drawn).tolist() == [False, True]


@pytest.mark.parametrize(("faces", "same"), [(True, False), (False, True)])
def test_neighbours_are_counted_as_a_loop_would(faces: bool, same: bool) -> None:
    labels = torch.randint(0, 3, (7, 9), generator=torch.Generator().manual_seed(0))
    counts = _neighbours(_look_at(labels), faces=faces, same=same)[0]
    for y in range(7):
        for x in range(9):
            expected = 0
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    away = abs(dy) + abs(dx)
                    inside = 0 <= y + dy < 7 and 0 <= x + dx < 9
                    if away == 0 or (faces and away > 1) or not inside:
                        continue
                    expected += bool(labels[y, x] == labels[y + dy, x + dx]) == same
            assert int(counts[y, x]) == expected


@pytest.mark.parametrize("shape", [(200, 190), (1, 2000), (40, 70, 80)])
@pytest.mark.parametrize(("faces", "same"), [(True, False), (False, True)])
def test_where_groups_hold_few_pixels_the_same_is_counted_in_tiles(
    shape: tuple[int, ...], faces: bool, same: bool
) -> None:
    labels = torch.zeros(shape, dtype=torch.int32)
    corner = tuple(slice(0, 5) for _ in shape)  # at the edge of the image and of no tile
    middle = tuple(slice(max(0, side // 2 - 4), side // 2 + 4) for side in shape)
    generator = torch.Generator().manual_seed(0)
    for place in (corner, middle):
        labels[place] = torch.randint(0, 3, labels[place].shape, generator=generator).int()
    whole, tiled = _Windows(labels[None], 0), _look_at(labels)
    assert tiled.edge == 1
    for one in range(3):
        shares = [
            windows.areas(windows.drawn * (counts > one), 2)
            for windows in (whole, tiled)
            for counts in [_neighbours(windows, faces=faces, same=same)]
        ]
        assert torch.equal(*shares)


def test_areas_are_those_of_the_whole_image() -> None:
    labels = torch.zeros(300, 300, dtype=torch.int32)
    labels[30:34, 30:34], labels[299, 299] = 1, 2  # across four tiles, and in the last corner
    tiled = _look_at(labels)
    assert tiled.edge == 1
    assert tiled.areas(tiled.drawn, 2).tolist() == [16, 1]
