"""Images of any size, from the command line."""

import json

import numpy as np
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
    files = ["--table", "--units", "um", "--seam-report"]
    refused = run(*base, "--output", str(tmp_path / "b.zarr"), *files)
    assert "folder as --output for --table and --units and --seam-report" in refused.output


def test_a_pixel_size_is_said_to_give_units_only(run, model, tmp_path):
    Image.fromarray(discs(60, 60)[..., 0]).save(tmp_path / "a.png")
    base = ["segment", str(model), str(tmp_path / "a.png"), "--output", str(tmp_path / "out")]
    result = run(*base, "--pixel-size", "0.5")
    assert result.output.count("--pixel-size (pixel_size=) is for units only") == 1
