"""Channels from the command line: any number is trained on, and the model keeps which."""

import json

import numpy as np
import pytest
import tifffile
from PIL import Image

from congeal.models import load

QUICK = ["--epochs", 1, "--batch-size", 2, "--crop", 64, "--device", "cpu"]
QUICK += ["--set", "steps_per_epoch=1", "--set", "validation_images=1", "--set", "tuning_share=0"]
SMALL = {
    "rpe": ["--set", "dimensions=4", "--set", "samples=64"],
    "discriminative": [],
    "dvis": [],
    "segsort": ["--set", "dimensions=4"],
}


@pytest.fixture
def five(tmp_path):
    """Images of five channels; objects are bright in channel 3 only."""
    rng = np.random.default_rng(0)
    for part in ("images", "masks"):
        (tmp_path / "five" / part).mkdir(parents=True)
    for index in range(8):
        labels = np.zeros((64, 80), np.uint8)
        labels[6:26, 5:25], labels[34:60, 30:60] = 1, 2
        pixels = rng.integers(0, 60, (5, 64, 80)).astype(np.uint8)
        pixels[3] += 150 * (labels > 0).astype(np.uint8)
        tifffile.imwrite(
            tmp_path / f"five/images/{index}.tif",
            pixels,
            imagej=True,
            metadata={"axes": "CYX"},
        )
        Image.fromarray(labels).save(tmp_path / f"five/masks/{index}.png")
    return tmp_path / "five"


def first_weights(model):
    return next(value for name, value in model.named_parameters() if value.ndim == 4)


@pytest.mark.parametrize("method", list(SMALL))
def test_more_than_three_channels_are_trained_on_as_given(run, five, tmp_path, method):
    task = ["--task", "semantic"] if method == "segsort" else []
    if task:
        (five / "classes.csv").write_text(
            "image,label,class\n" + "".join(f"{i}.tif,{k},cell\n" for i in range(8) for k in (1, 2))
        )
    folder = tmp_path / "model"
    words = ["train", five, "-o", folder, "--method", method, *task, *QUICK, *SMALL[method]]
    result = run(*words)
    assert result.exit_code == 0, result.output
    model = load(folder)
    assert model.channels == (0, 1, 2, 3, 4)
    assert first_weights(model).shape[1] >= 5
    found = run("segment", folder, five / "images", "-o", tmp_path / "found")
    assert found.exit_code == 0, found.output
    scored = run("evaluate", folder, five, "--split", "val", "--limit", 1, "-o", tmp_path / "e")
    assert scored.exit_code == 0, scored.output


def test_an_encoder_of_timm_takes_more_than_three_channels(run, five, tmp_path):
    words = ["--set", "network.encoder=resnet10t", "--from-scratch", *SMALL["rpe"], *QUICK]
    result = run("train", five, "-o", tmp_path / "model", *words)
    assert result.exit_code == 0, result.output
    found = run("segment", tmp_path / "model", five / "images", "-o", tmp_path / "found")
    assert found.exit_code == 0, found.output


def test_the_channels_chosen_are_applied_again(run, said, five, tmp_path):
    folder = tmp_path / "model"
    run("train", five, "-o", folder, "--channels", "3,0", *QUICK, *SMALL["rpe"])
    assert load(folder).channels == (3, 0)
    images = five / "images"
    implied = said("segment", folder, images, "-o", tmp_path / "a", "-f", "labels")
    told = said(
        "segment", folder, images, "-o", tmp_path / "b", "-f", "labels", "--channels", "3,0"
    )
    assert implied["notes"] == told["notes"] == ["channels 1, 2 and 4 of 5 left out of 8 images"]
    for name in ("0_labels.png", "5_labels.png"):
        one, other = (np.asarray(Image.open(tmp_path / where / name)) for where in "ab")
        np.testing.assert_array_equal(one, other)
    scores = said("evaluate", folder, five, "--split", "val", "-o", tmp_path / "e", "--no-report")
    assert scores["metrics"]["images"] >= 1
    tuned = said("tune", folder, five, "--limit", 1, "-o", tmp_path / "tuned")
    assert tuned["images"] == 1
    stored = json.loads((tmp_path / "tuned" / "config.json").read_text())
    assert stored["settings"]["input"]["channels"] == [3, 0]


def test_the_choice_changes_what_is_learned(run, five, tmp_path):
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder, channels in zip(folders, ("3", "1"), strict=True):
        run("train", five, "-o", folder, "--channels", channels, *QUICK, *SMALL["rpe"])
    one, other = (first_weights(load(folder)) for folder in folders)
    assert not np.array_equal(one.detach().numpy(), other.detach().numpy())


def test_a_model_of_gray_and_rgb_refuses_five_channels(run, five, tmp_path):
    result = run("segment", "nuclei", five / "images", "-o", tmp_path / "found")
    assert result.exit_code == 1
    assert "has 5 channels; select with --channels" in result.stderr
    chosen = run("segment", "nuclei", five / "images", "-o", tmp_path / "found", "--channels", 3)
    assert chosen.exit_code == 0, chosen.output


def test_a_model_of_five_channels_refuses_others(run, five, desk, tmp_path):
    run("train", five, "-o", tmp_path / "model", *QUICK, *SMALL["rpe"])
    result = run("segment", tmp_path / "model", "photos/images", "-o", tmp_path / "found")
    assert result.exit_code == 1
    assert "expected channels from 0 to 0" in result.stderr


def test_training_images_of_different_channels_are_told(run, five, tmp_path):
    for index in range(4):
        Image.fromarray(np.zeros((64, 80, 3), np.uint8)).save(five / "images" / f"{index}.png")
        (five / "images" / f"{index}.tif").unlink()
    words = ["train", five, "-o", tmp_path / "model", *QUICK, *SMALL["rpe"]]
    result = run(*words)
    assert result.exit_code == 2
    assert "channels for the network" in result.stderr


def test_data_check_and_preview_take_any_number_of_channels(run, five, tmp_path):
    assert run("data", "check", five).exit_code == 0
    assert run("data", "preview", five, "-o", tmp_path / "sheet.png").exit_code == 0


def test_a_model_of_maps_writes_them_where_no_format_is_named(run, five, tmp_path):
    rows = "".join(f"{i}.tif,{k},cell\n" for i in range(8) for k in (1, 2))
    (five / "classes.csv").write_text(f"image,label,class\n{rows}")
    words = ["--method", "discriminative", "--task", "semantic"]
    run("train", five, "-o", tmp_path / "model", *words, *QUICK)
    result = run("segment", tmp_path / "model", five / "images", "-o", tmp_path / "found")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "found" / "0_semantic.png").exists()
    assert (tmp_path / "found" / "0_overlay.png").exists()
