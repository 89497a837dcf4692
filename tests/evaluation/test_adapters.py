"""Distances from files to numbers: an official checkout of Cityscapes, measured by command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from congeal.data import open_dataset
from congeal.errors import CongealError
from congeal.evaluation import evaluate
from congeal.evaluation.adapters import missing_truth
from congeal.metrics import PROTOCOLS
from congeal.segmentation import Segmentation

NAME = "lindau_000000_000019"
ROAD = 7
# Strips of 50 pixels' height: number in the file, columns, disparity in pixels. At 0.2 m and
# 2000 pixels the distance is 400 / d metres.
NEAR = (26009, slice(0, 30), 10.0)  # 40 m
MIDDLE = (26004, slice(30, 60), 5.0)  # 80 m
FAR = (26002, slice(60, 90), 2.0)  # 200 m
SMALL = (26001, slice(90, 100), 20.0)  # 20 m, of 500 pixels: too few where distances count
UNSURE = (26000, slice(100, 130), 20.0)  # 20 m, measured on 12 of 30 columns


@pytest.fixture
def streets(tmp_path: Path) -> Path:
    """One image with five cars, and the folders that tell their distances."""
    ids, shifts = np.full((60, 160), ROAD, np.uint16), np.zeros((60, 160))
    for number, columns, shift in (NEAR, MIDDLE, FAR, SMALL, UNSURE):
        ids[:50, columns], shifts[:50, columns] = number, shift
    shifts[:, 112:130] = np.nan
    stored = np.where(np.isnan(shifts), 0, 256 * np.nan_to_num(shifts) + 1).astype(np.uint16)
    camera = {"extrinsic": {"baseline": 0.2}, "intrinsic": {"fx": 2000}}
    _write(tmp_path, "leftImg8bit", np.zeros((60, 160, 3), np.uint8))
    _write(tmp_path, "gtFine_instanceIds", ids)
    _write(tmp_path, "disparity", stored)
    place = tmp_path / "camera" / "val" / "lindau"
    place.mkdir(parents=True)
    (place / f"{NAME}_camera.json").write_text(json.dumps(camera))
    return tmp_path


def _write(root: Path, kind: str, pixels: np.ndarray) -> None:
    place = root / kind.partition("_")[0] / "val" / "lindau"
    place.mkdir(parents=True)
    Image.fromarray(pixels).save(place / f"{NAME}_{kind}.png")


class Finds:
    """Marks the cars in the columns it is given, exactly."""

    def __init__(self, *cars: tuple[int, slice, float]) -> None:
        self.cars = cars

    def segment(self, image: np.ndarray) -> Segmentation:
        labels = np.zeros(image.shape[:2], np.int64)
        for label, (_, columns, _) in enumerate(self.cars, start=1):
            labels[:50, columns] = label
        count = len(self.cars)
        return Segmentation.from_labels(labels, classes=[1] * count, class_names=("car",))


def measured(root: Path, *cars: tuple[int, slice, float], **options: object) -> dict[str, float]:
    found = evaluate(
        Finds(*cars), f"cityscapes={root}", protocol="cityscapes-distances", report=False, **options
    )
    assert found.headline == "ap_50m"
    return found.metrics


def test_a_perfect_prediction_of_an_official_folder_scores_one_at_every_distance(
    streets: Path,
) -> None:
    scores = measured(streets, NEAR, MIDDLE, FAR, SMALL, UNSURE, limit=1)
    assert scores["objects"] == 5
    assert [scores[name] for name in ("ap", "ap_100m", "ap_50m", "ap_50m@0.5")] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("cars", "any_distance", "hundred", "fifty"),
    [
        # Found exactly with one score, the area is the share of the objects looked for.
        ((NEAR,), 1 / 5, 1 / 2, 1),
        ((MIDDLE,), 1 / 5, 1 / 2, 0),
        ((FAR,), 1 / 5, 0, 0),
        ((NEAR, MIDDLE), 2 / 5, 1, 1),
        ((SMALL, UNSURE), 2 / 5, 0, 0),
        ((NEAR, FAR, SMALL, UNSURE), 4 / 5, 1 / 2, 1),
    ],
)
def test_only_what_is_near_large_and_well_measured_counts_within_a_distance(
    streets: Path, cars, any_distance: float, hundred: float, fifty: float
) -> None:
    scores = measured(streets, *cars)
    assert scores["ap"] == pytest.approx(any_distance)
    assert scores["ap_100m"] == pytest.approx(hundred)
    assert scores["ap_50m"] == pytest.approx(fifty)


def test_without_the_folders_distances_are_refused_before_a_model_runs(streets: Path) -> None:
    (streets / "camera").rename(streets / "elsewhere")

    class Never:
        def segment(self, image: np.ndarray) -> Segmentation:
            raise AssertionError

    with pytest.raises(CongealError) as caught:
        evaluate(Never(), streets, protocol="cityscapes-distances")
    assert str(caught.value) == (
        "protocol cityscapes-distances: expected the folders disparity and camera beside "
        f"leftImg8bit in {streets}, found no camera"
    )


def test_without_the_folders_all_other_protocols_are_served(streets: Path) -> None:
    for folder in ("camera", "disparity"):
        (streets / folder).rename(streets / f"no {folder}")
    data = open_dataset(streets, "val")
    unserved = {name for name in PROTOCOLS if missing_truth(PROTOCOLS[name], data, data[0])}
    assert unserved == {"cityscapes-distances", "bsds-humans", "bsds-regions"}
    found = evaluate(Finds(NEAR), data, report=False)
    assert (found.protocol, found.notes) == ("cityscapes", ())
    assert found.metrics["ap"] == pytest.approx(1 / 5)


def test_a_broken_file_of_a_later_image_is_named(streets: Path) -> None:
    for kind in ("leftImg8bit", "gtFine", "disparity", "camera"):
        (path,) = (streets / kind / "val" / "lindau").iterdir()
        path.with_name(path.name.replace("000019", "000020")).write_bytes(path.read_bytes())
    camera = streets / "camera" / "val" / "lindau" / "lindau_000000_000020_camera.json"
    camera.write_text('{"extrinsic": {"baseline": NaN}, "intrinsic": {"fx": 2000}}')
    with pytest.raises(CongealError) as caught:
        measured(streets, NEAR)
    assert str(caught.value) == (
        "cannot measure lindau_000000_000020: expected a number above 0 as extrinsic.baseline, "
        f"{camera} has nan"
    )
