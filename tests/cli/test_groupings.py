"""Groupings named on the command line, with a model that was trained with a repulsion radius."""

import json

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter, label


@pytest.fixture
def far_apart(tmp_path):
    """Twenty bright discs on dark ground, none near another; and their map."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:256, :320]
    inside = np.zeros(rows.shape, bool)
    for row in range(32, 256, 64):
        for column in range(32, 320, 64):
            radius, down, right = rng.uniform(9, 13), *rng.uniform(-5, 5, 2)
            inside |= (rows - row - down) ** 2 + (columns - column - right) ** 2 < radius**2
    image = 20 + 140 * gaussian_filter(inside.astype(float), 1.2) + rng.normal(0, 4, inside.shape)
    path = tmp_path / "far.png"
    Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(path)
    return path, label(inside)[0]


def matched(path, truth):
    """Objects of a label map that cover one true object with an IoU of half and more."""
    found = np.asarray(Image.open(path)).astype(np.int64)
    count = 0
    for number in range(1, int(truth.max()) + 1):
        inside = truth == number
        best = np.bincount(found[inside]).argmax()
        joint = inside | (found == best)
        count += best > 0 and (inside & (found == best)).sum() > 0.5 * joint.sum()
    return count, int(found.max())


@pytest.mark.parametrize("grouping", ["auto", "mean-shift", "flat-shift"])
def test_far_objects_that_share_a_direction_stay_apart_whatever_groups_them(
    run, far_apart, tmp_path, grouping
):
    image, truth = far_apart
    words = ["--set", f"grouping={grouping}", "--device", "cpu", "-o", tmp_path / "out"]
    result = run("segment", "nuclei", image, "-f", "labels", "--json", *words)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)
    assert matched(tmp_path / "out" / "far_labels.png", truth) == (20, 20)
