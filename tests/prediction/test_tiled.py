"""The result in tiles is the result of the whole image."""

import numpy as np
import pytest
from cases.bright import Bright
from cases.gray_networks import (
    Edges,
    Halos,
    discs,
    gray_discriminative,
    gray_dvis,
    gray_rpe,
)

import congeal
from congeal.errors import CongealError
from congeal.experiments.cost import peak_megabytes
from congeal.labels import relabel
from congeal.prediction import memory, segment
from congeal.prediction.tiled import Tiling, segment_image
from congeal.segmentation import Segmentation

TILES = [(128, 64), (192, 64), (256, 128)]


def in_reading_order(labels):
    """The same objects, numbered by their first pixels."""
    ids, first = np.unique(labels, return_index=True)
    order = ids[np.argsort(first)]
    table = np.zeros(int(labels.max()) + 1, int)
    order = order[order > 0]
    table[order] = np.arange(1, len(order) + 1)
    return table[labels]


def same_objects(found, whole):
    """Objects of equal masks have equal scores and classes too."""
    np.testing.assert_array_equal(found.labels, in_reading_order(whole.labels))
    assert len(found) == len(whole) > 20
    at = [np.argmax(whole.labels.ravel() == k) for k in range(1, len(whole) + 1)]
    order = np.argsort(at)
    np.testing.assert_allclose(found.scores, whole.scores[order], atol=1e-6)
    np.testing.assert_array_equal(found.classes, whole.classes[order])


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("make", [gray_rpe, gray_discriminative, gray_dvis, Bright])
def test_masks_are_those_of_the_whole_image(make, tile):
    model, image = make(), discs(270, 330)
    found, seams = segment_image(model, image, Tiling(*tile))
    assert seams.tiles > 1
    same_objects(found, model.segment(image))


def test_fragments_are_told_by_the_median_object_of_the_whole_image():
    image = discs(200, 400)
    image[:, 200:] = discs(200, 200, radius=3, gap=10)  # small ones are together
    model = gray_rpe(min_area_ratio=0.4)
    whole = model.segment(image)
    assert len(whole) < len(gray_rpe().segment(image))
    same_objects(segment_image(model, image, Tiling(128, 64))[0], whole)


def test_an_image_of_small_objects_is_enlarged_alike_in_all_tiles():
    model, image = gray_rpe(min_object_area=250.0, min_area_ratio=0.2), discs(140, 200)
    scale = model.predict_maps(image).scale
    _, statistics = Tiling(128, 64).prepare(model, image)
    assert statistics.magnification == scale > 1.1
    found = segment_image(model, image, Tiling(128, 64))[0]
    assert len(found) == len(model.segment(image))


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_tiles_of_a_rescaled_image_are_cut_where_its_pixels_meet(scale):
    model, image = gray_rpe(scale=scale), discs(256, 384, radius=9, gap=32)
    same_objects(segment_image(model, image, Tiling(256, 128))[0], model.segment(image))


def test_objects_that_overlap_stay_whole():
    model, image = Halos(), discs(120, 160, radius=8)
    found, whole = segment_image(model, image, Tiling(64, 32))[0], model.segment(image)
    assert not whole.disjoint
    masks = {mask.tobytes() for mask in whole.masks}
    assert {mask.tobytes() for mask in found.masks} == masks
    assert len(found) == len(whole)


def test_maps_of_classes_and_boundaries_are_put_together_from_the_cores():
    image = discs(200, 300)
    model = gray_discriminative(task="semantic")
    found, whole = segment_image(model, image, Tiling(128, 32))[0], model.segment(image)
    np.testing.assert_array_equal(found.semantic, whole.semantic)
    np.testing.assert_array_equal(found.probabilities, whole.probabilities)
    assert found.class_names == whole.class_names
    boundary = segment_image(Edges(), image, Tiling(96, 32))[0].boundary
    np.testing.assert_array_equal(boundary, Edges().segment(image).boundary)


def test_objects_larger_than_the_overlap_are_joined():
    image = np.zeros((300, 400, 1), np.uint8)
    for row in range(10, 290, 40):
        image[row : row + 12, 10:390] = 200
    found, seams = segment_image(Bright(), image, Tiling(128, 32))
    np.testing.assert_array_equal(found.labels, Bright().segment(image).labels)
    assert (seams.objects, seams.joined) == (7, 7)


def test_an_object_as_large_as_the_image_is_one():
    image = np.zeros((300, 400, 1), np.uint8)
    image[5:295, 5:395] = 200
    found, _ = segment_image(Bright(), image, Tiling(96, 32))
    np.testing.assert_array_equal(found.labels, Bright().segment(image).labels)


def test_where_tiles_disagree_no_object_is_there_twice():
    class Shifted(Bright):
        """Sees everything a pixel further down in every second tile."""

        def segment(self, image):
            self.asked += 1
            found = super().segment(image).labels
            return Segmentation.from_labels(np.roll(found, self.asked % 4 // 2, axis=0))

    image = discs(270, 330)
    found, _ = segment_image(Shifted(), image, Tiling(128, 64))
    assert abs(len(found) - len(Bright().segment(image))) <= 2


def test_an_empty_tile_is_not_shown_to_the_model():
    image = np.zeros((128, 512, 1), np.uint8)
    image[40:50, 20:30] = 200
    model = Bright()
    assert len(segment_image(model, image, Tiling(128, 32))[0]) == 1
    assert model.asked == 1


@pytest.mark.parametrize("layers", [0, 1])
def test_a_network_sees_the_same_in_a_tile_wide_enough(layers):
    """The compact network sees 314 pixels far: a strip with a halo of 352."""
    model = congeal.load("nuclei")
    model.configure(min_object_area=0.0, tta=1 + layers)
    image = discs(64, 2048, radius=7, gap=22, seed=3)
    found, seams = segment_image(model, image, Tiling(1408, 704))
    assert seams.tiles > 1
    same_objects(found, model.segment(image))


class Shortsighted(Bright):
    """Sees nothing within 120 pixels of the edge of what it is shown."""

    def segment(self, image):
        labels = super().segment(image).labels.copy()
        near = np.ones(labels.shape, bool)
        near[120:-120, 120:-120] = False
        labels[near] = 0
        return Segmentation.from_labels(relabel(labels))


@pytest.mark.parametrize("tile", [256, 320, 512])
def test_small_tiles_are_shown_what_is_around_them(tile):
    image = discs(700, 760)
    found, seams = segment_image(Shortsighted(), image, Tiling(tile))
    assert seams.tiles > 1
    same_objects(found, Shortsighted().segment(image))
    plan, _ = Tiling(2048).prepare(Shortsighted(), np.zeros((3000, 3000, 1), np.uint8))
    assert plan.context == Tiling(256, 64).prepare(Shortsighted(), image)[0].context == 0


# Memory


def test_an_image_that_fits_is_segmented_as_ever(monkeypatch):
    model, image = gray_rpe(), discs(90, 120)
    plan, statistics = Tiling().prepare(model, image)
    assert (len(plan.blocks), statistics) == (1, None)
    assert len(Tiling(tile=120).prepare(model, image)[0].blocks) == 1


def test_less_memory_means_smaller_tiles_and_the_same_objects(monkeypatch):
    model, image = gray_rpe(), discs(300, 420)
    whole = segment(model, image)
    monkeypatch.setattr(memory, "available_memory", lambda: 192 * 192 * memory.BYTES_PER_PIXEL)
    plan = Tiling().prepare(model, image)[0]
    assert plan.tile + 2 * plan.context == 192
    same_objects(segment(model, image), whole)
    monkeypatch.setattr(memory, "available_memory", lambda: 10_000)
    with pytest.raises(CongealError, match="not enough memory for a tile of 128 x 128"):
        segment(model, image)


def test_memory_grows_by_the_label_map_alone():
    class Above:
        def segment(self, image):
            found = np.zeros(image.shape[:2], np.int64)
            found[40:60, 40:60] = image[40:60, 40:60, 0] > 0
            return Segmentation.from_labels(found)

    def peak(side):
        image = np.ones((side, side, 1), np.uint8)
        image[::7] = 2
        return peak_megabytes(lambda: segment_image(Above(), image, Tiling(256, 32)))

    small, large = peak(512), peak(3072)
    if small is None or large is None:
        pytest.skip("the system does not tell the peak of memory")
    assert large - small < 2 * 4 * (3072**2 - 512**2) / 2**20


@pytest.mark.parametrize(("tile", "overlap"), [(0, None), (None, -1), (128, 100)])
def test_tiles_that_make_no_sense_are_told_in_one_line(tile, overlap):
    with pytest.raises(CongealError, match=r"--tile|--overlap"):
        segment(gray_rpe(), discs(300, 300), tile=tile, overlap=overlap)
