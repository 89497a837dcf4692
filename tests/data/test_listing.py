"""Which files are images."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from congeal.data import expand_images, open_dataset, read_image
from congeal.data.listing import SUFFIXES, image_files, passed_over
from congeal.errors import CongealError


def test_every_ending_that_is_listed_opens(tmp_path: Path) -> None:
    for ending in SUFFIXES:
        path = tmp_path / f"a{ending}"
        Image.new("RGB" if ending == ".ppm" else "L", (8, 8), 90).save(
            path, format="JPEG" if ending in (".jfif", ".jpe") else None
        )
        assert read_image(path).shape[:2] == (8, 8)
    assert len(image_files(tmp_path)) == len(SUFFIXES) == len(expand_images([tmp_path]))
    assert passed_over(tmp_path) is None


@pytest.mark.parametrize("folder", ["run[1]", "a*b", "what?", "[x]/[y]"])
def test_a_folder_that_exists_is_taken_as_it_is(tmp_path: Path, monkeypatch, folder: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path(folder).mkdir(parents=True)
    for name in ("a1.png", "a10.png", "b.png"):
        Image.new("L", (8, 8)).save(Path(folder) / name)
    assert expand_images([f"{folder}/a*.png"]) == [Path(folder) / f"a{k}.png" for k in (1, 10)]
    assert expand_images([tmp_path / folder / "b*"]) == [tmp_path / folder / "b.png"]


def test_patterns_may_name_folders_too(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("run1", "run2", "more"):
        Path(folder).mkdir()
        Image.new("L", (8, 8)).save(f"{folder}/a.png")
    assert expand_images(["run[12]/*.png"]) == [Path("run1/a.png"), Path("run2/a.png")]
    assert len(expand_images(["**/*.png"])) == 3


def test_a_folder_of_other_files_says_which(tmp_path: Path) -> None:
    (tmp_path / "a.czi").write_bytes(b"1")
    with pytest.raises(CongealError, match=r"1 file passed over in .* \(1 .czi\): save it as"):
        expand_images([tmp_path])


def test_masks_of_carvana_are_gif(tmp_path: Path) -> None:
    for kind, ending in (("images", "webp"), ("masks", "gif")):
        (tmp_path / kind).mkdir()
        Image.new("L", (8, 8), 1).save(tmp_path / kind / f"a.{ending}")
    assert open_dataset(tmp_path).names() == ["a"]
