"""The pipeline gives the groups of exact mean shift: every pixel shifts, to convergence."""

from __future__ import annotations

from pathlib import Path
from runpy import run_path

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

import congeal
from congeal.data import open_dataset
from congeal.errors import CongealError
from congeal.grouping import MeanShift, find_modes, group_pixels
from congeal.sphere import normalise

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def directions(count: int, dimensions: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(dimensions, dimensions, generator=generator))[0]
    modes = torch.cat([basis, -basis])
    return modes[torch.randperm(len(modes), generator=generator)][:count]


def discs(count: int, side: int, seed: int) -> np.ndarray:
    """Background 0 and discs of 20 pixels up, larger ones below."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((side, side), np.int64)
    y, x = np.mgrid[:side, :side]
    areas = np.sort(np.exp(rng.uniform(np.log(20), np.log(side**2 / 6), count)))[::-1]
    for number, area in enumerate(areas, 1):
        row, column = rng.uniform(0, side, 2)
        labels[(y - row) ** 2 + (x - column) ** 2 <= area / np.pi + 1] = number
    ids, seen = np.unique(labels, return_counts=True)
    labels[np.isin(labels, ids[seen < 20])] = 0
    return labels


def embed(labels: np.ndarray, modes: Tensor, noise: float, seed: int = 0) -> Tensor:
    """Each label its direction, blurred across borders, with noise: ``(D, H, W)``."""
    clean = modes[torch.from_numpy(labels)].permute(2, 0, 1)
    blurred = avg_pool2d(pad(clean[None], (1, 1, 1, 1), mode="replicate"), 3, 1)[0]
    generator = torch.Generator().manual_seed(seed)
    return normalise(blurred + noise * torch.randn(blurred.shape, generator=generator), dim=0)


@pytest.fixture
def exact_nearby(monkeypatch):
    """The benchmark's exact mean shift: the kernel without a cut, a cell or a block left out."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return run_path(str(BENCHMARKS / "grouping.py"))["exact_nearby"]


def test_embeddings_of_nuclei_are_grouped_as_by_exact_mean_shift(
    pack, monkeypatch, exact_nearby
) -> None:
    """The model that ships, its own decoding settings, every foreground pixel of the map."""
    pack("nuclei")
    model, images, scores = congeal.load("nuclei"), open_dataset("nuclei", "val"), []
    group = MeanShift.group

    def comparing(shift, embedding, mask, mass):
        groups = group(shift, embedding, mask, mass)
        exact = exact_nearby(embedding, mask, mass, shift)[mask.numpy()]
        scores.append(adjusted_rand_score(exact, groups.labels[mask].numpy()))
        return groups

    monkeypatch.setattr(MeanShift, "group", comparing)
    for number in (2, 6, 7, 14, 45):  # those of few pixels, so that all of them can shift
        model.segment(images[number].image)
    assert len(scores) == 5
    assert np.mean(scores) >= 0.99
    assert min(scores) >= 0.98


@pytest.mark.parametrize("count", [2, 12, 40])
def test_no_object_from_twenty_pixels_up_is_lost(count: int) -> None:
    labels = discs(count, 256, seed=count)
    embedding = embed(labels, directions(count + 1, 32, seed=1), noise=0.03)
    found = MeanShift(36.0).group(embedding).labels.numpy()
    for number in np.unique(labels):
        inside = found[labels == number]
        best = np.bincount(inside).argmax()
        shared = (inside == best).sum()
        assert shared > 0.5 * (len(inside) + (found == best).sum() - shared)


def test_groups_without_a_kernel_radius_are_those_of_exact_mean_shift() -> None:
    labels = discs(8, 96, seed=3)
    embedding = embed(labels, directions(9, 16, seed=2), noise=0.04)
    points = embedding.flatten(1).T
    settled = MeanShift(36.0, steps=12).shift(points[None])[-1][0]
    modes = find_modes(settled, margin=0.5, min_mass=8)
    exact = (settled @ modes.T).argmax(1).numpy()
    found = MeanShift(36.0, anchors=512).group(embedding).labels
    assert adjusted_rand_score(exact, found.flatten().numpy()) > 0.99


def test_outside_the_mask_there_is_no_group() -> None:
    labels = discs(6, 96, seed=1)
    embedding = embed(labels, directions(7, 16, seed=1), noise=0.03)
    mask = torch.from_numpy(labels > 0)
    for shift in (MeanShift(36.0, anchors=256), MeanShift(36.0, kernel_radius=9.0)):
        assert torch.equal(shift.group(embedding, mask).labels > 0, mask)


def test_an_empty_mask_gives_no_groups() -> None:
    for radius in (None, 6.0):
        groups = MeanShift(kernel_radius=radius).group(torch.ones(3, 4, 5), torch.zeros(4, 5) > 0)
        assert len(groups) == 0
        assert not groups.labels.any()


def test_a_volume_is_grouped_like_an_image() -> None:
    labels = discs(4, 48, seed=2)
    embedding = embed(labels, directions(5, 8, seed=1), noise=0.02)
    volume = embedding[:, None].expand(-1, 7, -1, -1).contiguous()
    image = MeanShift(36.0, anchors=512).group(embedding).labels
    found = MeanShift(36.0, anchors=512).group(volume).labels
    assert adjusted_rand_score(image.expand(7, -1, -1).flatten(), found.flatten()) > 0.98


def test_turning_the_embedding_space_changes_no_group() -> None:
    labels = discs(6, 64, seed=4)
    embedding = embed(labels, directions(7, 16, seed=1), noise=0.03)
    turn = torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(5)))[0]
    for radius in (None, 12.0):
        shift = MeanShift(36.0, kernel_radius=radius)
        here = shift.group(embedding).labels
        there = shift.group(torch.einsum("ij,jhw->ihw", turn, embedding)).labels
        assert adjusted_rand_score(here.flatten().numpy(), there.flatten().numpy()) > 0.999


def test_small_groups_are_given_up_and_the_largest_stays() -> None:
    embedding = torch.zeros(2, 1, 12)
    embedding[0, :, :9], embedding[1, :, 9:] = 1, 1
    for radius in (None, 6.0):
        assert len(MeanShift(kernel_radius=radius, min_area=4).group(embedding)) == 1
        assert len(MeanShift(kernel_radius=radius, min_area=3).group(embedding)) == 2
        assert len(MeanShift(kernel_radius=radius, min_area=99).group(embedding)) == 1


def test_scores_are_the_mean_cosine_to_the_prototype() -> None:
    embedding = embed(discs(5, 64, seed=0), directions(6, 8, seed=0), noise=0.1)
    for radius in (None, 9.0):
        groups = MeanShift(kernel_radius=radius).group(embedding)
        for number in range(1, len(groups) + 1):
            cosine = groups.prototypes[number - 1] @ embedding[:, groups.labels == number]
            assert float(groups.scores[number - 1]) == pytest.approx(float(cosine.mean()), abs=1e-5)
        assert groups.areas.tolist() == sorted(groups.areas.tolist(), reverse=True)


def test_pixels_of_no_mass_follow_the_others() -> None:
    modes, labels = directions(6, 8, seed=0), torch.from_numpy(discs(5, 64, seed=0))
    noise = torch.randn(8, 64, 64, generator=torch.Generator().manual_seed(1))
    embedding = normalise(modes[labels].permute(2, 0, 1) + 0.05 * noise, dim=0)  # sharp borders
    mass = (torch.rand(64, 64, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    for radius in (None, 9.0):
        shift = MeanShift(kernel_radius=radius)
        every, some = shift.group(embedding), shift.group(embedding, weights=mass)
        assert bool((some.labels > 0).all())
        assert adjusted_rand_score(every.labels.flatten(), some.labels.flatten()) > 0.98


def test_the_pipeline_is_what_mean_shift_calls() -> None:
    embedding = embed(discs(5, 64, seed=0), directions(6, 8, seed=0), noise=0.05)
    mask = torch.ones(64, 64)
    groups = group_pixels(
        embedding, mask > 0, mask, shift=MeanShift(36.0), margin=0.5, kernel_radius=9.0, min_area=8
    )
    assert torch.equal(groups.labels, MeanShift(36.0, kernel_radius=9.0).group(embedding).labels)


def test_embeddings_that_are_not_finite_are_refused() -> None:
    with pytest.raises(CongealError, match="finite"):
        MeanShift(kernel_radius=3.0).group(torch.full((2, 4, 4), torch.nan))
