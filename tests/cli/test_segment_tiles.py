"""Images of any size, from the command line."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
import zarr
from cases.gray_networks import discs
from PIL import Image

import congeal
from congeal.models import save_model


def read(path):
    return np.asarray(Image.open(path))


def test_tiles_give_the_objects_of_the_whole_image_and_a_report(run, model, tmp_path):
    photo = tmp_path / "scene.png"
    Image.fromarray(discs(260, 300)[..., 0]).save(photo)
    whole, tiles = tmp_path / "whole", tmp_path / "tiles"
    base = ["segment", str(model), str(photo), "-f", "labels", "--output"]
    assert run(*base, str(whole)).exit_code == 0
    options = ["--tile", "128", "--overlap", "64", "--seam-report"]
    assert run(*base, str(tiles), *options).exit_code == 0
    found = read(tiles / "scene_labels.png")
    assert ((found > 0) == (read(whole / "scene_labels.png") > 0)).all()
    assert found.max() == read(whole / "scene_labels.png").max()
    report = json.loads((tiles / "seams" / "scene.json").read_text())
    assert report["tiles"] > 4
    assert report["objects"] == found.max()
    assert report["objects_at_seams"] > report["objects_joined"] == len(report["doubtful"]) == 0
    assert read(tiles / "seams" / "scene.png").shape == (260, 300, 3)


def test_results_of_another_tile_size_are_not_mixed(run, model, tmp_path):
    photo = tmp_path / "scene.png"
    Image.fromarray(discs(100, 100)[..., 0]).save(photo)
    base = ["segment", str(model), str(photo), "--output", str(tmp_path / "out")]
    assert run(*base).exit_code == 0
    result = run(*base, "--tile", "64", "--overlap", "32")
    assert result.exit_code != 0
    assert "settings differ" in result.output


def test_parts_and_their_merge(run, model, tmp_path):
    photo = tmp_path / "scene.png"
    Image.fromarray(discs(200, 200)[..., 0]).save(photo)
    base = ["segment", str(model), str(photo), "--output", str(tmp_path / "out")]
    base += ["--tile", "128", "--overlap", "64"]
    for part in ("1/2", "2/2"):
        assert run(*base, "--block", part).exit_code == 0
    assert not list((tmp_path / "out").glob("*.png"))
    assert run(*base, "--merge").exit_code == 0
    assert (tmp_path / "out" / "scene_labels.png").is_file()


def test_zarr_in_and_out(run, model, tmp_path):
    zarr.save_array(tmp_path / "plate.zarr", discs(200, 260)[..., 0])
    base = ["segment", str(model), str(tmp_path / "plate.zarr")]
    result = run(*base, "--output", str(tmp_path / "labels.zarr"))
    assert result.exit_code == 0, result.output
    found = zarr.open_group(tmp_path / "labels.zarr", mode="r")["labels/congeal/0"][:]
    assert f"{found.max()} objects" in result.output
    refused = run(*base, "--output", str(tmp_path / "folder"))
    assert "expected --output NAME.zarr" in refused.output
    files = ["--table", "--seam-report"]
    refused = run(*base, "--output", str(tmp_path / "b.zarr"), *files)
    assert "folder as --output for --table and --seam-report" in refused.output


def test_a_pixel_size_is_said_to_give_units_only(run, model, tmp_path):
    Image.fromarray(discs(60, 60)[..., 0]).save(tmp_path / "a.png")
    base = ["segment", str(model), str(tmp_path / "a.png"), "--output", str(tmp_path / "out")]
    result = run(*base, "--pixel-size", "0.5")
    assert result.output.count("--pixel-size (pixel_size=) gives units only") == 1


def test_a_table_goes_beside_the_labels_of_zarr(run, model, tmp_path):
    pixels = discs(1300, 1100, gap=60, radius=14)
    zarr.save_array(tmp_path / "plate.zarr", pixels[..., 0])
    Image.fromarray(pixels[..., 0]).save(tmp_path / "plate.png")
    words = ["-f", "csv", "--units", "um", "--pixel-size", "0.5", "--tile", "512"]
    base = ["segment", str(model), "--overlap", "64", *words]
    store = tmp_path / "labels.zarr"
    result = run(*base, str(tmp_path / "plate.zarr"), "-o", str(store))
    assert result.exit_code == 0, result.output
    assert run(*base, str(tmp_path / "plate.png"), "-o", str(tmp_path / "out")).exit_code == 0
    ours = measured(tmp_path / "labels_objects.csv")
    expected = measured(tmp_path / "out" / "plate_objects.csv")
    assert len(ours) == len(expected) > 100
    for one, other in zip(ours, expected, strict=True):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-6)


def measured(path):
    """The numbers of a table, by label; an orientation of 180 degrees is one of 0."""
    with path.open() as file:
        rows = sorted(csv.DictReader(file), key=lambda row: int(row["label"]))
    words = ("image", "class", "units", "touches_border")
    found = [{k: float(v or "nan") for k, v in row.items() if k not in words} for row in rows]
    turned = [float(np.sin(np.radians(row.pop("orientation")))) for row in found]
    edges = [row["touches_border"] == "True" for row in rows]
    return [
        {**row, "turned": sine, "edge": edge}
        for row, sine, edge in zip(found, turned, edges, strict=True)
    ]


def test_what_a_store_cannot_hold_is_refused(fails, run, model, tmp_path):
    zarr.save_array(tmp_path / "plate.zarr", discs(60, 60)[..., 0])
    base = ["segment", model, tmp_path / "plate.zarr", "-o", tmp_path / "labels.zarr"]
    assert "expected --format labels or csv for a store of Zarr, got overlay" in fails(
        *base, "-f", "overlay"
    )
    assert "expected --stack volume for a store of Zarr" in fails(*base, "--stack", "planes")
    (tmp_path / "labels_objects.csv").write_text("my own table\n")
    line = fails(*base, "-f", "csv", "--overwrite")
    assert "expected a table of an earlier run in" in line
    assert (tmp_path / "labels_objects.csv").read_text() == "my own table\n"
    assert not (tmp_path / "labels.zarr").exists()


def test_an_image_done_without_a_seam_report_gets_one(run, model, tmp_path):
    photo, out = tmp_path / "scene.png", tmp_path / "out"
    Image.fromarray(discs(200, 200)[..., 0]).save(photo)
    base = ["segment", str(model), str(photo), "-o", str(out), "--tile", "128", "--overlap", "64"]
    assert run(*base).exit_code == 0
    labels = (out / "scene_labels.png").stat().st_mtime_ns
    assert run(*base, "--seam-report").exit_code == 0
    report = (out / "seams" / "scene.json").read_text()
    assert json.loads(report)["tiles"] == 9
    assert (out / "scene_labels.png").stat().st_mtime_ns == labels
    again = run(*base, "--seam-report")
    assert "seam reports of 1 skipped are those of the earlier run" in again.stderr
    assert (out / "seams" / "scene.json").read_text() == report


@pytest.mark.parametrize("name", ["scene.json", "scene.png"])
def test_a_seam_report_replaces_no_file_of_the_user(run, model, tmp_path, name):
    Image.fromarray(discs(200, 200)[..., 0]).save(tmp_path / "scene.png")
    mine = tmp_path / "out" / "seams" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    base = ["segment", str(model), str(tmp_path / "scene.png"), "-o", str(tmp_path / "out")]
    for words in ([], ["--overwrite"]):
        result = run(*base, "--seam-report", *words)
        assert result.exit_code == 1
        assert f"{name} is there and not listed in congeal.jsonl as a result" in result.stderr
        assert mine.read_text() == "mine"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs groups of processes")
def test_ctrl_c_drops_the_tiles_that_wait_and_the_same_command_goes_on(environment, tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (800, 800), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "noise.png")
    settings = {"dimensions": 4, "repulsion_radius": 8.0}
    folder = save_model(congeal.RPE(**settings), tmp_path / "model", card="")
    words = [sys.executable, "-m", "congeal.cli", "segment", folder, tmp_path / "noise.png"]
    words += ["-o", tmp_path / "out", "-f", "labels", "--tile", "256", "--overlap", "64"]
    quiet = {"env": environment, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(
        [*words, "--processes", "2"],
        start_new_session=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # ignored in background
        **quiet,
    )
    while not list(tmp_path.glob("out/tiles/noise/*/block_*.npz")):
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, told = process.communicate()
    assert process.returncode == 130
    lines = [line for line in told.splitlines() if not line.startswith("segmenting: ")]
    assert lines == [
        f"stopped: 0 of 1 image segmented into {tmp_path / 'out'}; "
        "the same command goes on from there"
    ]
    wait_until_nobody_is_left(process.pid)
    done = {path.name: path.stat().st_mtime_ns for path in tmp_path.rglob("block_*.npz")}
    assert 0 < len(done) < 16
    assert subprocess.run([*words, "--block", "1/1"], **quiet).returncode == 0
    after = {path.name: path.stat().st_mtime_ns for path in tmp_path.rglob("block_*.npz")}
    assert len(after) == 16
    assert {name: after[name] for name in done} == done
    assert subprocess.run([*words, "--merge"], **quiet).returncode == 0
    assert read(tmp_path / "out" / "noise_labels.png").shape == (800, 800)


def wait_until_nobody_is_left(group):
    """Return once no process of a group is left; those that were killed are reaped by others."""
    while True:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)


def test_tiles_smaller_than_the_objects_are_refused(run, tmp_path):
    photo = tmp_path / "scene.png"
    Image.fromarray(discs(96, 96)[..., 0]).save(photo)
    told = run("segment", "nuclei", photo, "-o", tmp_path / "out", "--tile", "8")
    assert told.exit_code != 0
    assert "expected tiles larger than the objects" in told.output.replace("\n", " ")
