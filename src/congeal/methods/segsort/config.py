"""Settings of SegSort, with the values of the paper."""

from __future__ import annotations

from typing import Literal

from congeal.methods.sections import ImageSettings, MethodSettings, NetworkSettings
from congeal.settings import Settings, setting

__all__ = ["SegSortConfig"]


class SegSortInput(ImageSettings):
    """How an image is shown to the network; the index is of images shown in this way."""

    scale: float = setting(
        1.0,
        "relative size at which the network sees an image, those of the index too; lengths of "
        "other settings are in pixels of the scaled image",
        ge=0.01,
        le=16,
    )
    percentiles: tuple[float, float] = setting(
        (1.0, 99.8), "intensities that become 0 and 1", unit="%"
    )


class SegSortNetwork(NetworkSettings):
    """The network."""

    dimensions: int = setting(32, "D of the embedding", ge=2, paper="32")
    stride: Literal[2, 4, 8] = setting(2, "of the embedding", unit="px", paper="8")
    pyramid_pooling: bool = setting(
        False, "means over 1, 2, 3 and 6 cells join the coarsest features", paper="true"
    )


class SegSortLoss(Settings):
    """Pixel sorting by k-means, segment sorting by the vMF losses."""

    unsupervised: bool = setting(
        False, "learn without classes: each pixel is drawn to its own segment, from contours"
    )
    contours: str | None = setting(
        None,
        "boundary maps that make the segments of unsupervised training: a folder of files named "
        "after the images, or a model for boundaries; none: the gradient of the image",
        paper="HED",
    )
    contour_threshold: float = setting(
        0.5, "boundary strength up to which regions are joined", ge=0, le=1, paper="0.5"
    )
    grid: int = setting(5, "cells along each side from which k-means starts", ge=1, paper="5")
    iterations: int = setting(10, "of k-means", ge=0, paper="10")
    location_weight: float = setting(
        1.0, "weight of a pixel's place in the features of k-means", ge=0, paper="1"
    )
    concentration: float = setting(10.0, "kappa of the vMF losses", gt=0, paper="10")
    memory: int = setting(2, "earlier batches whose segments join the loss", ge=0, paper="2")
    samples: int | None = setting(
        512, "pixels drawn from each image for the loss; none: all", ge=1, paper="all"
    )


class SegSortDecoding(Settings):
    """From embeddings to classes; the weights do not depend on these settings."""

    k: int = setting(
        15, "nearest prototypes that vote on a segment's class", ge=1, paper="15", adjustable=True
    )
    cells: int | None = setting(
        None,
        "cells along each side from which k-means starts; none: the grid of the loss",
        ge=1,
        adjustable=True,
    )
    hierarchy: bool = setting(
        False,
        "regions by boundary strength beside the classes, from embedding and gradient; a second "
        "an image",
        adjustable=True,
    )


class SegSortConfig(MethodSettings):
    """Settings of :class:`SegSort`; all of them travel with a saved model.

    Example:
        >>> SegSortConfig.from_settings({"task": "semantic", "k": 21}).decoding.k
        21
    """

    input: SegSortInput = SegSortInput()
    network: SegSortNetwork = SegSortNetwork()
    loss: SegSortLoss = SegSortLoss()
    decoding: SegSortDecoding = SegSortDecoding()
