"""Choosing channels of the images of a folder, by argument or in the name."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import congeal
from congeal.cli import app
from congeal.data import open_dataset
from congeal.data.registry import dataset_splits, split_channels
from congeal.errors import CongealError

RNG = np.random.default_rng(0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six images of four channels, the last no alpha but an image, with two objects each."""
    for part in ("images", "masks"):
        (tmp_path / "cells" / part).mkdir(parents=True)
    for index in range(6):
        labels = np.zeros((48, 64), np.uint8)
        labels[6:20, 5:25], labels[28:44, 30:60] = 1, 2
        pixels = RNG.integers(0, 60, (48, 64, 4)).astype(np.uint8)
        pixels[..., 3] += 150 * (labels > 0).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"cells/images/{index}.png")
        Image.fromarray(labels).save(tmp_path / f"cells/masks/{index}.png")
    return tmp_path / "cells"


def stored(folder: Path) -> np.ndarray:
    return np.asarray(Image.open(folder / "images/0.png"))


@pytest.mark.parametrize("chosen", [(3,), (3, 0), (2, 3, 0)])
def test_channels_come_in_the_order_chosen(folder: Path, chosen: tuple[int, ...]) -> None:
    named = f"{folder}:channels={','.join(map(str, chosen))}"
    for dataset in (open_dataset(folder, channels=chosen), open_dataset(named)):
        np.testing.assert_array_equal(dataset[0].image, stored(folder)[..., chosen])
    assert dataset_splits(named) == dataset_splits(folder) == ("train", "val")
    assert open_dataset(named, "train").names() == open_dataset(folder, "train").names()


def test_channels_of_classes_come_in_the_order_chosen(folder: Path) -> None:
    rows = ["image,label,class", *(f"{i}.png,{k},cell" for i in range(6) for k in (1, 2))]
    (folder / "classes.csv").write_text("\n".join(rows))
    image = open_dataset(f"{folder}:channels=3,1")[0].image
    np.testing.assert_array_equal(image, stored(folder)[..., [3, 1]])


def test_a_path_that_ends_like_channels_is_a_path(folder: Path) -> None:
    odd = folder.rename(folder.with_name("cells:channels=0"))
    assert split_channels(odd) == (odd, None)
    assert open_dataset(odd)[0].image.shape[2] == 3


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("sticks:channels=0", "your own images"),
        ("nuclei:channels=0", "your own images"),
    ],
)
def test_channels_that_cannot_be_are_told(folder: Path, spec: str, said: str) -> None:
    with pytest.raises(CongealError, match=said):
        open_dataset(spec.format(folder))


def test_a_channel_that_is_not_there_is_told(folder: Path) -> None:
    with pytest.raises(CongealError, match="channels from 0 to 3"):
        open_dataset(f"{folder}:channels=7")[0]


def test_data_check_reads_the_channels(folder: Path) -> None:
    result = CliRunner().invoke(app, ["data", "check", f"{folder}:channels=3,0", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)


def test_a_model_is_trained_on_two_channels(folder: Path, tmp_path: Path) -> None:
    model = congeal.RPE(dimensions=4, samples=64, min_area=4)
    spec = f"{folder}:channels=3,0"
    quick = {"epochs": 1, "steps_per_epoch": 1, "batch_size": 2, "crop": 32, "workers": 0}
    congeal.train(model, spec, output=tmp_path / "run", device="cpu", keep="last", **quick)
    found = congeal.segment(tmp_path / "run", folder / "images/0.png", channels=[3, 0])
    assert found.shape == (48, 64)
