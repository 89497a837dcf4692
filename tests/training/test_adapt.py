import pytest
from cases.grid import Grid

from congeal.methods.rpe import RPE
from congeal.training.adapt import suggest_crop, suggest_sampling_power


@pytest.mark.parametrize(
    ("radius", "side", "small", "expected"),
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
def test_crops_have_room_for_neighbours_or_for_the_whole_image(radius, side, small, expected):
    dataset = Grid(1, side - 4)
    model = RPE(repulsion_radius=radius, dimensions=4)
    assert suggest_crop(dataset, model, small=small) == expected


class Many(Grid):
    """So many images that their objects are better not counted."""

    def __len__(self):
        return 2001


def test_crowded_images_are_drawn_more_often_where_directions_are_shared():
    crowd, few = RPE(repulsion_radius=48.0, dimensions=4), RPE(repulsion_radius=None, dimensions=4)
    assert suggest_sampling_power(Grid(1, 96), crowd) == 0.5
    assert suggest_sampling_power(Grid(1, 96), few) == 0
    assert suggest_sampling_power(Many(1, 96), crowd) == 0  # that would be long reading


def test_a_crop_holds_the_whole_of_a_scaled_image():
    model = RPE(repulsion_radius=None, dimensions=4, scale=0.25)
    assert suggest_crop(Grid(1, 700 - 4), model, small=True) == 192
