"""Arguments of another type or shape than expected, in Python: one line, by CongealError."""

import numpy as np
import pytest
import torch

import congeal
from congeal import CongealError
from congeal.data import DrawnDataset


def told(call):
    with pytest.raises(CongealError) as caught:
        call()
    (line,) = str(caught.value).splitlines()
    return line


def test_a_file_name_for_an_array():
    assert "expected an array (H, W) or (H, W, C), got 'a.png'" in told(
        lambda: congeal.RPE().segment("a.png")
    )


def test_a_network_that_is_no_method(tmp_path):
    line = told(
        lambda: congeal.train(
            torch.nn.Conv2d(3, 8, 1), DrawnDataset("discs", count=2), output=tmp_path / "m"
        )
    )
    assert line.startswith("expected a method or the name of one, got Conv2d")
    assert not (tmp_path / "m").exists()


def test_nothing_for_a_model():
    assert told(lambda: congeal.load(None)) == "expected the folder or name of a model, got None"


def test_text_for_a_pixel_size():
    image = np.zeros((32, 32), np.uint8)
    line = told(lambda: congeal.segment(congeal.RPE(), image, pixel_size="a"))
    assert line == "expected micrometres per pixel, got 'a'"


def test_an_image_for_a_volume():
    line = told(lambda: congeal.segment_volume(congeal.RPE(), np.zeros((16, 20), np.uint8)))
    assert line == "expected a volume (Z, Y, X) or (Z, Y, X, C), got shape (16, 20)"


def test_an_output_folder_in_use_is_told_before_the_data_is_read(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    line = told(lambda: congeal.train(None, "no/such/data", output=tmp_path))
    assert "already holds a training" in line
