"""Where pixels are like the next ones, blocks of them shift: results are those of all pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import maximum_filter, minimum_filter
from sklearn.metrics import adjusted_rand_score
from torch import Tensor
from torch.nn.functional import interpolate

from congeal.grouping import MeanShift
from congeal.sphere import normalise


def coarse_labels(side: int, seed: int) -> np.ndarray:
    """Discs of 3 pixels and more on a background."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((side, side), np.int64)
    y, x = np.mgrid[:side, :side]
    for number in range(1, 7):
        row, column = rng.uniform(3, side - 3, 2)
        labels[(y - row) ** 2 + (x - column) ** 2 <= rng.uniform(1.5, side / 5) ** 2] = number
    return labels


def enlarge(labels: np.ndarray, times: int, noise: float = 0.1, seed: int = 0) -> Tensor:
    """The embedding ``(8, H, W)`` of a network at a stride, at the size of the image."""
    generator = torch.Generator().manual_seed(seed)
    modes = torch.linalg.qr(torch.randn(8, 8, generator=generator))[0]
    clean = modes[torch.from_numpy(labels)].permute(2, 0, 1)
    noisy = normalise(clean + noise * torch.randn(clean.shape, generator=generator), dim=0)
    return normalise(interpolate(noisy[None], scale_factor=times, mode="bilinear")[0], dim=0)


@pytest.mark.parametrize("seed", range(4))
def test_groups_are_those_of_all_pixels(seed: int) -> None:
    embedding = enlarge(coarse_labels(24, seed), times=4, seed=seed)
    exact = MeanShift(anchors=96 * 96).group(embedding).labels.flatten().numpy()
    found = MeanShift(anchors=256).group(embedding).labels.flatten().numpy()
    assert adjusted_rand_score(exact, found) > 0.99


def test_more_anchors_bring_results_closer_to_those_of_all_pixels() -> None:
    scores = []
    for anchors in (64, 1024):
        each = []
        for seed in range(4):
            embedding = enlarge(coarse_labels(24, seed), times=4, seed=seed, noise=0.2)
            exact = MeanShift(anchors=96 * 96).group(embedding).labels.flatten().numpy()
            found = MeanShift(anchors=anchors).group(embedding).labels.flatten().numpy()
            each.append(adjusted_rand_score(exact, found))
        scores.append(np.mean(each))
    assert scores[0] < scores[1]
    assert scores[1] > 0.99


def test_borders_are_drawn_to_the_pixel_though_blocks_across_them_are_formed() -> None:
    labels = np.kron(coarse_labels(24, seed=1), np.ones((5, 5), np.int64))  # off the blocks
    embedding = enlarge(labels, times=1, noise=0.0)
    found = MeanShift(anchors=64).group(embedding).labels.flatten().numpy()
    assert adjusted_rand_score(labels.ravel(), found) > 0.999


def test_the_mask_and_the_mass_of_pixels_count() -> None:
    labels = coarse_labels(24, seed=2)
    embedding = enlarge(labels, times=4)
    mask = torch.from_numpy(np.kron(labels, np.ones((4, 4))) > 0)
    groups = MeanShift(anchors=128).group(embedding, mask)
    assert torch.equal(groups.labels > 0, mask)
    heavy = MeanShift(anchors=128, min_area=24).group(embedding, mask, torch.full(mask.shape, 3.0))
    assert adjusted_rand_score(groups.labels[mask], heavy.labels[mask]) > 0.99
    scores = groups.prototypes[groups.labels - 1].permute(2, 0, 1).mul(embedding).sum(0)
    for number in range(1, len(groups) + 1):
        own = float(scores[groups.labels == number].mean())
        assert float(groups.scores[number - 1]) == pytest.approx(own, abs=0.01)


def test_objects_of_twenty_pixels_are_not_lost_in_blocks() -> None:
    rng = np.random.default_rng(0)
    labels = np.zeros((200, 200), np.int64)
    y, x = np.mgrid[:200, :200]
    for number, corner in enumerate(rng.uniform(10, 190, (7, 2)), 1):
        labels[(y - corner[0]) ** 2 + (x - corner[1]) ** 2 <= 20 / np.pi + 1] = number
    found = MeanShift().group(enlarge(labels, times=1, noise=0.01)).labels.numpy()
    within = maximum_filter(labels, 3) == minimum_filter(labels, 3)
    assert adjusted_rand_score(labels[within], found[within]) == 1


def test_a_smooth_volume_is_grouped_like_an_image() -> None:
    flat = coarse_labels(12, seed=3)
    embedding = enlarge(flat, times=3, noise=0.05)
    volume = embedding[:, None].expand(-1, 9, -1, -1).contiguous()
    image = MeanShift(anchors=256, min_area=1).group(embedding).labels
    found = MeanShift(anchors=256, min_area=1).group(volume).labels
    assert adjusted_rand_score(image.expand(9, -1, -1).flatten(), found.flatten()) > 0.99
