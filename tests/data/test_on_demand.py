"""Sequences whose items are made when they are asked for."""

import pytest

from congeal.data.on_demand import OnDemand


def test_an_item_is_made_when_it_is_asked_for_and_not_kept():
    asked = []
    items = OnDemand(3, lambda number: asked.append(number) or 10 * number)
    assert len(items) == 3
    assert asked == []
    assert (items[1], items[-1], items[1]) == (10, 20, 10)
    assert asked == [1, 2, 1]


def test_it_is_indexed_as_a_list():
    items, plain = OnDemand(5, lambda number: number), list(range(5))
    for part in (slice(1, 4), slice(None, None, -2), slice(9, 12)):
        assert list(items[part]) == plain[part]
    with pytest.raises(IndexError):
        items[5]
