"""Tiles computed by several processes, and runs that are killed."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile
from cases.bright import Bright
from cases.gray_networks import discs
from PIL import Image

from congeal.errors import CongealError
from congeal.prediction import segment_files
from congeal.prediction import single as single_module
from congeal.prediction.executors import DaskCluster, Processes, choose_executor
from congeal.prediction.lazy_model import LazyModel
from congeal.prediction.tile_work import TileSource, TileWork, parse_part
from congeal.prediction.tiled import Tiling, segment_image

TILING = {"tile": 128, "overlap": 64}


@pytest.fixture
def scene(tmp_path):
    """A file that is cut into 20 tiles."""
    Image.fromarray(discs(270, 330)[..., 0]).save(tmp_path / "scene.png")
    return tmp_path / "scene.png"


def read(folder):
    return {path.name: path.read_bytes() for path in folder.glob("scene_*")}


@pytest.fixture
def unbroken(scene, folders):
    """The files of a run that nobody stopped."""
    run = segment_files(folders[0], [scene], scene.parent / "unbroken", **TILING)
    assert run.done == [scene]
    return read(scene.parent / "unbroken")


class Slow(Bright):
    def segment(self, image):
        time.sleep(0.01)
        return super().segment(image)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_run_killed_twenty_times_ends_with_the_bytes_of_an_unbroken_one(
    scene, folders, unbroken, monkeypatch
):
    output, rng = scene.parent / "killed", np.random.default_rng(0)
    monkeypatch.setattr(single_module, "load", lambda path, device, settings: Slow())
    for _ in range(20):
        child = os.fork()
        if not child:
            segment_files(folders[0], [scene], output, **TILING)
            os._exit(0)
        time.sleep(rng.uniform(0, 0.08))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    segment_files(folders[0], [scene], output, **TILING)
    assert read(output) == unbroken
    assert not (output / "tiles").exists()


def test_tiles_that_are_done_are_not_computed_again(scene, folders, monkeypatch):
    output, models = scene.parent / "out", []

    def load(path, device, settings):
        models.append(Bright())
        return models[-1]

    monkeypatch.setattr(single_module, "load", load)
    segment_files(folders[0], [scene], output, block="1/1", **TILING)
    segment_files(folders[0], [scene], output, **TILING)
    assert models[0].asked > 10
    assert models[1].asked == 0


def test_tiles_of_another_version_of_an_image_are_given_up(scene, folders, unbroken):
    output = scene.parent / "out"
    segment_files(folders[0], [scene], output, block="1/2", **TILING)
    Image.fromarray(discs(270, 330, seed=7)[..., 0]).save(scene)
    os.utime(scene, ns=(1, 1))
    segment_files(folders[0], [scene], output, **TILING)
    segment_files(folders[0], [scene], scene.parent / "anew", **TILING)
    assert read(output) == read(scene.parent / "anew") != unbroken


def test_the_parts_of_a_job_array_are_merged(scene, folders, unbroken):
    output = scene.parent / "out"
    for part in ("2/3", "1/3"):
        assert not segment_files(folders[0], [scene], output, block=part, **TILING).failed
    (failed,) = segment_files(folders[0], [scene], output, merge=True, **TILING).failed
    assert "are missing" in failed[1]
    segment_files(folders[0], [scene], output, block="3/3", **TILING)
    assert segment_files(folders[0], [scene], output, merge=True, **TILING).done == [scene]
    assert read(output) == unbroken


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/0"])
def test_what_is_no_part_is_told(text):
    with pytest.raises(CongealError, match="I/N"):
        parse_part(text)


def through(executor, tmp_path):
    """Segment a scene by an executor."""
    image = discs(200, 260)
    work = TileWork(tmp_path, Tiling(128, 64), executor)
    found, _ = work.segment(
        LazyModel(Bright()), image, TileSource("a", partial(discs, 200, 260), {"of": 1})
    )
    np.testing.assert_array_equal(
        found.labels, segment_image(Bright(), image, Tiling(128, 64))[0].labels
    )


def test_processes_of_this_machine_give_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # of cases/
    through(Processes(2), tmp_path)


def test_two_workers_of_a_dask_cluster_give_the_same(tmp_path):
    distributed = pytest.importorskip("distributed")
    cluster = distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=False,
        protocol="tcp://",
        dashboard_address=None,
    )
    with cluster:
        through(DaskCluster(cluster.scheduler_address), tmp_path)


def test_a_cluster_that_is_not_there_is_told_in_one_line(tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    with pytest.raises(CongealError, match="expected the scheduler of a Dask cluster"):
        through(DaskCluster("nonsense"), tmp_path)
    with pytest.raises(CongealError, match="--processes"):
        choose_executor(2, "tcp://a:1")


def test_merging_with_other_settings_takes_no_tile_away(scene, folders, unbroken):
    output = scene.parent / "out"
    segment_files(folders[0], [scene], output, block="1/1", **TILING)
    for other in ({"tile": 192, "overlap": 64}, {**TILING, "formats": ["boundary"]}):
        (failed,) = segment_files(folders[0], [scene], output, merge=True, **other).failed
        assert "found others: run every --block with the same options" in failed[1]
    (failed,) = segment_files(folders[0], [scene], output / "b", merge=True, **TILING).failed
    assert "found none" in failed[1]
    assert segment_files(folders[0], [scene], output, merge=True, **TILING).done == [scene]
    assert read(output) == unbroken
    assert not (output / "tiles").exists()


def test_parts_that_cannot_be_merged_are_refused(scene, folders):
    output = scene.parent / "out"
    with pytest.raises(CongealError, match="got both"):
        segment_files(folders[0], [scene], output, block="1/2", merge=True, **TILING)
    (failed,) = segment_files(Bright(), [scene], output, block="1/2", **TILING).failed
    assert "got one in memory" in failed[1]


def test_a_run_whose_tiles_another_run_has_used_up_skips_the_image(
    scene, folders, unbroken, monkeypatch
):
    output, asked = scene.parent / "out", []

    class Beaten(Bright):
        def segment(self, image):
            asked.append(1)
            if len(asked) == 5:  # the same command, started by somebody else, is done first
                assert segment_files(folders[0], [scene], output, **TILING).done == [scene]
            return super().segment(image)

    monkeypatch.setattr(single_module, "load", lambda path, device, settings: Beaten())
    run = segment_files(folders[0], [scene], output, **TILING)
    assert run.skipped == [scene]
    assert read(output) == unbroken
    assert not (output / "tiles").exists()


def test_a_damaged_tile_is_told_and_made_again(scene, folders, unbroken):
    output = scene.parent / "out"
    segment_files(folders[0], [scene], output, block="1/1", **TILING)
    tile = next(output.glob("tiles/scene/*/block_*.npz"))
    tile.write_bytes(tile.read_bytes()[:100])
    (failed,) = segment_files(folders[0], [scene], output, **TILING).failed
    assert f"{tile.name}, it is damaged: remove it" in failed[1]
    tile.unlink()
    segment_files(folders[0], [scene], output, **TILING)
    assert read(output) == unbroken


def test_a_volume_goes_through_tiles_and_parts(folders, tmp_path):
    plane = discs(200, 260)[..., 0]
    tifffile.imwrite(tmp_path / "s.tif", np.stack([plane, plane]), photometric="minisblack")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    stack = [tmp_path / "s.tif"], {"stack": "volume"}
    segment_files(folders[0], stack[0], whole, **stack[1])
    for part in ("1/2", "2/2"):
        segment_files(folders[0], stack[0], parts, block=part, **stack[1], **TILING)
        assert not list(parts.glob("s_*"))
    merged = segment_files(folders[0], stack[0], parts, merge=True, **stack[1], **TILING)
    assert merged.done == stack[0]
    made, expected = (tifffile.imread(one / "s_labels.tif") for one in (parts, whole))
    np.testing.assert_array_equal(made > 0, expected > 0)
    assert made.max() == expected.max()
    assert not (parts / "tiles").exists()
    with pytest.raises(CongealError, match="expected images for --seam-report"):
        segment_files(folders[0], stack[0], whole, seam_report=True, **stack[1])


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_processes_end_with_the_one_that_started_them(tmp_path):
    code = (
        "from multiprocessing import active_children as c\n"
        "from congeal.prediction.executors import Processes\n"
        "from time import sleep\n"
        "if __name__ == '__main__':\n"
        "    for _ in Processes(2).run(sleep, [0, 60]):\n"
        "        print(*[one.pid for one in c()], flush=True)\n"
    )
    (tmp_path / "main.py").write_text(code)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    main = subprocess.Popen(
        [sys.executable, str(tmp_path / "main.py")],
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    )
    children = [int(word) for word in main.stdout.readline().split()]
    main.kill()
    main.communicate()
    ends = time.monotonic() + 20
    while any(map(is_running, children)) and time.monotonic() < ends:
        time.sleep(0.05)
    assert len(children) == 2
    assert not any(map(is_running, children))


def is_running(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
