import numpy as np
import pytest

from congeal.data import Dataset, DrawnDataset
from congeal.data.sample import Sample
from congeal.errors import CongealError
from congeal.methods.rpe import RPE
from congeal.training import suggest_settings
from congeal.training.adapt import _widths, suggest_crop, suggest_crowding


class Grid(Dataset):
    """Images of square objects in rows."""

    name, split = "grid", "train"

    def __init__(self, per_side, side, images=3):
        labels = np.arange(1, per_side**2 + 1).reshape(per_side, per_side)
        self.labels = np.zeros((per_side * (side + 4),) * 2, np.int64)
        for row in range(per_side):
            for column in range(per_side):
                y, x = row * (side + 4), column * (side + 4)
                self.labels[y : y + side, x : x + side] = labels[row, column]
        self.images = images

    def __len__(self):
        return self.images

    def __getitem__(self, index):
        if index >= self.images:
            raise IndexError(index)
        return Sample(f"{index}", (self.labels > 0).astype(np.uint8)[..., None], self.labels)

    def names(self):
        return [str(index) for index in range(self.images)]


def test_crowds_get_a_reach_that_grows_with_their_objects():
    small, large = (suggest_settings(Grid(8, side)) for side in (20, 40))
    assert 20 < small["reach"] < large["reach"]
    assert small["coordinates"] == "rotary"
    assert small["wavelengths"][0] < small["wavelengths"][1]


def test_crowds_of_small_objects_are_shown_larger_and_reach_over_what_is_shown():
    small, same = (suggest_settings(Grid(8, side)) for side in (9, 15))
    assert small["magnify"] == same["magnify"] > 15**2 / 1.22
    shown = 9 * np.sqrt(small["magnify"] / 9**2)
    assert small["reach"] == pytest.approx(2 * shown, abs=0.5)
    assert same["reach"] == 30
    assert "magnify" not in suggest_settings(Grid(3, 9))


def test_few_objects_have_a_direction_each():
    settings = suggest_settings(Grid(3, 30))
    assert settings["reach"] is None
    assert suggest_settings(DrawnDataset("sticks", count=8))["reach"] is None


@pytest.mark.parametrize("per_side", [2, 8])
def test_no_object_that_was_seen_is_taken_for_a_fragment(per_side):
    assert 4 <= suggest_settings(Grid(per_side, 12))["smallest"] <= 12**2
    assert suggest_settings(Grid(per_side, 1))["smallest"] == 4


@pytest.mark.parametrize("per_side", [2, 8])
def test_dark_ground_is_lifted(per_side):
    sparse = Grid(per_side, 4)
    sparse.labels = np.pad(sparse.labels, 60)
    assert suggest_settings(sparse)["tone"] < suggest_settings(Grid(per_side, 40))["tone"] == 1


@pytest.mark.parametrize("per_side", [2, 8])
def test_what_is_suggested_makes_a_model(per_side):
    assert RPE(**suggest_settings(Grid(per_side, 20)))


@pytest.mark.parametrize(
    ("per_side", "side", "expected"),
    [
        (2, 60, 1.0),  # 128 pixels, few objects: nothing to fit
        (2, 300, 0.4),  # 608: the next 2 / k to 256 / 608
        (6, 20, 1.0),  # a crowd of small objects
        (6, 90, 1.0),
        (6, 120, 0.4),  # a crowd of large ones, shown at 48 pixels
    ],
)
def test_what_is_large_is_shown_smaller(per_side, side, expected):
    assert suggest_settings(Grid(per_side, side))["zoom"] == expected


def test_thin_objects_are_not_shown_as_hairlines():
    thin = Grid(1, 2000, images=1)
    thin.labels[:] = 0
    thin.labels[1000:1006] = 1  # a line of six pixels
    assert 1.5 < 6 * suggest_settings(thin)["zoom"] <= 3


@pytest.mark.parametrize("degrees", range(0, 180, 15))
@pytest.mark.parametrize("breadth", [2, 6, 40])
def test_how_broad_a_strip_is_depends_little_on_its_direction(breadth, degrees):
    y, x = np.mgrid[-300:300, -300:300] + 0.5
    turn = np.deg2rad(degrees)
    across, along = x * np.sin(turn) - y * np.cos(turn), x * np.cos(turn) + y * np.sin(turn)
    strip = (abs(across) < breadth / 2) & (abs(along) < 280)
    labels = 2 * strip.astype(np.int64)
    labels[:9, :9] = 1
    area = np.bincount(labels.ravel())[1:].astype(float)
    assert _widths(labels, area)[1] == pytest.approx(breadth, rel=0.3)
    assert _widths(labels, area)[0] == pytest.approx(9 / 2, rel=0.3)


@pytest.mark.parametrize("per_side", [2, 8])
def test_lengths_and_areas_are_those_of_the_zoomed_image(per_side):
    large = Grid(per_side, 240)
    shown = suggest_settings(large)
    zoom = shown["zoom"]
    assert zoom <= 0.5
    assert shown["smallest"] == pytest.approx(
        zoom**2 * 240**2 * (0.7 if per_side == 2 else 1), rel=0.01
    )
    if per_side == 8:
        assert shown["reach"] == pytest.approx(2 * 240 * zoom, abs=1)


def test_one_image_is_enough_and_many_are_sampled():
    assert suggest_settings(Grid(8, 20, images=1)) == suggest_settings(Grid(8, 20, images=500))


def test_images_without_objects_are_told_in_one_line():
    empty = Grid(3, 5)
    empty.labels[:] = 0
    with pytest.raises(CongealError, match="expected objects in the training images of grid"):
        suggest_settings(empty)


@pytest.mark.parametrize(
    ("reach", "side", "small", "expected"),
    [
        (48.0, 500, True, 128),  # room for what is within reach
        (24.0, 500, True, 96),
        (128.0, 500, True, 256),
        (48.0, 500, False, 256),
        (None, 90, True, 96),  # the whole image
        (None, 120, False, 128),
        (None, 700, True, 256),
    ],
)
def test_crops_have_room_for_neighbours_or_for_the_whole_image(reach, side, small, expected):
    dataset = Grid(1, side - 4)
    assert suggest_crop(dataset, RPE(repulsion_radius=reach, dimensions=4), small=small) == expected


class Many(Grid):
    """So many images that their objects are better not counted."""

    def __len__(self):
        return 2001


def test_crowded_images_are_drawn_more_often_where_directions_are_shared():
    crowd, few = RPE(repulsion_radius=48.0, dimensions=4), RPE(repulsion_radius=None, dimensions=4)
    assert suggest_crowding(Grid(1, 96), crowd) == 0.5
    assert suggest_crowding(Grid(1, 96), few) == 0
    assert suggest_crowding(Many(1, 96), crowd) == 0  # that would be long reading


def test_a_crop_holds_the_whole_of_a_zoomed_image():
    model = RPE(repulsion_radius=None, dimensions=4, scale=0.25)
    assert suggest_crop(Grid(1, 700 - 4), model, small=True) == 192
