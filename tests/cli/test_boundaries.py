"""Boundaries by the command line: several annotators, training, PNG, benchmark."""

import numpy as np
import pytest
from cases.discs_and_squares import DiscsAndSquares, write_folder
from PIL import Image
from scipy.io import savemat

SHORT = ["--epochs", "1", "--batch-size", "2", "--crop", "64", "--device", "cpu"]
SET = ("steps_per_epoch=2", "threads=1", "workers=0", "tuning_share=0", "loss.samples=64")


@pytest.fixture
def masks(tmp_path):
    """A plain folder of images/ and masks/, without annotators."""
    return write_folder(tmp_path / "plain", DiscsAndSquares("train", 4, side=64))


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
    words = ["segment", model, berkeley / "images/test", "-o", tmp_path / "scales"]
    assert run(*words, "--set", "decoding.scales=0.5,1").exit_code == 0
    averaged = tmp_path / "scales" / pictures[0].name
    assert averaged.read_bytes() != pictures[0].read_bytes()
    scored = said("evaluate", model, berkeley, "--quick", "-o", tmp_path / "scored")
    assert scored["protocol"] == "bsds-boundaries"
    page = (tmp_path / "scored" / "report.html").read_text()
    assert "stride 2" in page  # the embedding as colours


def test_outlines_of_masks_serve_as_boundaries_in_training_and_scores(masks, tmp_path, said):
    words = ["train", masks, "--task", "boundaries", "-o", tmp_path / "model", *SHORT]
    for one in SET:
        words += ["--set", one]
    assert 0 <= said(*words)["metrics"]["validation ods"] <= 1
    picture = next((tmp_path / "model/overlays").rglob("*.png"))
    with Image.open(picture) as drawn:
        truth = np.asarray(drawn.convert("RGB"))[:, 64:128]
    assert (truth == truth[..., :1]).all()  # lines in grey, not objects in colours
    scored = said("evaluate", tmp_path / "model", masks, "--quick", "-o", tmp_path / "scored")
    assert scored["protocol"] == "bsds-boundaries"
    assert "Precision over recall" in (tmp_path / "scored/report.html").read_text()
