"""Proposals by the command line: training, files that keep overlaps, average recall."""

import json

import pytest
from cases.discs_and_squares import DiscsAndSquares, write_folder

SHORT = ["--epochs", "1", "--batch-size", "2", "--crop", "64", "--device", "cpu"]
SET = ("steps_per_epoch=2", "threads=1", "workers=0", "tuning_share=0", "network.dimensions=4")


@pytest.fixture
def masks(tmp_path):
    """A plain folder of images/ and masks/."""
    return write_folder(tmp_path / "plain", DiscsAndSquares("train", 4, side=64))


def test_proposals_are_trained_segmented_and_scored(masks, tmp_path, run, said):
    model, found = tmp_path / "model", tmp_path / "found"
    words = ["train", masks, "--task", "proposals", "-o", model, *SHORT]
    for one in SET:
        words += ["--set", one]
    made = said(*words)
    assert made["settings"]["task"] == "proposals"
    assert 0 <= made["metrics"]["validation ar@100"] <= 1

    assert run("segment", model, masks / "images", "-o", found).exit_code == 0
    assert not list(found.glob("*_labels.png"))  # would hide what overlaps
    written = sorted(found.glob("*_coco.json"))
    assert len(written) == 4
    scores = [one["score"] for one in json.loads(written[0].read_text())["annotations"]]
    assert scores == sorted(scores, reverse=True)

    scored = said("evaluate", model, masks, "--split", "all", "-o", tmp_path / "scored")
    assert scored["protocol"] == "proposals"
    assert 0 <= scored["metrics"]["ar@100"] <= 1
    plain = ["evaluate", model, masks, "--split", "all", "--protocol", "matching"]
    assert said(*plain, "-o", tmp_path / "matching")["protocol"] == "matching"
