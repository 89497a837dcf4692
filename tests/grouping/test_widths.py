"""Which points are one, where the kernel and the margin do not go together."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score
from torch.nn.functional import avg_pool2d, pad

from congeal.grouping import MeanShift, find_modes
from congeal.sphere import normalise


def discs(side, count, noise, seed):
    """Background and discs of a direction each, blurred at borders, ``(16, side, side)``."""
    generator = torch.Generator().manual_seed(2)
    basis = torch.linalg.qr(torch.randn(16, 16, generator=generator))[0]
    both = torch.cat([basis, -basis])
    modes = both[torch.randperm(len(both), generator=generator)]
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    labels = np.zeros((side, side), np.int64)
    areas = np.sort(np.exp(rng.uniform(np.log(20), np.log(side**2 / 6), count)))[::-1]
    for number, area in enumerate(areas, 1):
        row, column = rng.uniform(0, side, 2)
        labels[(rows - row) ** 2 + (columns - column) ** 2 <= area / np.pi + 1] = number
    clean = modes[torch.from_numpy(labels)].permute(2, 0, 1)
    smooth = avg_pool2d(pad(clean[None], (1, 1, 1, 1), mode="replicate"), 3, 1)[0]
    generator = torch.Generator().manual_seed(seed)
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


@pytest.mark.parametrize(
    ("kappa", "count", "noise", "margins", "least"),
    [
        (9.0, 3, 0.05, (0.3, 0.5, 0.8), 0.99),  # .955 with the margin's width at .5
        (400.0, 5, 0.03, (0.3,), 0.999),  # .971 with the kernel's width
    ],
)
def test_groups_are_those_of_exact_mean_shift_where_kernel_and_margin_differ(
    kappa, count, noise, margins, least
):
    embedding = discs(48, count, noise, seed=1)
    rest = shift_all(embedding.flatten(1).T, kappa)
    for margin in margins:
        labels = MeanShift(kappa, margin, anchors=2304).group(embedding).labels
        exact = groups_at_rest(rest, margin)
        assert adjusted_rand_score(exact, labels.flatten().numpy()) > least


def test_the_width_of_modes_is_that_asked_for():
    angle = torch.tensor([0.0, 0.1, 0.1, 1.4])
    points = torch.stack([angle.cos(), angle.sin()], 1)
    wide = find_modes(points, margin=0.8, width=0.2)  # the mean of three
    narrow = find_modes(points, margin=0.8)  # of two: .067 radians
    assert torch.atan2(wide[0, 1], wide[0, 0]).item() == pytest.approx(0.2 / 3, abs=1e-3)
    assert torch.atan2(narrow[0, 1], narrow[0, 0]).item() == pytest.approx(0.1, abs=1e-6)
