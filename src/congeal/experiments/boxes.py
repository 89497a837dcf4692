"""Mask R-CNN of torchvision with an encoder of this package, as a baseline.

He et al., Mask R-CNN, ICCV 2017. Its training crops are those of the methods of this package: the
same images, augmentation and order.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign, masks_to_boxes

from congeal.clock import now
from congeal.data.batch import Batch
from congeal.data.intensity import scale_intensity
from congeal.data.sample import Dataset
from congeal.metrics.matching import MatchingMetric
from congeal.networks.encoders import IMAGENET_MEAN, IMAGENET_STD, build_encoder
from congeal.segmentation import Segmentation
from congeal.training.config import TrainConfig
from congeal.training.stream import TrainStream

__all__ = ["BoxSegmenter", "Budget", "train_boxes"]

CHANNELS = 64  # of the feature pyramid and of the mask head
HIDDEN = 256  # width of the box head
REGIONS = 48  # sampled regions per image for training the heads; a quarter are positive
PROPOSALS = 256  # per image, before and after non-maximum suppression
ANCHORS = (16, 32, 64, 128)  # px, sides of anchors at strides 4, 8, 16 and 32
RATIOS = (0.33, 1.0, 3.0)  # height over width
RATE = 2e-3  # maximum learning rate of AdamW; better than 5e-4 on validation images
WARMUP = 50  # updates during which the learning rate rises
MIN_SCORES = (0.5, 0.7, 0.3, 0.2, 0.1, 0.05)  # candidates; the first wins ties
MIN_PIXELS = 4  # smaller parts of objects at the border of a crop are ignored


@dataclass(frozen=True)
class Budget:
    """Length of a training: updates if given, else minutes."""

    minutes: float = 10.0
    updates: int | None = None

    def share(self, started: float, updates: int) -> float:
        """Finished share of the training, from 0 to 1."""
        if self.updates is not None:
            return updates / self.updates
        return (now() - started) / (60 * self.minutes)


class _Pyramid(nn.Module):
    """Feature pyramid on an encoder from stride 4 on, as a backbone of torchvision."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        reductions: Any = encoder.reductions
        channels: Any = encoder.channels
        self.used = [i for i, reduction in enumerate(reductions) if reduction >= 4]
        self.out_channels = CHANNELS
        self.pyramid = FeaturePyramidNetwork([channels[i] for i in self.used], CHANNELS)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        features = self.encoder(image)
        found: dict[str, Tensor] = self.pyramid(
            OrderedDict((str(k), features[i]) for k, i in enumerate(self.used))
        )
        return found


class BoxSegmenter:
    """Mask R-CNN for one class; where masks overlap, the higher score wins.

    Args:
        encoder: name of a timm encoder, or ``"compact"``.
        pretrained: start from its ImageNet weights.
        side: shorter side in pixels of the network's input.
        min_score: minimum score of an object.

    Example:
        >>> import numpy as np
        >>> found = BoxSegmenter("compact", side=64).segment(np.zeros((64, 64, 3), np.uint8))
        >>> found.shape
        (64, 64)
    """

    def __init__(
        self,
        encoder: str,
        *,
        pretrained: bool = False,
        side: int = 128,
        min_score: float = 0.5,
    ) -> None:
        trunk = build_encoder(encoder, 3, pretrained=pretrained, output_stride=32)
        backbone = _Pyramid(trunk)
        levels = len(backbone.used)
        self.min_score = min_score
        self.network = MaskRCNN(
            backbone,
            rpn_anchor_generator=AnchorGenerator(
                tuple((size,) for size in ANCHORS[:levels]), (RATIOS,) * levels
            ),
            box_roi_pool=_pool(levels, 7),
            mask_roi_pool=_pool(levels, 14),
            min_size=side,
            max_size=2 * side,
            image_mean=list(IMAGENET_MEAN),
            image_std=list(IMAGENET_STD),
            **_narrow_heads(),
        )

    def segment(self, image: NDArray[Any]) -> Segmentation:
        """Find the objects of an image ``(H, W, 3)``."""
        return self._describe(self._find(image), image.shape[:2], self.min_score)

    def tune(self, held_out: Dataset) -> float:
        """Set and return the minimum score with the highest AP at IoU .5 on validation images."""
        found = [(self._find(sample.image), sample.labels) for sample in held_out]

        def quality(min_score: float) -> float:
            metric = MatchingMetric((0.5,))
            for boxes, truth in found:
                size = (truth.shape[0], truth.shape[1])
                result = self._describe(boxes, size, min_score)
                metric.update(prediction=result.labels, truth=truth)
            return metric.compute()["matching_ap@0.5"]

        self.min_score = max(MIN_SCORES, key=quality)
        return self.min_score

    @torch.inference_mode()
    def _find(self, image: NDArray[Any]) -> dict[str, Tensor]:
        self.network.eval()
        found: dict[str, Tensor] = self.network([scale_intensity(image)])[0]
        return found

    def _describe(
        self, found: dict[str, Tensor], size: tuple[int, ...], min_score: float
    ) -> Segmentation:
        keep = found["scores"] >= min_score
        masks = (found["masks"][keep, 0] > 0.5).numpy()
        return Segmentation.from_masks(
            masks.reshape(-1, *size), scores=found["scores"][keep].numpy()
        )


def _narrow_heads() -> dict[str, Any]:
    """Heads for one class that can be trained in minutes on a CPU.

    With the default heads of torchvision (256 channels, 512 regions per image) an update with eight
    crops of 128 x 128 pixels takes 16 s on one core, forty times as long as RPE.
    """
    return {
        "box_head": TwoMLPHead(CHANNELS * 7 * 7, HIDDEN),
        "box_predictor": FastRCNNPredictor(HIDDEN, 2),
        "mask_head": MaskRCNNHeads(CHANNELS, [CHANNELS] * 4, 1),
        "mask_predictor": MaskRCNNPredictor(CHANNELS, CHANNELS, 2),
        "box_batch_size_per_image": REGIONS,
        **{
            f"rpn_{stage}_nms_top_n_{mode}": PROPOSALS
            for stage in ("pre", "post")
            for mode in ("train", "test")
        },
    }


def _pool(levels: int, size: int) -> nn.Module:
    pool: nn.Module = MultiScaleRoIAlign([str(k) for k in range(levels)], size, sampling_ratio=2)
    return pool


def train_boxes(
    model: BoxSegmenter,
    dataset: Dataset,
    budget: Budget,
    *,
    crop: int = 128,
    batch_size: int = 4,
    seed: int = 0,
) -> int:
    """Train with AdamW; the learning rate falls to 0 at the end of the budget.

    Args:
        model: model to train.
        dataset: training images.
        budget: length of the training.
        crop: side of the crops in pixels.
        batch_size: crops per batch.
        seed: seed of order and augmentation.

    Returns:
        The number of updates.
    """
    stream = TrainStream(dataset, TrainConfig(crop=crop).augment(), seed=seed, maps=["labels"])
    optimizer = torch.optim.AdamW(model.network.parameters(), lr=RATE, weight_decay=0.01)
    started, updates = now(), 0
    model.network.train()
    while (share := budget.share(started, updates)) < 1:
        rate = RATE * (1 - share) ** 0.9 * min(1.0, (updates + 1) / WARMUP)
        optimizer.param_groups[0]["lr"] = rate
        first = updates * batch_size
        batch = Batch.collate([stream[first + k] for k in range(batch_size)])
        _update(model.network, batch, optimizer)
        updates += 1
    return updates


def _update(network: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> None:
    targets = [_target(labels) for labels in batch.get("labels")]
    losses: dict[str, Tensor] = network(list(batch.image), targets)
    optimizer.zero_grad()
    torch.stack(list(losses.values())).sum().backward()
    nn.utils.clip_grad_norm_(network.parameters(), 10.0)
    optimizer.step()


def _target(labels: Tensor) -> dict[str, Tensor]:
    """Boxes, masks and classes of the objects of a crop ``(H, W)``."""
    ids = torch.unique(labels[labels > 0])
    masks = labels == ids[:, None, None]  # (K, H, W)
    boxes = masks_to_boxes(masks) + torch.tensor([0.0, 0.0, 1.0, 1.0])
    kept = masks.flatten(1).sum(1) >= MIN_PIXELS
    return {
        "boxes": boxes[kept].reshape(-1, 4),
        "masks": masks[kept].to(torch.uint8),
        "labels": torch.ones(int(kept.sum()), dtype=torch.int64),
    }
