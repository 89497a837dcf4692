"""Boundaries by the command line: several annotators, training, PNG, benchmark."""

import numpy as np
import pytest
from cases.discs_and_squares import DiscsAndSquares
from PIL import Image
from scipy.io import savemat

SHORT = ["--epochs", "1", "--batch-size", "2", "--crop", "64", "--device", "cpu"]
SET = ("steps_per_epoch=2", "threads=1", "workers=0", "tuning_share=0", "loss.samples=64")


@pytest.fixture
def berkeley(tmp_path):
    """A folder in the layout of BSDS500."""
    home = tmp_path / "berkeley"
    for split in ("train", "val", "test"):
        for sample in DiscsAndSquares(split, 2, side=64):
            image = home / "images" / split / f"{sample.name}.png"
            truth = home / "groundTruth" / split / f"{sample.name}.mat"
            for path in (image, truth):
                path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(sample.image).save(image)
            people = np.empty((1, len(sample.annotations)), object)
            for k, drawn in enumerate(sample.annotations):
                edge = (drawn != np.roll(drawn, 1, 1)).astype(np.uint8)
                people[0, k] = {"Segmentation": drawn.astype(np.uint16), "Boundaries": edge}
            savemat(truth, {"groundTruth": people})
    return home


def test_boundaries_are_trained_segmented_and_scored(berkeley, tmp_path, run, said):
    model, found = tmp_path / "model", tmp_path / "found"
    words = ["train", berkeley, "--task", "boundaries", "-o", model, *SHORT]
    for one in SET:
        words += ["--set", one]
    made = said(*words)
    assert made["settings"]["task"] == "boundaries"
    assert 0 <= made["metrics"]["validation ods"] <= 1
    assert run("segment", model, berkeley / "images/test", "-o", found).exit_code == 0
    pictures = sorted(found.glob("*_boundary.png"))
    assert len(pictures) == 2
    with Image.open(pictures[0]) as picture:
        assert picture.mode.startswith("I")  # 16 bit
        assert picture.size == (64, 64)
    scored = said("evaluate", model, berkeley, "--quick", "-o", tmp_path / "scored")
    assert scored["protocol"] == "bsds-boundaries"
    page = (tmp_path / "scored" / "report.html").read_text()
    assert "stride 2" in page  # the embedding as colours
