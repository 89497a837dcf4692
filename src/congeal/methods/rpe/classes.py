"""Classes of whole objects: their loss, and what decoded objects are taken for."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from congeal.networks.heads import ObjectHead

__all__ = ["mean_inside", "object_class_loss", "pixel_class_loss", "pooled_classes"]


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
    return (entropy * known).sum() / known.sum().clamp_min(1)


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
    weight = inside / count.clamp_min(1).to(logits.dtype)[target]
    return (entropy * weight).sum() / (count > 0).sum().clamp_min(1)


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


def mean_inside(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the pixels of a mask; 0 if it is empty."""
    return (values * mask).sum() / mask.sum().clamp_min(1)
