import pytest

from congeal.data.transforms import TrainTransform
from congeal.errors import CongealError
from congeal.training.config import train_config


def test_without_a_length_a_training_takes_twenty_minutes():
    assert train_config({}).max_minutes == 20
    assert train_config({"epochs": 3}).max_minutes is None


@pytest.mark.parametrize(
    ("given", "suited", "optimizer", "rate"),
    [
        ({}, "muon", "muon", 4e-3),
        ({}, "adamw", "adamw", 2e-3),
        ({"optimizer": "muon"}, "adamw", "muon", 4e-3),
        ({"optimizer": "adamw"}, "muon", "adamw", 2e-3),
        ({"optimizer": "sgd", "learning_rate": 0.1}, "muon", "sgd", 0.1),
        ({"learning_rate": 0.1}, "muon", "muon", 0.1),
    ],
)
def test_optimizer_and_rate_follow_from_the_method_where_left_open(given, suited, optimizer, rate):
    chosen = train_config(given).with_optimizer(suited)
    assert (chosen.optimizer, chosen.learning_rate) == (optimizer, rate)
    assert chosen.with_optimizer(suited) == chosen


@pytest.mark.parametrize("scale", [(0.0, 1.0), (2.0, 1.0), (-1.0, 1.0)])
def test_a_zoom_out_of_order_is_refused(scale):
    with pytest.raises(CongealError, match="expected 0 < smallest <= largest"):
        train_config({"scale_range": scale})


@pytest.mark.parametrize("name", ["max_minutes", "learning_rate", "clip", "batch_size", "crop"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), "much", None])
def test_values_out_of_range_name_the_setting(name, value):
    if name in ("max_minutes", "crop", "learning_rate") and value is None:
        pytest.skip("means no limit, or that the choice is left open")
    with pytest.raises(CongealError, match=f"^{name}: ") as caught:
        train_config({name: value})
    assert "\n" not in str(caught.value)


def test_the_ranges_of_a_paper_hold_where_no_others_are_given():
    own = train_config({"augmentation": "kong2018", "crop": 64}).augment().transforms[0]
    assert (own.size, own.scale, own.rotation, own.flip) == ((64, 64), (0.7, 1.5), 15.0, 0.5)
    given = {"rotation": 40.0, "flip": False, "scale_range": (0.9, 1.1)}
    view = train_config({"augmentation": "hwang2019", **given}).augment().transforms[0]
    assert (view.size, view.scale, view.rotation, view.flip) == ((256, 256), (0.9, 1.1), 40.0, 0.0)


def test_the_default_augmentation_takes_its_ranges_from_the_settings():
    plain = train_config({}).augment()
    assert plain == TrainTransform()
    assert (plain.crop, plain.rotation, plain.scale, plain.flip) == (256, 180.0, (0.7, 1.5), True)
    given = {"crop": 64, "rotation": 10.0, "flip": False}
    found = train_config({**given, "scale_range": (0.5, 2.0)}).augment()
    assert found == TrainTransform(**given, scale=(0.5, 2.0))


def test_an_unknown_augmentation_suggests_the_nearest():
    with pytest.raises(CongealError, match="augmentation 'kong2081'; did you mean 'kong2018'"):
        train_config({"augmentation": "kong2081"})


def test_names_of_earlier_versions_mean_what_they_are_called_now():
    config = train_config({"shares": 2, "scale": (0.9, 1.1), "crowding": 0.2, "epochs": 1})
    assert (config.cpu_replicas, config.scale_range) == (2, (0.9, 1.1))
    assert config.object_sampling_power == 0.2


def test_an_unknown_setting_suggests_the_nearest():
    with pytest.raises(CongealError, match="did you mean 'batch_size'"):
        train_config({"batchsize": 3})
