"""Images of any size, from the command line."""

import csv
import json

import numpy as np
import pytest
import zarr
from cases.gray_networks import discs
from PIL import Image


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
