"""Methods whose network is replaced by one that reads the gray value of each pixel.

What such a network says of a pixel does not depend on what is around it, so what tiles change is
what the code around the network changes.
"""

import math

import numpy as np
import torch
from torch.nn import functional

from congeal import DVIS, RPE, Discriminative
from congeal.methods.dvis.network import ValueOutput
from congeal.networks.embedding import EmbeddingOutput
from congeal.segmentation import Segmentation

LEVELS = 5  # gray values of objects: 100, 130, ..., 220, on a ground of 20


def discs(height, width, *, radius=6, gap=20, seed=0):
    """An image `(H, W, 1)` of discs in several grays; some touch. It ends in black and white."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width), 20, np.uint8)
    rows, columns = np.mgrid[:height, :width]
    for y in range(gap, height - gap // 2, gap):
        for x in range(gap, width - gap // 2, gap):
            r = radius * rng.uniform(0.6, 1.2)
            inside = (rows - y - rng.uniform(-3, 3)) ** 2 + (columns - x) ** 2 <= r**2
            image[inside] = 100 + 30 * rng.integers(LEVELS)
    image[0, :20], image[0, 20:40] = 0, 255  # so that parts differ in what they span
    return image[..., None]


def _level(image, stride=1):
    """Which gray `(B, 1, h, w)` each pixel has: below 0 the ground, else 0, 1, ..."""
    gray = functional.max_pool2d(image[:, :1], stride)
    return (gray * 255 - 100) / 30


def gray_rpe(**settings):
    """RPE that gives each gray a direction of its own."""
    model = RPE(
        dimensions=4, coordinates="none", repulsion_radius=12.0, min_area=4, fill_holes=True,
        **settings,
    )  # fmt: skip

    def forward(image):
        angle = _level(image, 2).clamp_min(0) * (math.pi / 4)
        zero = torch.zeros_like(angle)
        ground = -100 * (_level(image) + 0.5)
        semantic = torch.cat([ground, torch.zeros_like(ground)], 1)
        embedding = torch.cat([angle.cos(), angle.sin(), zero, zero], 1)
        return EmbeddingOutput(embedding, semantic, torch.full_like(ground, -9.0))

    model.forward = forward
    return model


def gray_discriminative(**settings):
    """The discriminative loss with an embedding of one gray value, and its two classes."""
    model = Discriminative(dimensions=2, min_area=4, split_components=True, **settings)
    stride = model.network.stride

    def forward(image):
        level = _level(image, stride)
        ground = -100 * (_level(image) + 0.5)
        maps = {"semantic": torch.cat([ground, torch.zeros_like(ground)], 1)}
        if model.config.task == "instances":
            maps["embedding"] = torch.cat([10 * level, torch.zeros_like(level)], 1)
        return maps

    model.forward = forward
    return model


def gray_dvis(**settings):
    """DVIS with gray values for its values."""
    model = DVIS(
        min_area=4, split_components=True, max_candidates=10_000, min_score=0.0, **settings
    )

    def forward(image):
        values = 4 * (_level(image, model.config.network.stride) + 1)
        stride = model.network.feature_stride
        size = [side // stride for side in image.shape[-2:]]
        features = image.new_zeros(len(image), model.network.feature_channels, *size)
        return ValueOutput(values * (values > 2), features)

    model.forward = forward
    return model


class Halos:
    """Calls every bright patch an object, with all that lies within three pixels of it."""

    def segment(self, image):
        from scipy import ndimage

        labels, count = ndimage.label(image[..., 0] > 60)
        masks = [ndimage.binary_dilation(labels == k, iterations=3) for k in range(1, count + 1)]
        empty = np.zeros((0, *image.shape[:2]), bool)
        return Segmentation.from_masks(np.stack(masks) if masks else empty)


class Edges:
    """A boundary map: how much the gray value changes to the right."""

    def segment(self, image):
        gray = image[..., 0].astype(np.float32) / 255
        return Segmentation.from_maps(boundary=np.abs(np.diff(gray, axis=1, append=gray[:, -1:])))
