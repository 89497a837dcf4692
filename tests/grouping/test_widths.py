"""Which points are one, where the kernel and the margin do not go together."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from congeal.grouping import AnchorSearch, MeanShift, find_modes
from congeal.sphere import normalise


def blobs(side, dimensions, noise, seed):
    """Nine squares of a direction each, blurred at their borders: ``(D, side, side)``."""
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(dimensions, dimensions, generator=generator))[0]
    cells = torch.arange(side) * 3 // side
    clean = basis[3 * cells[:, None] + cells].permute(2, 0, 1)
    smooth = torch.nn.functional.avg_pool2d(
        torch.nn.functional.pad(clean[None], (1, 1, 1, 1), mode="replicate"), 3, 1
    )[0]
    return normalise(smooth + noise * torch.randn(smooth.shape, generator=generator), dim=0)


def shift_all(points, kappa):
    """Mean shift of all points in float64, each kernel written out."""
    x = points.double().numpy()
    for _ in range(20):
        moved = np.exp(kappa * (x @ x.T - 1)) @ x
        moved /= np.linalg.norm(moved, axis=1, keepdims=True)
        change, x = np.abs(moved - x).max(), moved
        if change < 1e-4:
            break
    return x


def groups_at_rest(x, margin):
    """The group of each point at rest: the most crowded place takes all within the margin."""
    cosine = x @ x.T
    near = cosine > math.cos(0.02)
    left, modes = np.ones(len(x), bool), []
    while left.any():
        crowd = np.where(left, (near & left).sum(1), -1)
        first = int(crowd.argmax())
        gone = left & (cosine[first] > margin)
        gone[first] = True
        if gone.sum() >= 8:
            modes.append(x[near[first] & gone].mean(0))
        left &= ~gone
    modes = np.array(modes)
    modes /= np.linalg.norm(modes, axis=1, keepdims=True)
    return (x @ modes.T).argmax(1)


@pytest.mark.parametrize("margin", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("kappa", [9.0, 36.0, 400.0, 1000.0])
def test_anchors_find_the_groups_of_exact_mean_shift_at_any_kernel_and_margin(kappa, margin):
    found = []
    for seed in (0, 1):
        embedding = blobs(48, 32, min(0.03, 0.35 / math.sqrt(kappa)), seed)
        exact = groups_at_rest(shift_all(embedding.flatten(1).T, kappa), margin)
        labels = AnchorSearch(MeanShift(kappa), margin, anchors=256).group(embedding).labels
        found.append(adjusted_rand_score(exact, labels.flatten().numpy()))
    print(kappa, margin, found)
    assert min(found) > 0.9


def test_the_width_of_modes_is_that_asked_for():
    angle = torch.tensor([0.0, 0.1, 0.1, 1.4])
    points = torch.stack([angle.cos(), angle.sin()], 1)
    wide = find_modes(points, margin=0.8, width=0.2)  # the mean of three
    narrow = find_modes(points, margin=0.8)  # of two: .067 radians
    assert torch.atan2(wide[0, 1], wide[0, 0]).item() == pytest.approx(0.2 / 3, abs=1e-3)
    assert torch.atan2(narrow[0, 1], narrow[0, 0]).item() == pytest.approx(0.1, abs=1e-6)
