"""What looks wrong in masks is said before time is spent on them, by every command."""

import json
import os
import sys

import numpy as np
import pytest
from PIL import Image

SHORT = ["--epochs", 1, "--crop", 64, "--batch-size", 2, "--device", "cpu"]
SHORT += [f"--set={name}" for name in ("steps_per_epoch=1", "samples=64", "workers=0")]


@pytest.fixture
def binary(tmp_path):
    """Masks of 0 and 255 with nine objects in each, the commonest mistake."""
    rows, columns = np.mgrid[:96, :96]
    inside = np.zeros((96, 96), bool)
    for row in (16, 48, 80):
        for column in (16, 48, 80):
            inside |= (rows - row) ** 2 + (columns - column) ** 2 < 60
    rng = np.random.default_rng(0)
    for part in ("images", "masks"):
        (tmp_path / "binary" / part).mkdir(parents=True)
        for index in range(4):
            noise = rng.integers(0, 9, inside.shape)
            pixels = inside * 255 if part == "masks" else 20 + 150 * inside + noise
            Image.fromarray(pixels.astype(np.uint8)).save(
                tmp_path / "binary" / part / f"{index}.png"
            )
    return tmp_path / "binary"


@pytest.mark.parametrize(
    "words",
    [
        ["train", "DATA", "-o", "OUT", *SHORT],
        ["tune", "nuclei", "DATA", "-o", "OUT", "--limit", 1, "--device", "cpu"],
        ["evaluate", "nuclei", "DATA", "-o", "OUT", "--limit", 1, "--no-report", "--device", "cpu"],
    ],
    ids=lambda words: words[0],
)
def test_binary_masks_are_told_by_train_tune_and_evaluate(run, binary, tmp_path, words):
    places = {"DATA": binary, "OUT": tmp_path / "out"}
    result = run(*(places.get(word, word) for word in words))
    assert result.exit_code == 0, result.output
    notes = [line for line in result.stderr.splitlines() if line.startswith("note: ")]
    assert any("every mask has a single object" in line for line in notes), result.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
def test_images_with_names_that_are_no_utf8_are_evaluated(run, binary, tmp_path):
    for part in ("images", "masks"):
        folder = os.fsencode(binary / part)
        os.rename(folder + b"/0.png", folder + b"/zelle\xe9.png")
    words = ["--split", "all", "-o", tmp_path / "out", "--device", "cpu"]
    result = run("evaluate", "nuclei", binary, *words)
    assert result.exit_code == 0, result.output
    names = [
        row["name"]
        for row in json.loads((tmp_path / "out/evaluation.json").read_text())["per_image"]
    ]
    assert len(names) == 4
    assert "zelle" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
