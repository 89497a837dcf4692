"""Label volumes are scored in three dimensions, from the command line too."""

import json

import numpy as np
import pytest
import tifffile
import zarr
from cases.ellipsoids import ellipsoids
from typer.testing import CliRunner

from congeal.cli import app
from congeal.errors import CongealError
from congeal.evaluation.volumes import evaluate_volumes
from congeal.metrics import matching


@pytest.fixture
def truth():
    return ellipsoids()


@pytest.fixture
def found(truth):
    """One object is cut in two between planes, one is missing, the others are one plane short."""
    labels = np.where(truth == 2, 0, truth)
    labels[6:][labels[6:] == 1] = 50
    labels[3] = 0
    return labels


def write_tiff(path, labels):
    tifffile.imwrite(path, labels.astype(np.uint16), photometric="minisblack", compression="zlib")
    return path


def write_store(path, labels):
    group = zarr.open_group(path, mode="w").create_group("labels/cells")
    group.create_array("0", data=labels.astype(np.uint32), chunks=(1, 32, 32))
    scale = [{"type": "scale", "scale": [1, 1, 1]}]
    levels = [{"path": "0", "coordinateTransformations": scale}]
    axes = [{"name": name} for name in "zyx"]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": levels}]}
    return path


@pytest.mark.parametrize("write", [write_tiff, write_store])
def test_voxels_of_the_whole_volume_are_matched(tmp_path, found, truth, write):
    paths = write(tmp_path / "found.tif", found), write(tmp_path / "truth.tif", truth)
    if write is write_store:
        paths = tuple(path.rename(path.with_suffix(".zarr")) for path in paths)
    words = [*map(str, paths), "-t", "0.5", "-t", "0.7", "--json"]
    result = CliRunner().invoke(app, ["evaluate", *words])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)["metrics"]
    for one in matching(prediction=found, truth=truth, threshold=[0.5, 0.7]):
        assert told[f"matching_ap@{one.threshold}"] == pytest.approx(one.ap)
        assert told[f"pq@{one.threshold}"] == pytest.approx(one.pq)
    assert (told["objects"], told["predicted"]) == (truth.max(), len(np.unique(found)) - 1)


def test_scores_are_written_where_asked(tmp_path, found, truth):
    paths = [write_tiff(tmp_path / "a.tif", found), write_tiff(tmp_path / "b.tif", truth)]
    words = ["evaluate", *map(str, paths), "-o", str(tmp_path / "scores")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert "AP" in result.stdout
    stored = json.loads((tmp_path / "scores" / "evaluation.json").read_text())
    assert (
        stored["metrics"]["matching_ap@0.5"] == evaluate_volumes(*paths).metrics["matching_ap@0.5"]
    )


def test_volumes_of_other_shapes_are_refused(tmp_path, truth):
    one = write_tiff(tmp_path / "a.tif", truth)
    other = write_tiff(tmp_path / "b.tif", truth[1:])
    with pytest.raises(CongealError, match="expected label volumes of one shape, got"):
        evaluate_volumes(one, other)
