"""The second stage: IoU with an object, and class, of each candidate."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import masks_to_boxes, roi_align

from congeal.losses.variational_terms import huber
from congeal.networks.heads import ObjectHead
from congeal.processes import shared_count

__all__ = [
    "VerificationNetwork",
    "VerificationOutput",
    "VerificationTargets",
    "pool_masks",
    "verification_losses",
    "verification_targets",
]

SIDE = 14  # cells of RoIAlign along each axis (the paper)
IGNORED = -1  # class of candidates that are neither object nor background
SAMPLES = 1  # of the features per cell and axis; of the mask twice as many
CHUNK = 128  # candidates per pass, which bounds memory


class VerificationOutput(NamedTuple):
    """Output of :class:`VerificationNetwork` for N candidates.

    Attributes:
        logits: ``(N, C + 1)``, background first.
        iou: ``(N,)`` predicted intersection over union with an object, at least 0.
    """

    logits: Tensor
    iou: Tensor

    def scores(self, iou_share: float) -> tuple[Tensor, Tensor]:
        """Score ``a S_iou + (1 - a) S_cls`` in [0, 1], and class from 1 up, ``(N,)`` each.

        With one class the score is S_iou: the class head has not learnt.
        """
        probability, kind = self.logits.float().softmax(1)[:, 1:].max(1)
        share = iou_share if self.logits.shape[1] > 2 else 1.0
        return share * self.iou.float().clamp(0, 1) + (1 - share) * probability, kind + 1


class VerificationTargets(NamedTuple):
    """True IoU and class of N candidates.

    Attributes:
        iou: ``(N,)`` intersection over union with the object that overlaps most.
        classes: ``(N,)`` class of that object, 0 background, -1 no part in the class loss.
    """

    iou: Tensor
    classes: Tensor


class VerificationNetwork(nn.Module):
    """Seven layers over the features of a candidate's box, joined with its mask.

    1 x 1 - n, 3 x 3 - n twice, 3 x 3 - 2n twice, pool, FC - 4n; class head FC - 2n - (C + 1);
    IoU head FC - 2n - 1 with ReLU. The first layer is a product per pixel, so the features go
    through it before they are pooled to the box and the mask after, which gives the same sum.

    Args:
        channels: of the encoder's features.
        classes: C, background not counted.
        width: n, 256 in the paper.
        box_margin: share of its sides by which a box grows on each side.
        object_pooling: add class logits from the features pooled over the candidate alone, mean
            and maximum. Group norm before the average over the box removes most of what is constant
            over it, such as colour.
        stride: of the third layer's convolution; 1 in the paper, 2 halves the operations.

    Example:
        >>> network = VerificationNetwork(8, classes=3, width=16)
        >>> masks = torch.zeros(2, 8, 8, dtype=torch.bool)
        >>> masks[0, :3, :4] = masks[1, 5, 5] = True
        >>> output = network(network.project(torch.zeros(1, 8, 2, 2)), masks, ratio=0.25)
        >>> tuple(output.logits.shape), tuple(output.iou.shape)
        ((2, 4), (2,))
    """

    def __init__(
        self,
        channels: int,
        classes: int = 1,
        width: int = 256,
        box_margin: float = 0.0,
        object_pooling: bool = False,
        stride: int = 1,
    ) -> None:
        super().__init__()
        self.box_margin = box_margin
        self.classes = classes
        self.project = nn.Conv2d(channels, width, 1, bias=False)
        self.join = nn.Conv2d(1, width, 1)
        self.norm = nn.GroupNorm(_groups(width), width)
        self.layers = nn.Sequential(
            _layer(width, width),
            _layer(width, width),
            _layer(width, 2 * width, stride),
            _layer(2 * width, 2 * width),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(2 * width, 4 * width),
            nn.ReLU(inplace=True),
        )
        self.classify = _head(4 * width, 2 * width, classes + 1)
        self.pooled = ObjectHead(width, classes + 1) if object_pooling and classes > 1 else None
        self.cover = _head(4 * width, 2 * width, 1)
        self.cover[-1].bias.data.fill_(0.5)  # type: ignore[operator]  # no dead ReLU

    def forward(
        self, projected: Tensor, masks: Tensor, ratio: float, images: Tensor | None = None
    ) -> VerificationOutput:
        """Verify candidates, of one image or of several.

        Args:
            projected: ``(B, n, h', w')`` features after ``self.project``.
            masks: ``(N, h, w)`` bool, none empty.
            ratio: pixels of the features per pixel of the masks.
            images: ``(N,)`` number of each candidate's image; None: all are of the first.
        """
        if not len(masks):
            nothing = projected.flatten()[:0]  # on the graph
            return VerificationOutput(nothing.reshape(0, self.classes + 1), nothing)
        if images is None:
            images = torch.zeros(len(masks), dtype=torch.int64, device=masks.device)
        parts = [
            self._verify(projected, part, ratio, its)
            for part, its in zip(masks.split(CHUNK), images.split(CHUNK), strict=True)
        ]
        return VerificationOutput(*(torch.cat(column) for column in zip(*parts, strict=True)))

    def _verify(
        self, projected: Tensor, masks: Tensor, ratio: float, images: Tensor
    ) -> VerificationOutput:
        boxes = self.boxes(masks)
        number = torch.arange(len(boxes), device=boxes.device)
        seen, shape = (
            roi_align(
                x.float(), torch.cat([of[:, None], boxes], 1), SIDE, share, samples, aligned=True
            )
            for x, of, share, samples in (
                (projected, images, ratio, SAMPLES),
                (masks[:, None], number, 1.0, 2 * SAMPLES),
            )
        )
        x = functional.relu(self.norm(seen + self._joined(shape)))
        x = self.layers(x)
        logits = self.classify(x)
        if self.pooled is not None:
            logits = logits + self.pooled.decide(pool_masks(seen, shape))
        return VerificationOutput(logits, self.cover(x)[:, 0].relu())

    def _joined(self, shape: Tensor) -> Tensor:
        """``self.join``, as a product: a convolution of one channel is slow on a CPU."""
        joined: Tensor = shape * self.join.weight[:, :, 0, 0].T[..., None, None]
        return joined + self.join.bias[:, None, None]  # type: ignore[index]

    def boxes(self, masks: Tensor) -> Tensor:
        """``(N, 4)`` left, top, right, bottom of masks ``(N, h, w)``, grown by the margin."""
        boxes = masks_to_boxes(masks).float()
        boxes[:, 2:] += 1  # to the far side of the last pixel
        grow = self.box_margin * (boxes[:, 2:] - boxes[:, :2])
        return torch.cat([boxes[:, :2] - grow, boxes[:, 2:] + grow], 1)


def pool_masks(x: Tensor, shape: Tensor) -> Tensor:
    """Mean and largest value of each channel over a mask for each of N maps.

    Args:
        x: ``(N, C, h, w)``.
        shape: ``(N, 1, h, w)`` share of each cell in the mask, not 0 everywhere.

    Returns:
        ``(N, 2 C)``.

    Example:
        >>> pool_masks(torch.tensor([[[[1.0, 3.0, 9.0]]]]), torch.tensor([[[[1.0, 1.0, 0.0]]]]))
        tensor([[2., 3.]])
    """
    inside = shape >= 0.5 * shape.amax((2, 3), keepdim=True)
    mean = (x * inside).sum((2, 3)) / inside.sum((2, 3)).clamp_min(1)
    return torch.cat([mean, x.masked_fill(~inside, -torch.inf).amax((2, 3))], 1)


def _groups(width: int) -> int:
    return next(count for count in (8, 4, 2, 1) if width % count == 0)


def _layer(channels_in: int, channels_out: int, stride: int = 1) -> nn.Sequential:
    """Group norm: the number of candidates in a batch may be one."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False),
        nn.GroupNorm(_groups(channels_out), channels_out),
        nn.ReLU(inplace=True),
    )


def _head(channels_in: int, hidden: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(channels_in, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, channels_out)
    )


def verification_targets(
    masks: Tensor,
    labels: Tensor,
    semantic: Tensor | None = None,
    *,
    positive_iou: float = 0.2,
    negative_iou: float = 0.1,
) -> VerificationTargets:
    """IoU and class of candidates, by the objects of an image.

    A candidate is of the class of the object that it overlaps most from ``positive_iou`` on, and
    background where 0 < IoU < ``negative_iou``; all others take no part in the class loss. Void
    pixels count nowhere.

    Args:
        masks: ``(N, h, w)`` bool.
        labels: ``(h, w)`` integers: -1 void, 0 background, 1..K objects.
        semantic: ``(h, w)`` class of each pixel, -1 void; an object is of its most frequent one.
            None: all objects are of class 1.
        positive_iou: see above.
        negative_iou: see above.

    Example:
        >>> masks = torch.tensor([[[1, 1, 0, 0]], [[1, 1, 1, 1]]]).bool()
        >>> verification_targets(masks, torch.tensor([[1, 1, 2, 0]]), torch.tensor([[3, 3, 1, 0]]))
        VerificationTargets(iou=tensor([1.0000, 0.5000]), classes=tensor([3, 3]))
    """
    ids, flat = torch.unique(labels, return_inverse=True)
    known = (labels >= 0).flatten()
    of_pixel = functional.one_hot(flat.flatten(), len(ids)).float()  # (P, R)
    inside = (masks.flatten(1) & known).float()  # (N, P)
    shared = inside @ of_pixel
    union = inside.sum(1)[:, None] + of_pixel.sum(0) - shared
    iou = (shared / union.clamp_min(1))[:, ids > 0]  # (N, K)
    if not iou.shape[1]:
        nothing = iou.new_zeros(len(masks))
        return VerificationTargets(nothing, torch.full_like(nothing, IGNORED, dtype=torch.int64))
    best, which = iou.max(1)
    kinds = _object_classes(of_pixel[:, ids > 0], semantic)  # (K,)
    classes = torch.full_like(which, IGNORED)
    classes[(best > 0) & (best < negative_iou)] = 0
    return VerificationTargets(best, torch.where(best >= positive_iou, kinds[which], classes))


def _object_classes(of_pixel: Tensor, semantic: Tensor | None) -> Tensor:
    """``(K,)`` most frequent class of the pixels of each object; -1 where none is known."""
    count = of_pixel.shape[1]
    if semantic is None:
        return torch.ones(count, dtype=torch.int64, device=of_pixel.device)
    kinds = functional.one_hot(semantic.flatten().clamp_min(0).long()).float()  # (P, C + 1)
    votes = (of_pixel.T @ kinds)[:, 1:]  # void and background do not vote
    if not votes.shape[1]:
        return torch.full((count,), IGNORED, device=of_pixel.device)
    most, kind = votes.max(1)
    return torch.where(most > 0, kind + 1, IGNORED)


def verification_losses(
    predicted: VerificationOutput, target: VerificationTargets, *, theta: float = 0.1
) -> dict[str, Tensor]:
    """Cross-entropy of the class and Huber loss of the IoU, means over candidates that take part.

    With one class the class head has nothing to learn: its loss is 0.

    Example:
        >>> predicted = VerificationOutput(torch.zeros(1, 3), torch.tensor([0.5]))
        >>> target = VerificationTargets(torch.tensor([1.0]), torch.tensor([2]))
        >>> {name: round(float(x), 2) for name, x in verification_losses(predicted, target).items()}
        {'class': 1.1, 'iou': 0.45}
    """
    count = shared_count(torch.tensor(len(target.iou), device=predicted.iou.device))
    iou = huber((predicted.iou.float() - target.iou).abs(), theta).sum() / count
    if predicted.logits.shape[1] == 2:
        return {"class": predicted.logits.sum() * 0.0, "iou": iou}
    taking_part = shared_count((target.classes != IGNORED).sum())
    entropy = functional.cross_entropy(
        predicted.logits.float(), target.classes, ignore_index=IGNORED, reduction="sum"
    )
    return {"class": entropy / taking_part, "iou": iou}
