"""Classes of whole objects: losses, and prediction for decoded objects."""

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
    "mean_probabilities",
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
        head: predicts classes from pooled features.
        features: ``(B, F, h, w)``.
        labels: ``(B, h, w)``.
        semantic: ``(B, h, w)``, classes from 1; objects without class (0 or less) are ignored.

    Returns:
        Mean over the objects; 0 if there are none.
    """
    logits, first = head(features, labels)
    target = semantic.flatten()[first] - 1
    known = target >= 0
    entropy = functional.cross_entropy(logits, target.clamp_min(0), reduction="none")
    return (entropy * known).sum() / shared_count(known.sum())


def pixel_class_loss(logits: Tensor, semantic: Tensor) -> Tensor:
    """Cross-entropy between object classes over the pixels of objects, weighted equally per class.

    It complements the cross-entropy of all pixels, which is dominated by background and outlines.

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
        head: predicts classes from pooled features.
        features: ``(T * F, h, w)``, from T orientations of the image; probabilities are averaged.
        labels: ``(h, w)``, objects 1 to K; some may have no pixel on this grid.
        voted: ``(K,)``, classes from 1, kept for objects without pixel on this grid.

    Returns:
        ``(K,)``, from 1.
    """
    if not bool((labels > 0).any()):
        return voted
    orientations = features.split(head.channels_in)
    outputs = [head(one[None], labels[None]) for one in orientations]
    mean = torch.stack([logits.softmax(1) for logits, _ in outputs]).mean(0)
    classes = voted.clone()
    classes[labels.flatten()[outputs[0][1]] - 1] = mean.argmax(1) + 1
    return classes


def translate_heads(
    theirs: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
    names: Sequence[str],
    wanted: Sequence[str],
) -> dict[str, Tensor]:
    """Convert the weights of the heads of another RPE model to the classes of this one.

    If all classes are new, their total probability is that of all old classes, so the foreground
    does not change.

    Args:
        theirs: weights of the other model.
        own: weights of this model; weights of other shapes are not converted.
        names: classes of the other model.
        wanted: classes of this model.
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
    """Rearrange the rows of a layer for other classes; a new class gets the mean of all rows.

    Args:
        rows: ``(C, ...)``, one row per class.
        names: names of the C classes.
        wanted: names of the target classes.
        shift: added to the rows of new classes.

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


def mean_probabilities(labels: Tensor, semantic: Tensor, count: int) -> Tensor:
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
    """Set the largest group to background."""
    area = np.bincount(labels.ravel())
    area[0] = 0
    if not area.any():
        return labels
    largest = int(area.argmax())
    rename = np.arange(len(area))
    rename[largest] = 0
    rename[largest + 1 :] -= 1
    return rename[labels]
