"""Values that no one means, told in one line and with the code of a wrong request."""

import numpy as np
import pytest
from PIL import Image

from congeal.cli.options import parse_settings
from congeal.errors import CongealError
from congeal.models.config import parse_config

DEEP, LONG = "[" * 100_000, "9" * 5_001


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.eye(48, dtype=np.uint8) * 200).save(path)
    return path


@pytest.mark.parametrize("value", [DEEP, LONG, "1e999", "NaN"], ids=["deep", "long", "inf", "nan"])
@pytest.mark.parametrize("name", ["min_area", "kernel_radius", "tta", "grouping"])
def test_settings_of_odd_values_are_refused_in_one_short_line(run, image, tmp_path, name, value):
    result = run("segment", "nuclei", image, "-o", tmp_path / "o", "--set", f"{name}={value}")
    line = result.stderr.splitlines()[-1]  # where it takes long, lines of progress come before
    assert result.exit_code == 2, line[:400]
    assert line.startswith("error: ")
    assert len(line) < 400


@pytest.mark.parametrize("value", [DEEP, LONG], ids=["deep", "long"])
def test_deep_and_long_json_in_an_option_is_text(value):
    assert parse_settings([f"min_area={value}"]) == {"min_area": value}


@pytest.mark.parametrize(
    "text",
    [DEEP, '{"format": 1, "method": "rpe", "settings": {"a": ' + LONG + "}}"],
    ids=["deep", "long"],
)
def test_deep_and_long_json_in_a_model_folder_is_told_in_one_line(text):
    with pytest.raises(CongealError, match=r"expected .* config\.json") as told:
        parse_config(text, "config.json")
    assert len(str(told.value)) < 200
