import numpy as np
import pytest
import torch

from congeal.data.rescale import rescale_labels
from congeal.methods.dvis.paste import Frame, sample_labels


def blobs(height, width, seed=0):
    """Labels of five overlapping discs, the later above."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    labels = np.zeros((height, width), np.int64)
    for number in range(1, 6):
        row, column = rng.uniform(0, height), rng.uniform(0, width)
        labels[np.hypot(rows - row, columns - column) < 0.22 * height] = number
    return labels


@pytest.mark.parametrize("stride", [2, 4])
@pytest.mark.parametrize("size", [(1, 1), (7, 33), (64, 64), (61, 83)])
def test_labels_are_sampled_to_the_size_of_the_map(stride, size):
    labels = torch.from_numpy(blobs(*size))[None]
    found = sample_labels(labels, stride)
    assert found.shape[1:] == tuple(-(-side // stride) for side in size)


@pytest.mark.parametrize("stride", [2, 4])
@pytest.mark.parametrize("scale", [1.0, 0.5, 1.4])
def test_masks_of_a_map_come_back_where_they_were(stride, scale):
    labels = blobs(97, 120)
    shown = rescale_labels(torch.from_numpy(labels), scale)
    coarse = sample_labels(shown[None], stride)[0]
    frame = Frame(labels.shape, tuple(coarse.shape), stride, scale)
    for number in range(1, 6):
        truth, drawn = labels == number, frame.draw(coarse == number)
        shared = (truth & drawn).sum() / (truth | drawn).sum()
        assert shared > (0.85 if stride / scale <= 4 else 0.75)
        rows, columns = (np.nonzero(mask) for mask in (truth, drawn))
        offset = np.mean(rows, axis=1) - np.mean(columns, axis=1)
        assert np.abs(offset).max() < 0.6 * max(1, stride / scale / 2)


def test_masks_apart_stay_apart_and_leave_no_gap():
    labels = torch.tensor([[1, 1, 2, 2, 3], [1, 2, 2, 3, 3]])
    frame = Frame((4, 10), (2, 5), 2)
    drawn = sum(frame.draw(labels == number).astype(int) for number in (1, 2, 3))
    assert drawn.max() == 1
    assert drawn[0].min() == 1
    assert (drawn == 0).mean() < 0.1


def test_a_single_pixel_of_a_map_is_seen():
    mask = torch.zeros(5, 5, dtype=torch.bool)
    mask[4, 0] = True
    assert Frame((20, 20), (5, 5), 4).draw(mask).sum() >= 4
