"""Classes of whole objects: their loss, and what decoded objects are taken for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from congeal.networks.heads import ObjectHead
from congeal.processes import shared_count

__all__ = [
    "mean_inside",
    "mean_odds",
    "object_class_loss",
    "pixel_class_loss",
    "pooled_classes",
    "translate_heads",
    "translate_rows",
    "without_largest",
]


def object_class_loss(
    head: ObjectHead, features: Tensor, labels: Tensor, semantic: Tensor
) -> Tensor:
    """Cross-entropy of the classes of objects, from features pooled over their true pixels.

    Args:
        head: that names the classes.
        features: ``(B, F, h, w)``.
        labels: ``(B, h, w)``.
        semantic: ``(B, h, w)``, classes from 1; objects of none (0 and below) are left out.

    Returns:
        Mean over the objects; 0 if there are none.
    """
    logits, first = head(features, labels)
    target = semantic.flatten()[first] - 1
    known = target >= 0
    entropy = functional.cross_entropy(logits, target.clamp_min(0), reduction="none")
    return (entropy * known).sum() / shared_count(known.sum())


def pixel_class_loss(logits: Tensor, semantic: Tensor) -> Tensor:
    """Cross-entropy among the classes of objects, over their pixels, every class the same weight.

    In the cross-entropy of all pixels background and outlines weigh most.

    Args:
        logits: ``(B, C + 1, H, W)``, background first.
        semantic: ``(B, H, W)``.
    """
    inside = semantic > 0
    target = (semantic - 1).clamp_min(0)
    entropy = functional.cross_entropy(logits[:, 1:], target, reduction="none")
    count = torch.bincount(target[inside], minlength=logits.shape[1] - 1)
    count = shared_count(count, minimum=0)
    present = count > 0
    weight = inside / torch.where(present, count, 1).to(logits.dtype)[target]
    return (entropy * weight).sum() / present.sum().clamp_min(1)


def pooled_classes(head: ObjectHead, features: Tensor, labels: Tensor, voted: Tensor) -> Tensor:
    """Classes of decoded objects, from features pooled over their pixels.

    Args:
        head: that names the classes.
        features: ``(T * F, h, w)``, of T orientations of the image, whose probabilities are
            averaged.
        labels: ``(h, w)``, objects 1 to K; some may have no pixel on this grid.
        voted: ``(K,)``, classes of those, from 1.

    Returns:
        ``(K,)``, from 1.
    """
    if not bool((labels > 0).any()):
        return voted
    several = features.split(head.channels_in)
    said = [head(one[None], labels[None]) for one in several]
    mean = torch.stack([logits.softmax(1) for logits, _ in said]).mean(0)
    classes = voted.clone()
    classes[labels.flatten()[said[0][1]] - 1] = mean.argmax(1) + 1
    return classes


def translate_heads(
    theirs: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
    names: Sequence[str],
    wanted: Sequence[str],
) -> dict[str, Tensor]:
    """Weights of the heads of another model of RPE, made to name the classes of this one.

    New classes together get the probability that all classes had, so foreground stays foreground.

    Args:
        theirs: weights of the other model.
        own: of this one; what fits in no way is left out.
        names: classes of the other model.
        wanted: classes of this one.
    """
    if names == wanted:
        return {}
    found: dict[str, Tensor] = {}
    for name in ("network.draw.decide.weight", "network.draw.decide.bias"):
        rows = theirs[name]  # background, classes, touching
        shift = math.log(len(names) / len(wanted)) if rows.ndim == 1 else 0.0
        inner = translate_rows(rows[1:-1], names, wanted, shift)
        found[name] = torch.cat([rows[:1], inner, rows[-1:]])
    for name in ("classify.decide.2.weight", "classify.decide.2.bias"):
        if name in theirs and name in own:
            found[name] = translate_rows(theirs[name], names, wanted)
    return {name: value for name, value in found.items() if value.shape == own[name].shape}


def translate_rows(
    rows: Tensor, names: Sequence[str], wanted: Sequence[str], shift: float = 0.0
) -> Tensor:
    """Rows of a layer by the names of other classes; a new name gets the mean of all rows.

    Args:
        rows: ``(C, ...)``.
        names: of the C classes.
        wanted: of the classes that rows are made for.
        shift: added to the rows of new names.

    Example:
        >>> translate_rows(torch.tensor([1.0, 3.0]), ["cat", "dog"], ["dog", "cow"], 10.0).tolist()
        [3.0, 12.0]
    """
    known = dict(zip(names, rows, strict=True))
    unknown = rows.mean(0) + shift
    return torch.stack([known.get(name, unknown) for name in wanted])


def mean_inside(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the pixels of a mask; 0 if it is empty."""
    return (values * mask).sum() / shared_count(mask.sum())


def mean_odds(labels: Tensor, semantic: Tensor, count: int) -> Tensor:
    """Mean probabilities over the pixels of each object, ``(K, C + 1)``.

    Args:
        labels: ``(H, W)``, objects 1 to K.
        semantic: ``(C + 1, H, W)``.
        count: K.
    """
    index = labels.reshape(-1)
    sums = semantic.new_zeros(count + 1, len(semantic))
    sums.index_add_(0, index, semantic.flatten(1).T.contiguous())
    area = torch.bincount(index, minlength=count + 1).clamp_min(1)
    return (sums / area[:, None])[1:]


def without_largest(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Take the largest group for background."""
    area = np.bincount(labels.ravel())
    area[0] = 0
    if not area.any():
        return labels
    largest = int(area.argmax())
    rename = np.arange(len(area))
    rename[largest] = 0
    rename[largest + 1 :] -= 1
    return rename[labels]
