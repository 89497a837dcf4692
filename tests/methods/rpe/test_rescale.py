"""Scale: the network sees an image at another size, and objects come back at the image's own."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from congeal.errors import CongealError
from congeal.grouping import GroupDecoder
from congeal.methods.rpe import RPE
from congeal.methods.rpe.rescale import unscale
from congeal.networks import EmbeddingOutput


class Colours(torch.nn.Module):
    """Stands in for a trained network: each colour a direction, black is background."""

    divisor = 16

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.sizes = []

    def forward(self, image):
        self.sizes.append(tuple(image.shape[2:]))
        embedding = image[:, :, ::2, ::2] + 1e-4
        bright = 20 * (image.amax(1, keepdim=True) - 0.5)
        return EmbeddingOutput(
            embedding / embedding.norm(dim=1, keepdim=True),
            torch.cat([-bright, bright], 1),
            _touching(image),
        )


def _touching(image):
    """Logits: high on both sides of where one colour borders on another."""
    colour, bright = image.argmax(1, keepdim=True), image.amax(1, keepdim=True) > 0.5
    borders = (colour[..., 1:] != colour[..., :-1]) & bright[..., 1:] & bright[..., :-1]
    both = functional.pad(borders, (0, 1)) | functional.pad(borders, (1, 0))
    return both.float() * 18 - 9


def model(**wanted):
    made = RPE(dimensions=4, coordinates="none", min_area=4, **wanted)
    made.network = Colours()
    return made


def blocks(side):
    """Three blocks in pure colours, one of them beside another."""
    image = np.zeros((4 * side, 6 * side, 3), np.uint8)
    image[side : 2 * side, side : 2 * side, 0] = 255
    image[side : 2 * side, 2 * side : 4 * side, 1] = 255
    image[3 * side :, 4 * side :, 2] = 255
    return image


@pytest.mark.parametrize("tta", [1, 4])
@pytest.mark.parametrize("scale", [0.25, 0.4, 0.5, 1.0, 1.5, 2.0])
def test_objects_come_back_at_the_size_of_the_image(scale, tta):
    image = blocks(24)
    found = model(scale=scale, tta=tta).segment(image)
    truth = [image[..., channel] > 0 for channel in range(3)]
    assert len(found) == 3
    for mask in truth:
        overlaps = [(mask & one).sum() / (mask | one).sum() for one in found.masks]
        assert max(overlaps) > 0.8


@pytest.mark.parametrize("scale", [0.25, 0.5, 2.0])
def test_the_network_sees_the_image_at_that_size(scale):
    seeing = model(scale=scale)
    seeing.segment(blocks(16))
    padded = [-(-round(side * scale) // seeing.divisor) * seeing.divisor for side in (64, 96)]
    assert seeing.network.sizes == [tuple(padded)]


def test_areas_of_settings_are_in_pixels_of_the_scaled_image():
    image = blocks(24)  # areas 576, 1,152, 1,152
    half = model(scale=0.5)
    assert len(half.configure(min_area=130).segment(image)) == 3
    assert len(half.configure(min_area=200).segment(image)) == 2
    assert len(half.configure(scale=1.0).segment(image)) == 3


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 50), st.integers(1, 50), st.floats(0.05, 4))
def test_any_size_and_scale_gives_a_result_of_the_images_size(height, width, scale):
    image = np.arange(height * width, dtype=np.uint16).reshape(height, width)
    assert model(scale=scale).segment(image).shape == (height, width)


@pytest.mark.parametrize("scale", [0, -1, 100])
def test_impossible_scales_are_refused_in_one_line(scale):
    with pytest.raises(CongealError, match=r"^input\.scale: "):
        RPE(scale=scale)


@pytest.mark.parametrize(
    ("side", "wanted", "seen"),
    [
        (16, 0, [1]),
        (16, 250, [1]),  # the median block has 512 pixels
        (16, 760, [1, 1.22]),
        (16, 10_000, [1, 2]),
        (8, 512, [1, 2]),
    ],
)
def test_an_image_of_small_objects_is_looked_at_again_enlarged(side, wanted, seen):
    looking = model(min_object_area=wanted)
    found = looking.segment(blocks(side))
    height = 4 * side
    padded = [-(-round(height * zoom) // looking.divisor) * looking.divisor for zoom in seen]
    assert [size[0] for size in looking.network.sizes] == padded
    assert found.shape == (height, 6 * side)
    assert sorted(found.areas) == pytest.approx([side**2, 2 * side**2, 2 * side**2], rel=0.1)


def test_what_is_looked_at_is_what_is_segmented():
    looking = model(min_object_area=800.0, repulsion_radius=40.0)
    seen = looking.predict_maps(blocks(16))
    assert seen.scale == pytest.approx(1.25, rel=0.02)  # the median block has 512 pixels
    assert np.array_equal(looking.decode(seen).labels, looking.segment(blocks(16)).labels)


def test_the_radius_is_in_pixels_that_the_network_sees(monkeypatch):
    looking = model(min_object_area=512.0, repulsion_radius=40.0)
    radii = []
    group = GroupDecoder.__call__

    def noting(decoder, *args, stride):
        radii.append(decoder.grouping.kernel_radius * stride)
        return group(decoder, *args, stride=stride)

    monkeypatch.setattr(GroupDecoder, "__call__", noting)
    looking.segment(blocks(8))
    assert radii == [10]  # half of it in decoding, and of pixels half as large


def test_a_negative_area_to_enlarge_to_is_refused_in_one_line():
    with pytest.raises(CongealError, match=r"^input\.min_object_area: .*got -1"):
        RPE(min_object_area=-1)


def test_an_image_without_objects_is_looked_at_once():
    looking = model(min_object_area=800.0)
    assert len(looking.segment(np.zeros((40, 40), np.uint8))) == 0
    assert len(looking.network.sizes) == 1


def test_how_far_an_image_is_enlarged_counts_from_the_scaled_one():
    shrunk = model(min_object_area=288.0, scale=0.5)  # the median block has 128 pixels then
    shrunk.segment(blocks(16))
    assert shrunk.network.sizes == [(32, 48), (48, 80)]  # 48 x 72, padded


def test_the_smallest_object_is_as_small_as_ever_where_an_image_is_enlarged():
    image = blocks(8)  # areas 64, 128, 128
    looking = model(min_object_area=512.0)
    assert len(looking.configure(min_area=60).segment(image)) == 3
    assert len(looking.configure(min_area=70).segment(image)) == 2


def linear(size, stride, cells):
    """An embedding of one dimension that tells where on an image of unit width a cell lies."""
    return (torch.arange(cells) + 0.5) * stride / size


@pytest.mark.parametrize(
    ("size", "seen", "stride", "expected"),
    [(64, 32, 2, 4), (64, 64, 2, 2), (60, 40, 2, 3), (32, 64, 2, 1), (448, 112, 4, 16)],
)
def test_every_cell_of_the_embedding_is_at_the_position_of_its_pixels(size, seen, stride, expected):
    cells = -(-seen // stride)
    place = linear(seen, stride, cells)
    angle = place[None, None, None, :].expand(1, 1, cells, cells)
    embedding = torch.cat([torch.cos(angle), torch.sin(angle)], 1)
    maps = torch.zeros(1, 2, seen, seen), torch.zeros(1, 1, seen, seen)
    output, whole = unscale(EmbeddingOutput(embedding, *maps), (seen, seen), (size, size), stride)
    assert whole == expected
    found = torch.atan2(output.embedding[0, 1], output.embedding[0, 0])[0]
    wanted = linear(size, whole, len(found))
    inner = (wanted > place[0]) & (wanted < place[-1])  # beyond, nothing is known
    torch.testing.assert_close(found[inner], wanted[inner], atol=1e-3, rtol=0)
    torch.testing.assert_close(
        output.embedding.norm(dim=1), torch.ones(output.embedding[:, 0].shape)
    )
