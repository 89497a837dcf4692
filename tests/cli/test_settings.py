"""The list of options is held to the settings that method and training have."""

import typing

import numpy as np
import pytest

from congeal.cli.settings import METHOD, TRAINING, Setting, chosen
from congeal.data import open_dataset
from congeal.data.augment import AUGMENTATIONS
from congeal.data.sample import Dataset, Sample
from congeal.errors import CongealError
from congeal.methods.rpe import RPEConfig
from congeal.training import TrainConfig, suggest_settings

LISTED = [(METHOD, RPEConfig), (TRAINING, TrainConfig)]
PAIRS = [
    pytest.param(setting, config.model_fields[setting.name], id=setting.name)
    for settings, config in LISTED
    for setting in settings
    if setting.name in config.model_fields
]
SAID = {None: "", True: "on", False: "off"}
# What None stands for is said in words of its own.
NONE_IS = {
    "encoder_levels",
    "max_minutes",
    "steps_per_epoch",
    "workers",
    "threads",
    "shares",
    "crop",
    "crowding",
    "pixel_mean",
    "pixel_deviation",
    "concentration",
    "read_concentration",
    "learning_rate",
}


class Crowd(Dataset):
    """An image full of small objects."""

    name, split = "crowd", "train"

    def __len__(self):
        return 1

    def names(self):
        return ["crowd"]

    def __getitem__(self, index):
        labels = np.kron(np.arange(100).reshape(10, 10), np.ones((8, 8), int))
        return Sample("crowd", labels[..., None].astype(np.uint8), labels)


# What the training chooses by a look at the images, whether they are crowded or not.
BY_THE_IMAGES = {
    name
    for dataset in (Crowd(), open_dataset("sticks", "train", count=1))
    for name in suggest_settings(dataset)
}


@pytest.mark.parametrize(("settings", "config"), LISTED, ids=["method", "training"])
def test_every_setting_is_an_option_and_the_reverse(settings, config):
    assert {setting.name for setting in settings} == set(config.model_fields)


def test_no_option_is_there_twice():
    names = [setting.name for setting in (*METHOD, *TRAINING)]
    assert len(names) == len(set(names))


def plain(annotation):
    """The alternatives of a type, without None."""
    parts = typing.get_args(annotation) if "None" in str(annotation) else (annotation,)
    (kept,) = (part for part in parts if part is not type(None))
    return kept


@pytest.mark.parametrize(("setting", "field"), PAIRS)
def test_the_kind_is_that_of_the_setting(setting, field):
    kind = plain(field.annotation)
    if typing.get_origin(kind) is typing.Literal:
        assert set(setting.choices) == {str(value) for value in typing.get_args(kind)}
        assert setting.kind == type(typing.get_args(kind)[0]).__name__
    elif typing.get_origin(kind) is dict:
        assert setting.kind == "options"
    elif typing.get_origin(kind) is tuple:
        assert setting.kind == {float: "floats", str: "names"}[typing.get_args(kind)[0]]
    else:
        assert setting.kind == kind.__name__


@pytest.mark.parametrize(("setting", "field"), PAIRS)
def test_the_default_shown_is_that_of_the_setting(setting, field):
    if setting.name in BY_THE_IMAGES:
        assert setting.default == "by the images"
    elif field.default is None:
        assert (setting.name in NONE_IS) == bool(setting.default)
    elif isinstance(field.default, bool):
        assert setting.default == SAID[field.default]
    elif isinstance(field.default, dict):
        assert setting.default == "" == "".join(field.default)
    elif isinstance(field.default, tuple):
        assert setting.default == ",".join(
            f"{value:g}" if isinstance(value, float) else value for value in field.default
        )
    elif isinstance(field.default, float):
        assert setting.default == f"{field.default:g}"
    else:
        assert setting.default == str(field.default)


def test_only_what_is_given_is_passed_on():
    given = {"scale": "0.5, 2", "flip": False, "epochs": None, "seed": 3}
    assert chosen(TRAINING, given) == {"scale": (0.5, 2.0), "flip": False, "seed": 3}
    assert chosen(METHOD, {"class_names": "cell, dirt"}) == {"class_names": ("cell", "dirt")}
    options = {"grouping_options": "grid=6, search=2"}
    assert chosen(METHOD, options) == {"grouping_options": {"grid": 6, "search": 2}}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"optimizer": "adam"}, "did you mean 'adamw'"),
        ({"scale": "1-2"}, "expected numbers with commas for --scale"),
    ],
)
def test_a_value_that_does_not_fit_is_told_in_one_line(given, said):
    with pytest.raises(CongealError, match=said):
        chosen(TRAINING, given)


def test_augmentations_are_named_as_they_are():
    (setting,) = (one for one in TRAINING if one.name == "augmentation")
    assert set(setting.choices) == set(AUGMENTATIONS)


def test_options_have_dashes():
    assert Setting("a_b", "int", "", "", "").option == "--a-b"
