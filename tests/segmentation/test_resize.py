"""Results of a resized image, brought to the size of the image."""

import numpy as np
import pytest

from congeal.grouping.contours import region_hierarchy
from congeal.labels import relabel
from congeal.metrics import segments_from_contours
from congeal.segmentation import Segmentation
from congeal.segmentation.resize import resize_labels, resize_result


def disc(side, radius, at):
    rows, columns = np.mgrid[:side, :side] + 0.5
    return np.hypot(rows - at[0], columns - at[1]) < radius


@pytest.mark.parametrize("size", [(48, 48), (150, 131)])
def test_discs_stay_discs(size):
    labels = disc(96, 20, (30, 40)) + 2 * disc(96, 15, (70, 60))
    found = resize_labels(labels, size)
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    rows, columns = rows * 96 / size[0], columns * 96 / size[1]
    wanted = (np.hypot(rows - 30, columns - 40) < 20) + 2 * (np.hypot(rows - 70, columns - 60) < 15)
    assert (found == wanted).mean() > 0.98  # but for pixels that an outline halves


def test_the_label_with_most_weight_wins_as_in_interpolation_of_each_object():
    rng = np.random.default_rng(0)
    labels = np.kron(rng.integers(0, 4, (6, 7)), np.ones((3, 3), int))
    weights = np.stack([_interpolate((labels == k).astype(float), (31, 40)) for k in range(4)])
    found = resize_labels(labels, (31, 40))
    clear = np.sort(weights, 0)[-1] - np.sort(weights, 0)[-2] > 1e-4
    np.testing.assert_array_equal(found[clear], weights.argmax(0)[clear])
    assert clear.mean() > 0.9


def _interpolate(plane, size):
    from torch import from_numpy
    from torch.nn import functional

    shaped = from_numpy(plane)[None, None]
    found = functional.interpolate(shaped, size=size, mode="bilinear", align_corners=False)
    return found[0, 0].numpy()


def test_a_window_is_that_part_of_the_whole():
    labels = np.random.default_rng(0).integers(0, 5, (40, 50))
    whole = resize_labels(labels, (61, 83))
    window = slice(7, 40), slice(50, 83)
    np.testing.assert_array_equal(resize_labels(labels, (61, 83), window), whole[window])


def test_objects_without_a_pixel_go_with_their_scores():
    labels = np.zeros((20, 20), int)
    labels[0, 0], labels[5:15, 5:15] = 1, 2
    found = resize_result(Segmentation.from_labels(labels, scores=[0.2, 0.9]), (5, 5))
    assert len(found) == 1
    assert found.scores.tolist() == pytest.approx([0.9])
    assert set(np.unique(found.labels)) == {0, 1}


def test_objects_that_overlap_keep_their_whole_masks():
    masks = np.stack([disc(60, 20, (25, 25)), disc(60, 20, (35, 35))])
    found = resize_result(Segmentation.from_masks(masks), (30, 30))
    assert not found.disjoint
    wanted = np.stack([disc(30, 10, (12.5, 12.5)), disc(30, 10, (17.5, 17.5))])
    assert (found.masks == wanted).mean() > 0.97  # but for pixels that an outline halves


def test_maps_are_resized_too():
    odds = np.zeros((2, 10, 10), np.float32)
    odds[1, :, 5:] = 1
    odds[0] = 1 - odds[1]
    result = Segmentation.from_maps(probabilities=odds, boundary=odds[1])
    found = resize_result(result, (20, 20))
    assert found.semantic.shape == found.boundary.shape == (20, 20)
    assert (found.semantic[:, 12:] == 1).all()
    assert found.probabilities.shape == (2, 20, 20)
    assert found.boundary[0, 0] == 0


def test_contours_keep_their_strengths_and_follow_the_size():
    boundary = np.zeros((20, 30), np.float32)
    boundary[:, 10], boundary[8, 10:] = 0.8, 0.4
    contours = region_hierarchy(boundary).contours()
    found = resize_result(Segmentation.from_maps(contours=contours), (40, 60))
    assert found.contours.shape == (81, 121)
    assert set(np.unique(found.contours)) == set(np.unique(contours.astype(np.float32)))
    for cut in (0.1, 0.5, 0.9):
        before, after = (
            next(iter(segments_from_contours(one, [cut]))) for one in (contours, found.contours)
        )
        assert (after[::2, ::2].max(), after.shape) == (before.max(), (40, 60))
        np.testing.assert_array_equal(relabel(after)[::2, ::2], relabel(before))
    np.testing.assert_array_equal(found.boundary, found.contours[2::2, 2::2])


def test_contours_of_a_boundary_map_are_at_the_size_wanted():
    boundary = np.zeros((20, 30), np.float32)
    boundary[:, 10] = 0.8
    found = resize_result(Segmentation.from_maps(boundary=boundary), (40, 60))
    assert found.contours.shape == (81, 121)
