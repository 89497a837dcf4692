"""From data and wishes to settings: defaults, the images, the preset, what is given."""

import pytest
import yaml

from congeal.data import DrawnDataset
from congeal.errors import CongealError
from congeal.methods.rpe import RPE
from congeal.training.plan import make_plan, split_settings

STICKS = DrawnDataset("sticks", "train", count=4, size=96)


def test_without_wishes_the_images_decide():
    plan = make_plan(None, STICKS, {})
    assert plan.method is RPE
    assert plan.config.network.coordinates == "projected"
    assert plan.config.loss.mean_shift_start == 0.8
    assert plan.training.max_minutes == 20


def test_the_preset_goes_over_the_images_and_what_is_given_over_both():
    plan = make_plan("rpe", STICKS, {"dimensions": 8, "batch_size": 2}, preset="paper")
    assert plan.config.network.encoder == "resnet101"
    assert plan.config.network.coordinates == "none"
    assert plan.config.loss.mean_shift_start == 0.8  # of the images: the preset is silent
    assert plan.config.network.dimensions == 8
    assert (plan.training.batch_size, plan.training.optimizer) == (2, "sgd")


def test_settings_are_divided_between_method_and_training():
    given = {
        "loss": {"margin": 0.4},
        "training": {"epochs": 2},
        "batch_size": 4,
        "training.seed": 7,
        "scale": 0.5,
        "grouping_options": {"grid": 6},
    }
    own, training = split_settings(RPE, given)
    assert own == {
        "loss.margin": 0.4,
        "input.scale": 0.5,
        "decoding.grouping_options": {"grid": 6},
    }
    assert training == {"epochs": 2, "batch_size": 4, "seed": 7}


def test_the_document_gives_the_same_plan_again():
    plan = make_plan(None, STICKS, {"tta": 8, "epochs": 3})
    document = yaml.safe_load(yaml.safe_dump(plan.document()))
    assert document.pop("method") == "rpe"
    assert document.pop("start") == "scratch"
    assert make_plan("rpe", STICKS, document) == plan


@pytest.mark.parametrize(
    ("method", "settings", "more", "said"),
    [
        ("rep", {}, {}, "unknown method 'rep'; did you mean 'rpe'"),
        (None, {}, {"task": "semantics"}, "unknown task 'semantics'; did you mean 'semantic'"),
        (
            "dvis",
            {},
            {"task": "semantic"},
            "expected a method for task 'semantic' .*, got dvis",
        ),
        (None, {}, {"preset": "papr"}, "unknown preset of rpe 'papr'; did you mean 'paper'"),
        (None, {"batchsize": 3}, {}, "unknown setting 'batchsize'; did you mean 'batch_size'"),
        (None, {"loss.margn": 3}, {}, "unknown setting 'loss.margn'; did you mean 'loss.margin'"),
        (None, {"training.epoch": 3}, {}, "unknown setting 'epoch'; did you mean 'epochs'"),
        (None, {"training": {"epochs": 0}}, {}, "epochs: .* got 0"),
        (None, {"margin": 2}, {}, r"loss\.margin: .* got 2"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(method, settings, more, said):
    with pytest.raises(CongealError, match=f"^{said}") as caught:
        make_plan(method, STICKS, settings, **more)
    assert "\n" not in str(caught.value)


def test_classes_are_those_of_the_data():
    named = DrawnDataset("sticks", "train", count=2, size=96)
    named.class_names = ("background", "stick", "ball")
    plan = make_plan(None, named, {})
    assert plan.config.class_names == ("stick", "ball")
    assert make_plan(None, STICKS, {}).config.class_names == ("object",)
    assert make_plan(None, STICKS, {"class_names": ["rod"]}).config.class_names == ("rod",)
