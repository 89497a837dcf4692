"""congeal.errors: one line, and the nearest name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from congeal.errors import CongealError, quoted, unknown


def test_a_congeal_error_is_a_value_error_so_that_callers_can_catch_either() -> None:
    with pytest.raises(ValueError, match="expected a folder"):
        raise CongealError("expected a folder, got a file")


def test_an_unknown_name_comes_with_the_nearest_one_and_the_list() -> None:
    message = str(unknown("encoder", "resnet81", ["resnet18", "convnext_tiny"]))
    assert message == (
        "unknown encoder 'resnet81'; did you mean 'resnet18'? (there are: convnext_tiny, resnet18)"
    )


def test_capitals_do_not_hide_the_nearest_name() -> None:
    assert "did you mean 'nuclei'?" in str(unknown("dataset", "NUCLEI", ["nuclei", "cables"]))


def test_a_name_near_nothing_gets_no_suggestion() -> None:
    assert "did you mean" not in str(unknown("dataset", "qqqq", ["nuclei", "cables"]))


def test_a_long_list_is_cut_and_says_by_how_much() -> None:
    message = str(unknown("encoder", "x", [f"net{i:03}" for i in range(100)]))
    assert message.endswith("net011, and 88 more)")


def test_an_empty_list_says_that_there_are_none() -> None:
    assert str(unknown("model", "x", [])) == "unknown model 'x' (there are none)"


@given(st.text(max_size=30), st.lists(st.from_regex(r"[\w:.-]+", fullmatch=True), max_size=30))
def test_whatever_the_names_the_message_is_one_line(got: str, options: list[str]) -> None:
    assert len(str(unknown("thing", got, options)).splitlines()) == 1


def test_what_no_stream_takes_is_shown_escaped() -> None:
    shown = str(CongealError("cannot read zelle\udce9.png: \x1b[31m\ud800"))
    assert shown == r"cannot read zelle\xe9.png: \x1b[31m\ud800"
    shown.encode()


@given(st.one_of(st.text(), st.integers(), st.lists(st.text()), st.binary()))
def test_a_quotation_is_short_and_one_line(value: object) -> None:
    text = quoted(value)
    assert len(text) <= 80
    assert "\n" not in text
    text.encode()


def test_values_that_python_cannot_show_are_quoted_by_their_kind() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert quoted(deep) == "<list>"
    assert quoted(10**5000) == "<int>"
    assert quoted("a" * 10**7).startswith("'aaa")
