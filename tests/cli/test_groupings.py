"""Groupings named on the command line, with a model that was trained with a repulsion radius."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter, label

from congeal.models import shipped

# Options of groupings by the names of congeal 0.1, and the same options by their present names.
EARLIER = {
    "mean-shift": (
        {"step_size": 0.5, "reach": 6.0, "smallest": 40.0},
        {"eta": 0.5, "kernel_radius": 6.0, "min_area": 40.0},
    ),
    "flat-shift": ({"smallest": 150, "most": 3}, {"min_area": 150, "max_instances": 3}),
    "proposals": (
        {"overlap": 0.5, "smallest": 40, "split": True},
        {"max_iou": 0.5, "min_area": 40, "split_components": True},
    ),
}


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


def labels_of(run, words, out):
    result = run("segment", *words, "-f", "labels", "--device", "cpu", "-o", out)
    assert result.exit_code == 0, result.output
    return np.asarray(Image.open(out / "far_labels.png"))


@pytest.fixture
def stored(tmp_path):
    """A copy of the shipped model whose ``config.json`` has a grouping and its options."""

    def write(grouping, options):
        folder = tmp_path / "stored"
        shutil.copytree(shipped.SHIPPED / "nuclei", folder, dirs_exist_ok=True)
        config = json.loads((folder / "config.json").read_text())
        config["settings"] |= {"grouping": grouping, "grouping_options": options}
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    return write


@pytest.mark.parametrize("grouping", EARLIER)
def test_a_stored_model_with_earlier_names_of_options_loads_and_gives_the_same_objects(
    run, far_apart, stored, tmp_path, grouping
):
    image, _ = far_apart
    earlier, present = EARLIER[grouping]
    found = [
        labels_of(run, [stored(grouping, options), image], tmp_path / f"out{k}")
        for k, options in enumerate((earlier, present))
    ]
    np.testing.assert_array_equal(*found)


def test_earlier_names_of_options_work_on_the_command_line(run, far_apart, tmp_path):
    image, _ = far_apart
    found = []
    for k, options in enumerate(({}, *EARLIER["flat-shift"])):
        words = [f"--set=grouping.{name}={value}" for name, value in options.items()]
        words = ["nuclei", image, "--set=grouping=flat-shift", *words]
        found.append(labels_of(run, words, tmp_path / f"out{k}"))
    default, earlier, present = found
    np.testing.assert_array_equal(earlier, present)
    assert earlier.max() < default.max()
