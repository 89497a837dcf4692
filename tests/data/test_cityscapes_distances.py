"""Distances of Cityscapes' objects: what disparity and camera say, by the numbers compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from congeal.data import Subset, open_dataset
from congeal.data.cityscapes import CityscapesDataset, cityscapes_ids
from congeal.data.cityscapes_distances import distances_by_id, read_metres
from congeal.errors import CongealError

NAME = "lindau_000000_000019"
PLACE = "val/lindau/" + NAME
CAMERA = {"extrinsic": {"baseline": 0.2, "pitch": 0.03}, "intrinsic": {"fx": 2000.0, "fy": 1990.0}}
# Two cars whose numbers have gaps, a person, cars nobody told apart, a caravan, a trailer, road.
ROW = [26003, 26007, 24002, 26, 29001, 30000, 7, 7]
IDS = np.tile(ROW, (6, 1))
# Disparities in pixels. At 0.2 m * 2000 px they are 400 / d metres away.
SHIFTS = np.tile([10.0, 4.0, 20.0, 8.0, 2.0, 1.0, 5.0, 5.0], (6, 1))


def stored(shifts: np.ndarray) -> np.ndarray:
    """Disparities as the files hold them, NaN as 0: not measured."""
    return np.where(np.isnan(shifts), 0, 256 * np.nan_to_num(shifts) + 1).astype(np.uint16)


@pytest.fixture
def streets(tmp_path: Path, photo, numbers) -> Path:
    photo(tmp_path / f"leftImg8bit/{PLACE}_leftImg8bit.png")
    numbers(tmp_path / f"gtFine/{PLACE}_gtFine_instanceIds.png", IDS)
    numbers(tmp_path / f"disparity/{PLACE}_disparity.png", stored(SHIFTS))
    camera = tmp_path / f"camera/{PLACE}_camera.json"
    camera.parent.mkdir(parents=True)
    camera.write_text(json.dumps(CAMERA))
    return tmp_path


@pytest.fixture
def told(streets: Path) -> Callable[..., str]:
    """The one line with which asking for distances fails."""

    def line(name: str = NAME) -> str:
        with pytest.raises(CongealError) as caught:
            CityscapesDataset(streets, "val").distances(name)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return line


def test_distance_is_baseline_times_focal_length_over_disparity(streets: Path) -> None:
    metres = read_metres(
        streets / f"disparity/{PLACE}_disparity.png", streets / f"camera/{PLACE}_camera.json"
    )
    assert metres.shape == (6, 8)
    assert metres[0].tolist() == [40, 100, 20, 50, 200, 400, 80, 80]


def test_objects_are_numbered_as_they_are_compared(streets: Path) -> None:
    data = CityscapesDataset(streets, "val")
    known = data.distances(NAME)
    # The cars 3 and 7 become 0 and 1, and a trailer a caravan, as in the ids that are scored.
    assert known == {
        **{26000: (40.0, 1.0), 26001: (100.0, 1.0), 24000: (20.0, 1.0), 26: (50.0, 1.0)},
        **{29000: (200.0, 1.0), 29001: (400.0, 1.0)},
    }
    sample = data[0]
    ids = cityscapes_ids(sample.labels, sample.semantic, sample.classes)
    assert set(known) == {number for number in np.unique(ids).tolist() if number >= 24}


def test_the_order_of_numbers_and_not_the_place_in_the_image_counts(streets: Path, numbers) -> None:
    numbers(streets / f"gtFine/{PLACE}_gtFine_instanceIds.png", np.tile([26009, 26001], (6, 4)))
    shifts = np.tile([40.0, 4.0], (6, 4))
    numbers(streets / f"disparity/{PLACE}_disparity.png", stored(shifts))
    known = CityscapesDataset(streets, "val").distances(NAME)
    assert known == {26000: (100.0, 1.0), 26001: (10.0, 1.0)}


def test_polygons_tell_the_objects_where_the_picture_is_missing(streets: Path) -> None:
    truth = streets / f"gtFine/{PLACE}_gtFine_instanceIds.png"
    truth.unlink()
    corners = [[1, 0], [1, 5]]
    content = {"imgHeight": 6, "imgWidth": 8, "objects": [{"label": "car", "polygon": corners}]}
    path = streets / f"gtFine/{PLACE}_gtFine_polygons.json"
    path.write_text(json.dumps(content))
    assert CityscapesDataset(streets, "val").distances(NAME) == {26000: (100.0, 1.0)}


def test_the_median_is_taken_over_the_measured_pixels_and_their_share_is_told(
    streets: Path, numbers
) -> None:
    shifts = SHIFTS.copy()
    # 40, 20 and 10 m, two pixels without measurement and one at infinity.
    shifts[:, 0] = [10, 20, 40, np.nan, np.nan, 0]
    shifts[:, 1] = np.nan
    shifts[:, 2] = 0
    numbers(streets / f"disparity/{PLACE}_disparity.png", stored(shifts))
    known = CityscapesDataset(streets, "val").distances(NAME)
    assert known[26000] == (20.0, 0.5)
    assert {26001, 24000}.isdisjoint(known)  # measured nowhere


def test_a_brute_force_loop_gives_the_same_distances() -> None:
    draw = np.random.default_rng(0)
    ids = draw.choice([7, 23, 24, 26, 24000, 26000, 26001, 33004], (30, 40))
    metres = np.where(draw.random(ids.shape) < 0.3, np.nan, draw.uniform(1, 200, ids.shape))
    slow = {
        number: (np.nanmedian(metres[ids == number]), np.mean(~np.isnan(metres[ids == number])))
        for number in (24, 26, 24000, 26000, 26001, 33004)
    }
    assert distances_by_id(ids, metres) == slow


def test_an_image_without_objects_has_no_distances() -> None:
    assert distances_by_id(np.full((3, 4), 7), np.ones((3, 4))) == {}


def test_a_part_of_the_data_tells_distances_as_the_whole_does(streets: Path) -> None:
    whole = open_dataset(streets, "val")
    assert Subset(whole, [0]).distances(NAME) == whole.distances(NAME)
    assert open_dataset(streets, "val", count=1).distances(NAME) == whole.distances(NAME)


def test_other_data_says_that_it_knows_no_distances() -> None:
    discs = Subset(open_dataset("discs", "val"), [3])
    with pytest.raises(CongealError, match="distances of objects for val-00003, discs has none"):
        discs.distances("val-00003")


def test_a_missing_folder_is_named_and_the_images_are_read_without_it(streets: Path, told) -> None:
    (streets / "disparity").rename(streets / "elsewhere")
    assert told() == (
        "expected the folders disparity and camera beside leftImg8bit in "
        f"{streets}, found no disparity"
    )
    (streets / "camera").rename(streets / "away")
    assert told().endswith("found no disparity and no camera")
    assert len(CityscapesDataset(streets, "val")[0].classes) == 5


@pytest.mark.parametrize("kind", ["disparity.png", "camera.json"])
def test_a_missing_file_is_named(streets: Path, kind: str, told) -> None:
    what = kind.partition(".")[0]
    path = streets / what / f"{PLACE}_{kind}"
    path.unlink()
    assert told() == f"expected the {what} of {NAME} at {path}, found none"


def test_an_unknown_image_is_refused(told) -> None:
    assert "got 'lindau_1'" in told("lindau_1")


def test_disparities_that_cannot_be_used_are_refused(streets: Path, told, numbers, photo) -> None:
    path = streets / f"disparity/{PLACE}_disparity.png"
    numbers(path, stored(SHIFTS)[:4])
    assert f"each pixel (6, 8) of {streets}" in told()
    assert told().endswith(f"{path} has (4, 8)")
    numbers(path, np.ones((6, 8)))
    assert told() == (f"expected disparities of 16 bit in one channel, {path} has 1 of uint8")
    photo(path)
    assert told().endswith("has 3 of uint8")
    path.write_bytes(path.read_bytes()[:60])
    assert f"cannot read {path}" in told()


@pytest.mark.parametrize(
    "content",
    ['{"extrinsic": {"baseline"', "", "[]", "7", '{"extrinsic": 3}', '{"extrinsic": {}}', "\xff"],
)
def test_a_camera_without_its_numbers_is_refused(streets: Path, content: str, told) -> None:
    path = streets / f"camera/{PLACE}_camera.json"
    path.write_bytes(content.encode("latin-1"))
    expected = f"expected extrinsic.baseline and intrinsic.fx in JSON, {path} is damaged ("
    assert told().startswith(expected)


@pytest.mark.parametrize(
    "value", ["0", "-0.2", "NaN", "Infinity", "null", '"0.2"', "true", "1e400"]
)
@pytest.mark.parametrize("key", ["baseline", "fx"])
def test_lengths_of_a_camera_are_numbers_above_zero(
    streets: Path, key: str, value: str, told
) -> None:
    path = streets / f"camera/{PLACE}_camera.json"
    good = {"baseline": "0.2", "fx": "2000", key: value}
    path.write_text(
        f'{{"extrinsic": {{"baseline": {good["baseline"]}}}, "intrinsic": {{"fx": {good["fx"]}}}}}'
    )
    where = {"baseline": "extrinsic.baseline", "fx": "intrinsic.fx"}[key]
    shown = repr(json.loads(value))
    assert told() == f"expected a number above 0 as {where}, {path} has {shown}"
