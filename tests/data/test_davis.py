"""DAVIS: films, palette PNG, lists of films."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from congeal.data.davis import DavisDataset
from congeal.data.registry import dataset_splits, open_dataset

FRAME = np.repeat([[0, 0, 1, 1, 3, 3, 255, 0]], 6, axis=0)


@pytest.fixture
def davis(tmp_path: Path, photo, numbers) -> Path:
    lists = tmp_path / "DAVIS/ImageSets/2017"
    lists.mkdir(parents=True)
    for split, films in {"train": ["bear", "boat"], "val": ["camel"]}.items():
        (lists / f"{split}.txt").write_text("\n".join(films) + "\n")
        for film in films:
            for number in ("00000", "00001"):
                photo(tmp_path / f"DAVIS/JPEGImages/480p/{film}/{number}.jpg")
                path = tmp_path / f"DAVIS/Annotations/480p/{film}/{number}.png"
                numbers(path, FRAME, palette=True)
    return tmp_path


def test_frames_keep_the_numbers_of_the_film(davis: Path) -> None:
    data = open_dataset(davis, "val")
    assert type(data) is DavisDataset
    assert data.names() == ["camel__00000", "camel__00001"]
    assert data[1].labels[0].tolist() == [0, 0, 1, 1, 3, 3, -1, 0]
    assert data.protocol == "davis"
    assert dataset_splits(davis) == ("train", "val")
    assert len(open_dataset(davis)) == 6


def test_the_lists_of_2016_name_frames_of_one_object(davis: Path, numbers) -> None:
    sets = davis / "DAVIS/ImageSets"
    (sets / "2017").rename(sets / "480p")
    lines = [
        f"/JPEGImages/480p/camel/{n}.jpg /Annotations/480p/camel/{n}.png"
        for n in ("00000", "00001")
    ]
    (sets / "480p/val.txt").write_text("\n".join(lines))
    numbers(davis / "DAVIS/Annotations/480p/camel/00000.png", 255 * (FRAME == 1))
    sample = DavisDataset(davis, "val")[0]
    np.testing.assert_array_equal(sample.labels, FRAME == 1)


def test_what_is_missing_or_broken_is_named(davis: Path, numbers, refused, truncate) -> None:
    path = davis / "DAVIS/Annotations/480p/camel/00001.png"
    numbers(path, FRAME[:4])
    assert f"but {path} is 4 x 8" in refused(lambda: DavisDataset(davis, "val"))
    truncate(path)
    assert f"cannot read {path}" in refused(lambda: DavisDataset(davis, "val"))
    path.unlink()
    assert f"labels of camel__00001 at {path}" in refused(lambda: DavisDataset(davis, "val"))
    (davis / "DAVIS/ImageSets/2017/val.txt").write_text("goat\n")
    assert "image of goat__00000" in refused(lambda: DavisDataset(davis, "val"))
