import pytest

from congeal.errors import CongealError
from congeal.training.config import train_config


def test_without_a_length_a_training_takes_twenty_minutes():
    assert train_config({}).max_minutes == 20
    assert train_config({"epochs": 3}).max_minutes is None


@pytest.mark.parametrize("scale", [(0.0, 1.0), (2.0, 1.0), (-1.0, 1.0)])
def test_a_zoom_out_of_order_is_refused(scale):
    with pytest.raises(CongealError, match="expected 0 < smallest <= largest"):
        train_config({"scale": scale})


@pytest.mark.parametrize("name", ["max_minutes", "learning_rate", "clip", "batch_size", "crop"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), "much", None])
def test_values_out_of_range_name_the_setting(name, value):
    if name == "max_minutes" and value is None:
        pytest.skip("means no limit")
    with pytest.raises(CongealError, match=f"^{name}: ") as caught:
        train_config({name: value})
    assert "\n" not in str(caught.value)


def test_an_unknown_setting_suggests_the_nearest():
    with pytest.raises(CongealError, match="did you mean 'batch_size'"):
        train_config({"batchsize": 3})
