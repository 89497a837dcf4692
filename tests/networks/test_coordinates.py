import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from congeal.errors import CongealError
from congeal.networks import RotaryPosition, coordinate_channels


def test_coordinates_are_pixels_of_the_image_from_its_middle():
    rows, columns = coordinate_channels(torch.zeros(2, 7, 3, 5), stride=4, scale=8.0)[1]
    assert rows[:, 0].tolist() == [-0.5, 0.0, 0.5]
    assert columns[2].tolist() == [-1.0, -0.5, 0.0, 0.5, 1.0]


def test_coordinates_follow_type_and_batch_of_the_map():
    channels = coordinate_channels(torch.zeros(3, 1, 2, 2, dtype=torch.float16))
    assert channels.shape == (3, 2, 2, 2)
    assert channels.dtype == torch.float16


def place(content, canvas, top, left):
    """The content on a canvas of noise."""
    x = torch.randn(1, content.shape[1], *canvas)
    x[..., top : top + content.shape[2], left : left + content.shape[3]] = content
    return x


def products(embedding):
    flat = embedding[0].flatten(1)
    return flat.T @ flat


@settings(max_examples=25, deadline=None)
@given(
    half=st.integers(1, 6),
    canvas=st.tuples(st.integers(6, 40), st.integers(7, 40)),
    shift=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    shortest=st.floats(4, 60),
    ratio=st.floats(1, 6),
    stride=st.sampled_from([1, 2, 4]),
)
def test_a_shift_of_the_map_turns_all_embeddings_alike(
    half, canvas, shift, shortest, ratio, stride
):
    rotary = RotaryPosition(2 * half, (shortest, shortest * ratio), stride)
    content = torch.randn(1, 2 * half, 6, 7)
    top, left = (int(s * (side - n)) for s, side, n in zip(shift, canvas, (6, 7), strict=True))
    moved = rotary(place(content, canvas, top, left))[..., top : top + 6, left : left + 7]
    torch.testing.assert_close(products(moved), products(rotary(content)), atol=1e-3, rtol=1e-4)


def test_pixels_apart_by_the_wavelength_are_turned_alike():
    rotary = RotaryPosition(2, (16.0, 16.0), stride=2)  # one pair, one direction: along x
    turned = rotary(torch.ones(1, 2, 3, 20))[0]
    assert torch.allclose(turned[:, :, 8:], turned[:, :, :-8], atol=1e-5)
    assert torch.allclose(turned[:, 0], turned[:, 2], atol=1e-5)
    assert not torch.allclose(turned[:, :, 4:], turned[:, :, :-4], atol=0.1)


def test_both_directions_of_the_image_are_told_apart():
    turned = RotaryPosition(4, (16.0, 16.0))(torch.ones(1, 4, 9, 9))[0]
    assert not torch.allclose(turned[:, 0, 4], turned[:, 4, 4], atol=0.1)
    assert not torch.allclose(turned[:, 4, 0], turned[:, 4, 4], atol=0.1)


def test_turning_is_nothing_that_is_saved():
    assert RotaryPosition(4, (8.0, 16.0)).state_dict() == {}


@pytest.mark.parametrize(
    ("dimensions", "wavelengths"), [(3, (8.0, 16.0)), (4, (16.0, 8.0)), (4, (0.0, 8.0))]
)
def test_odd_dimensions_and_disordered_wavelengths_are_refused(dimensions, wavelengths):
    with pytest.raises(CongealError, match="even number of dimensions"):
        RotaryPosition(dimensions, wavelengths)
