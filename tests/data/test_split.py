"""The division into training and validation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from congeal.data.split import select_split, stable_split
from congeal.errors import CongealError

names = st.lists(st.text(min_size=1, max_size=8), unique=True, max_size=30)


@given(names, st.randoms())
def test_the_order_of_names_does_not_matter(given_names: list[str], random) -> None:
    shuffled = given_names.copy()
    random.shuffle(shuffled)
    assert stable_split(shuffled) == stable_split(given_names)


@given(names, st.floats(0, 1), st.integers(0, 5))
def test_two_or_more_names_give_both_parts(given_names: list[str], val: float, seed: int) -> None:
    parts = list(stable_split(given_names, val, seed).values())
    assert len(parts) == len(given_names)
    if len(parts) >= 2:
        assert set(parts) == {"train", "val"}
    elif parts:
        assert parts == ["train"]


def test_names_keep_their_part_when_others_come() -> None:
    few = [f"image_{i}" for i in range(60)]
    many = [f"image_{i}" for i in range(300)]
    before, after = stable_split(few), stable_split(many)
    assert before == {name: after[name] for name in few}


def test_the_share_is_about_what_was_asked() -> None:
    parts = list(stable_split([str(i) for i in range(4000)], val=0.15).values())
    assert 0.13 < parts.count("val") / 4000 < 0.17


@given(names, st.integers(0, 5))
def test_of_a_few_names_no_more_than_a_third_is_for_validation(
    given_names: list[str], seed
) -> None:
    parts = list(stable_split(given_names, seed=seed).values())
    assert parts.count("val") <= max(1, len(parts) / 3)


def test_those_nearest_to_the_border_stay_in_training() -> None:
    numbers = [f"{i:02d}" for i in range(12)]  # of which chance alone would choose seven
    few = {name for name, part in stable_split(numbers).items() if part == "val"}
    many = stable_split([f"{i:02d}" for i in range(99)])
    assert len(few) == 4
    assert all(many[name] == "val" for name in few)


def test_another_seed_divides_differently() -> None:
    many = [str(i) for i in range(100)]
    assert stable_split(many, seed=0) != stable_split(many, seed=1)


def test_the_division_is_the_same_for_ever() -> None:
    chosen = [name for name, part in stable_split(map(str, range(30))).items() if part == "val"]
    assert chosen == ["2", "3", "10", "11", "12", "22"]


def select(parts: dict[str, list[str]], split: str) -> list[str]:
    return select_split(parts, split, name=str, where="here")


def test_given_splits_are_kept() -> None:
    parts = {"train": ["a", "b"], "val": ["c"], "test": ["d"]}
    assert select(parts, "train") == ["a", "b"]
    assert select(parts, "test") == ["d"]
    assert select(parts, "all") == ["a", "b", "c", "d"]


def test_validation_is_cut_from_training_when_it_is_missing() -> None:
    parts = {"train": [str(i) for i in range(20)], "test": ["t"]}
    train, val = select(parts, "train"), select(parts, "val")
    assert sorted(train + val) == sorted(parts["train"])
    assert val
    assert select(parts, "all") == [*parts["train"], "t"]


def test_a_split_that_is_not_there_is_named() -> None:
    with pytest.raises(CongealError, match="'test' in here, it has train and val"):
        select({"train": ["a"], "val": ["b"]}, "test")
    with pytest.raises(CongealError, match="it has no split folders"):
        select({"all": ["a"]}, "test")
    with pytest.raises(CongealError, match="did you mean 'train'"):
        select({"all": ["a"]}, "trian")


def test_a_share_outside_zero_and_one_is_refused() -> None:
    with pytest.raises(CongealError, match=r"1\.5"):
        stable_split(["a"], val=1.5)
