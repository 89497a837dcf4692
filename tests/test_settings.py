"""Settings are described once, and read by path, by name and by section."""

from typing import ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from congeal.errors import CongealError
from congeal.settings import Settings, setting


class Loss(Settings):
    """A section."""

    margin: float = setting(0.5, "alpha", ge=0, lt=1, paper="0.4")
    weight: float = setting(1.0, "of the loss", gt=0)
    kind: Literal["hinge", "smooth"] = setting("hinge", "shape")


class Decoding(Settings):
    """Another one."""

    weight: float = setting(2.0, "of the vote", adjustable=True)
    steps: int | None = setting(None, "at most", ge=1, unit="px", adjustable=True)
    options: dict[str, float | str] = setting({}, "of the grouping", adjustable=True)
    sizes: tuple[float, ...] = setting((1.0, 2.0), "of windows")


class Config(Settings):
    """Two sections, and a leaf beside them."""

    title: str = setting("", "of the model")
    loss: Loss = Loss()
    decoding: Decoding = Decoding()

    renamed: ClassVar = {"alpha": "loss.margin", "extras": "decoding.options"}


def test_leaves_are_listed_by_path_in_the_order_of_their_declaration():
    assert list(Config.leaves()) == [
        "title",
        "loss.margin",
        "loss.weight",
        "loss.kind",
        "decoding.weight",
        "decoding.steps",
        "decoding.options",
        "decoding.sizes",
    ]


def test_a_leaf_tells_what_tables_show():
    leaves = Config.leaves()
    margin, steps = leaves["loss.margin"], leaves["decoding.steps"]
    assert (margin.default, margin.kind, margin.limits) == (0.5, "float", ">= 0, < 1")
    assert (margin.name, margin.paper, margin.description) == ("margin", "0.4", "alpha")
    assert (steps.kind, steps.limits, steps.unit) == ("int or none", ">= 1", "px")
    assert (margin.adjustable, steps.adjustable) == (False, True)
    assert leaves["loss.kind"].kind == "hinge | smooth"
    assert leaves["decoding.options"].kind == "options"
    assert leaves["decoding.sizes"].kind == "list of float"


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("margin", "loss.margin"),
        ("loss.margin", "loss.margin"),
        ("alpha", "loss.margin"),
        ("decoding.weight", "decoding.weight"),
        ("title", "title"),
        ("options.grid", "decoding.options.grid"),
        ("decoding.options.grid", "decoding.options.grid"),
        ("extras.grid", "decoding.options.grid"),
    ],
)
def test_a_setting_is_found_by_path_by_name_and_by_its_old_name(name, path):
    assert Config.path_of(name) == path


def test_a_dash_means_an_underscore():
    class Dashed(Settings):
        """One leaf of two words."""

        least_area: float = setting(1.0, "px")

    assert Dashed.path_of("least-area") == "least_area"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"weight": 1.0}, "weight may mean loss.weight or decoding.weight; write one of them"),
        ({"margn": 0.1}, "unknown setting 'margn'; did you mean 'margin'"),
        ({"loss.margn": 0.1}, "unknown setting 'loss.margn'; did you mean 'loss.margin'"),
        ({"loss": {"margn": 0.1}}, "unknown setting 'loss.margn'; did you mean 'loss.margin'"),
        ({"loss": 3}, "expected settings under loss, got 3"),
        ({"margin": 1.0}, "loss.margin: Input should be less than 1, got 1.0"),
        ({"margin": float("nan")}, "loss.margin: Input should be a finite number, got nan"),
        ({"kind": "round"}, "loss.kind: Input should be 'hinge' or 'smooth', got 'round'"),
        ({"steps": 0}, "decoding.steps: Input should be greater than or equal to 1, got 0"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(settings, said):
    for make in (Config.from_settings, Config().updated):
        with pytest.raises(CongealError) as caught:
            make(settings)
        assert str(caught.value).startswith(said)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "sizes"),
    [("0.5,1", (0.5, 1)), ("0.5, 1, 2", (0.5, 1, 2)), (3, (3,)), ("3", (3,)), ([1, 2], (1, 2))],
)
def test_a_list_needs_no_brackets(given, sizes):
    assert Config.from_settings({"sizes": given}).decoding.sizes == sizes


def test_what_is_no_list_of_numbers_is_told():
    with pytest.raises(CongealError, match=r"decoding.sizes.1: .* valid number.*, got 'x'"):
        Config.from_settings({"sizes": "1,x"})


def test_of_a_long_value_no_more_than_its_start_is_repeated():
    with pytest.raises(CongealError) as caught:
        Config.from_settings({"margin": "x" * 10_000})
    assert len(str(caught.value)) < 250


def test_settings_by_path_by_name_and_by_section_are_the_same():
    ways = [
        {"loss.margin": 0.3, "decoding.steps": 4},
        {"margin": 0.3, "steps": 4},
        {"loss": {"margin": 0.3}, "decoding": {"steps": 4}},
        {"alpha": 0.3, "decoding": {"steps": 4}},
    ]
    configs = [Config.from_settings(way) for way in ways]
    assert all(config == configs[0] for config in configs)
    assert (configs[0].loss.margin, configs[0].decoding.steps) == (0.3, 4)


def test_updating_changes_what_is_named_and_leaves_the_config_as_it_was():
    before = Config.from_settings({"margin": 0.3, "options": {"grid": 6}})
    after = before.updated({"steps": 4, "options": {"bins": 2}})
    assert (after.loss.margin, after.decoding.steps) == (0.3, 4)
    assert after.decoding.options == {"bins": 2}
    assert (before.decoding.steps, before.decoding.options) == (None, {"grid": 6})
    assert before.updated({}) is before


def test_one_option_can_be_given_by_its_path():
    config = Config.from_settings({"options": {"grid": 6.0}}).updated({"options.bins": 2})
    assert config.decoding.options == {"grid": 6, "bins": 2}


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "title": st.text(max_size=9),
            "loss.margin": st.floats(0, 0.99),
            "loss.kind": st.sampled_from(["hinge", "smooth"]),
            "decoding.steps": st.none() | st.integers(1, 99),
            "decoding.sizes": st.lists(st.floats(-9, 9), max_size=3).map(tuple),
        },
    )
)
def test_a_config_is_the_same_again_from_its_flat_and_its_nested_form(settings):
    config = Config.from_settings(settings)
    assert Config.from_settings(config.flat()) == config
    assert Config.from_settings(config.model_dump(mode="json")) == config
    assert {**config.flat(), **settings}.keys() == Config.leaves().keys()
