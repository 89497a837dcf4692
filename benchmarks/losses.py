"""Each loss forward and backward: time and peak memory, against the straightforward form.

    python benchmarks/losses.py [--quick] [--memory 8] [--json FILE]

Eight images, of which 4,096 pixels each are drawn (or, where a loss draws none, that have as many
pixels), and whole maps of 256 x 256. The straightforward form is what one would write first: all
pairs as a matrix, a table of all pixels against all segments, a loop over the objects, all shifted
maps at once, with plain autograd. It is left out where it would take more than ``memory`` GB.
``difference`` compares the two values, ``times`` and ``memory`` their cost (plain over ours).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from measure import Row, best_seconds, options, peak_megabytes, tell
from torch import Tensor
from torch.nn.functional import normalize

from congeal.grouping import MeanShift
from congeal.losses import (
    discriminative_loss,
    pairwise_loss,
    permutation_term,
    vmf_loss,
    vmf_n_loss,
    window_offsets,
)

KAPPA = 36.0  # of the mean-shift step
SORTING = 10.0  # kappa of the vMF losses
Loss = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Scene:
    """Drawn images: embeddings near one direction for each object, objects, segments, classes."""

    embedding: Tensor  # (B, D, H, W)
    values: Tensor  # (B, 1, H, W)
    labels: Tensor  # (B, H, W), 0 background
    segments: Tensor  # (B, H, W), 1..: objects cut by a grid
    semantic: Tensor  # (B, H, W), 1..

    @property
    def pixels(self) -> int:
        """Of one image."""
        return self.labels[0].numel()

    @property
    def images(self) -> int:
        return len(self.labels)


def draw_scene(
    images: int, side: int, device: str, *, objects: int = 20, dimensions: int = 16
) -> Scene:
    """Discs on a background, embeddings with noise."""
    generator = torch.Generator().manual_seed(0)
    axis = torch.arange(side, dtype=torch.float32)
    place = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    labels = []
    for _ in range(images):
        centres = torch.rand(objects, 2, generator=generator) * side
        distance, nearest = torch.cdist(place, centres).min(1)
        labels.append(torch.where(distance < side / 8, nearest + 1, 0).view(side, side))
    label = torch.stack(labels)
    modes = torch.randn(images, objects + 1, dimensions, generator=generator)
    clean = torch.stack([mode[its] for mode, its in zip(modes, label, strict=True)])
    noise = 0.5 * torch.randn(clean.shape, generator=generator)
    cells = (place // (side / 6)).long()
    grid = (cells[:, 0] * 6 + cells[:, 1]).view(side, side)
    value = label + 0.3 * torch.randn(label.shape, generator=generator)
    return Scene(
        (clean + noise).movedim(-1, 1).contiguous().to(device),
        value[:, None].to(device),
        label.to(device),
        (grid * (objects + 1) + label + 1).to(device),
        (1 + label % 5).to(device),
    )


# --- the straightforward forms -----------------------------------------------------------------


def _pair_matrix(unit: Tensor, labels: Tensor, margin: float = 0.5) -> Tensor:
    counts = torch.bincount(labels)[labels]
    weight = 1.0 / (len(labels.unique()) * counts)
    alike = labels[:, None] == labels
    similarity = (1 + unit @ unit.T) / 2
    cost = torch.where(alike, 1 - similarity, (similarity - margin).clamp_min(0))
    return (weight[:, None] * weight * cost).sum()


def plain_pairwise(scene: Scene, samples: int, steps: int) -> Loss:
    """The matrix of all pairs; a mean-shift step by the matrix of its kernel."""

    def loss(embedding: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        total = embedding.new_zeros(())
        for one, labels in zip(embedding, scene.labels.flatten(1), strict=True):
            drawn = torch.arange(len(labels), device=labels.device)
            if samples < len(labels):
                drawn = torch.randperm(len(labels), generator=generator)[:samples].to(labels.device)
            unit = normalize(one.flatten(1)[:, drawn].T, dim=1)
            total = total + _pair_matrix(unit, labels[drawn])
            for _ in range(steps):
                unit = normalize((KAPPA * unit @ unit.T).softmax(1) @ unit, dim=1)
                total = total + _pair_matrix(unit, labels[drawn])
        return total / len(embedding)

    return loss


def plain_discriminative(scene: Scene) -> Loss:
    """A loop over the objects of every image."""

    def of_image(points: Tensor, labels: Tensor) -> Tensor:
        means, pull = [], points.new_zeros(())
        for label in labels.unique():
            if label > 0:
                inside = points[labels == label]
                means.append(inside.mean(0))
                away = (inside - means[-1]).norm(dim=1)
                pull = pull + (away - 0.5).clamp_min(0).square().mean()
        centres = torch.stack(means)
        push = points.new_zeros(())
        for a in range(len(centres)):
            for b in range(len(centres)):
                if a != b:
                    push = push + (3.0 - (centres[a] - centres[b]).norm()).clamp_min(0).square()
        count = len(centres)
        push = push / max(count * (count - 1), 1)
        return pull / count + push + 0.001 * centres.norm(dim=1).mean()

    def loss(embedding: Tensor) -> Tensor:
        flat = zip(embedding.flatten(2).mT, scene.labels.flatten(1), strict=True)
        return torch.stack([of_image(points, labels) for points, labels in flat]).mean()

    return loss


def plain_vmf(scene: Scene, samples: int, *, neighbours: bool) -> Loss:
    """The table of all drawn pixels against the segments of all images."""
    whose = torch.arange(scene.images, device=scene.labels.device)[:, None, None]
    parts = torch.stack([whose.expand_as(scene.labels), scene.semantic, scene.segments], -1)
    names, own = parts.reshape(-1, 3).unique(dim=0, return_inverse=True)
    alike = names[:, None, 1] == names[None, :, 1]  # (K, K)
    lonely = alike.sum(1) == 1

    def draw() -> Tensor:
        generator = torch.Generator().manual_seed(0)
        count = scene.images * scene.pixels
        if samples >= scene.pixels:
            return torch.arange(count, device=own.device)
        noise = torch.rand(count, generator=generator, dtype=torch.float64)
        order = noise.view(scene.images, -1).argsort(1)[:, :samples]
        return (order + torch.arange(scene.images)[:, None] * scene.pixels).flatten().to(own.device)

    def loss(embedding: Tensor) -> Tensor:
        unit = normalize(embedding.flatten(2).mT.flatten(0, 1), dim=1)
        sums = unit.new_zeros(len(names), unit.shape[1]).index_add(0, own, unit)
        prototypes = normalize(sums, dim=1)
        drawn = draw()
        mine = own[drawn]
        logits = SORTING * unit[drawn] @ prototypes.T  # (N, K)
        if not neighbours:
            return (logits.logsumexp(1) - logits.gather(1, mine[:, None])[:, 0]).mean()
        itself = torch.zeros_like(logits, dtype=torch.bool).scatter(1, mine[:, None], True)
        logits = logits.masked_fill(itself & ~lonely[mine, None], -torch.inf)
        near = logits.masked_fill(~alike[mine], -torch.inf)
        return (logits.logsumexp(1) - near.logsumexp(1)).mean()

    return loss


def plain_window(scene: Scene) -> Loss:
    """All shifted copies of the map at once."""
    steps = window_offsets()

    def shifted(image: Tensor, fill: float) -> Tensor:
        reach = max(max(map(abs, step)) for step in steps)
        wide = torch.nn.functional.pad(image, (reach,) * 4, value=fill)
        height, width = image.shape[1:]
        rows = [wide[:, reach + y :, reach + x :][:, :height, :width] for y, x in steps]
        return torch.stack(rows)  # (O, B, H, W)

    def loss(values: Tensor) -> Tensor:
        f = values[:, 0].relu()
        other = shifted(scene.labels.double(), -1.0)
        both = (scene.labels > 0) & (other > 0)
        same = other == scene.labels
        gap = (shifted(f, 0.0) - f).abs()
        v = torch.where(same, gap, (1.0 - gap).clamp_min(0))
        cost = torch.where(v < 0.1, v.square() / 0.2, v - 0.05).masked_fill(~both, 0.0)
        pairs = both.sum((0, 2, 3)).clamp_min(1)
        return (cost.sum((0, 2, 3)) / pairs).mean()

    return loss


# --- measuring ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One loss on one scene, and the straightforward form with what it needs in bytes."""

    name: str
    scene: Scene
    loss: Loss
    plain: Loss | None = None
    bytes: float = 0.0

    @property
    def leaf(self) -> Tensor:
        given = self.scene.values if self.name.startswith("variational") else self.scene.embedding
        return given.detach().clone().requires_grad_()


def both_ways(loss: Loss, leaf: Tensor) -> Tensor:
    leaf.grad = None
    value = loss(leaf)
    value.backward()
    return value.detach()


def measure(case: Case, size: str, memory: float) -> Row:
    leaf = case.leaf
    seconds = best_seconds(lambda: both_ways(case.loss, leaf))
    held = peak_megabytes(lambda: both_ways(case.loss, leaf))
    row: Row = {"loss": case.name, "size": size, "ms": seconds * 1e3, "peak MB": held}
    if case.plain is None or case.bytes > memory * 1e9:
        return row
    plain = case.plain
    slow = best_seconds(lambda: both_ways(plain, leaf), repeats=3)
    much = peak_megabytes(lambda: both_ways(plain, leaf))
    apart = both_ways(case.loss, leaf) - both_ways(plain, leaf)
    row |= {"plain ms": slow * 1e3, "plain MB": much, "times": slow / seconds}
    if held and much is not None:
        row["memory"] = much / held
    return row | {"difference": abs(float(apart))}


def sampled_cases(scene: Scene, samples: int, *, whole: bool = False) -> Iterator[Case]:
    """Losses that can draw pixels of each image."""

    def seeded() -> torch.Generator:
        return torch.Generator().manual_seed(0)

    matrix = 4.0 * samples**2 * scene.images * 5  # kept until the backward pass
    for steps in (0, 1):
        if steps and whole:
            continue  # every pixel against every other, there and back: minutes
        shift = MeanShift(KAPPA, steps=steps) if steps else None
        yield Case(
            "pairwise" + ", a mean-shift step" * steps,
            scene,
            lambda e, shift=shift: pairwise_loss(
                e, scene.labels, samples=samples, grouping=shift, generator=seeded()
            ),
            plain_pairwise(scene, samples, steps),
            matrix * (1 + 2 * steps),
        )
    found = scene.images * len(scene.segments[0].unique())
    table = 4.0 * samples * scene.images * found
    how = {"concentration": SORTING, "samples": samples}
    yield Case(
        "vmf",
        scene,
        lambda e: vmf_loss(e, scene.segments, generator=seeded(), **how),
        plain_vmf(scene, samples, neighbours=False),
        4 * table,
    )
    yield Case(
        "vmf_n",
        scene,
        lambda e: vmf_n_loss(e, scene.segments, scene.semantic, generator=seeded(), **how),
        plain_vmf(scene, samples, neighbours=True),
        8 * table,
    )


def whole_cases(scene: Scene) -> Iterator[Case]:
    """Losses that take all pixels of a map, or pairs of their own."""
    yield Case(
        "discriminative",
        scene,
        lambda e: discriminative_loss(e, scene.labels),
        plain_discriminative(scene),
    )
    yield Case(
        "variational, window",
        scene,
        lambda f: permutation_term(f, scene.labels),
        plain_window(scene),
        40.0 * len(window_offsets()) * scene.images * scene.pixels,
    )
    yield Case(
        "variational, 65,536 random pairs",
        scene,
        lambda f: permutation_term(f, scene.labels, pairs="random"),
    )


def main() -> None:
    chosen = options(
        __doc__ or "",
        quick=(False, "small sizes, to see that it runs"),
        memory=(8.0, "GB that a straightforward form may take"),
    )
    images, samples, side = (2, 256, 64) if chosen.quick else (8, 4096, 256)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    large = draw_scene(images, side, device)
    small = draw_scene(images, int(samples**0.5), device)
    drawn = f"{images} x {samples:,} pixels"
    whole = f"{images} x {side} x {side}"
    cases = [(case, drawn) for case in sampled_cases(large, samples)]
    cases += [(case, drawn) for case in whole_cases(small)]
    cases += [(case, whole) for case in sampled_cases(large, large.pixels, whole=True)]
    cases += [(case, whole) for case in whole_cases(large)]
    rows = [measure(case, size, chosen.memory) for case, size in cases]
    tell("losses, forward and backward", rows, chosen.json)


if __name__ == "__main__":
    main()
