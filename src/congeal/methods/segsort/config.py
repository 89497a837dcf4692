"""Settings of SegSort, with the values of the paper."""

from __future__ import annotations

from typing import Literal

from congeal.methods.sections import ImageSettings, MethodSettings, NetworkSettings
from congeal.settings import Settings, setting

__all__ = ["SegSortConfig"]


class SegSortInput(ImageSettings):
    """Input of the network, for training, index and prediction."""

    scale: float = setting(
        1.0,
        "relative size of the network's input; lengths of other settings are in pixels of the "
        "scaled image; cannot change after training, since the index depends on it",
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
        False, "pyramid pooling of the coarsest features, 1, 2, 3 and 6 cells", paper="true"
    )


class SegSortLoss(Settings):
    """Segments by k-means, and the vMF losses."""

    unsupervised: bool = setting(False, "train without classes, on segments from contours")
    contours: str | None = setting(
        None,
        "boundary maps for unsupervised training: a folder of files named like the images, or a "
        "model for boundaries; none: image gradient",
        paper="HED",
    )
    contour_threshold: float = setting(
        0.5, "regions are merged up to this boundary strength", ge=0, le=1, paper="0.5"
    )
    grid: int = setting(5, "k-means starts from grid x grid cells", ge=1, paper="5")
    iterations: int = setting(10, "iterations of k-means", ge=0, paper="10")
    location_weight: float = setting(
        1.0, "weight of the pixel position in the features of k-means", ge=0, paper="1"
    )
    concentration: float = setting(10.0, "kappa of the vMF losses", gt=0, paper="10")
    memory: int = setting(2, "earlier batches with segments in the loss", ge=0, paper="2")
    samples: int | None = setting(
        512, "pixels sampled per image for the loss; none: all", ge=1, paper="all"
    )


class SegSortDecoding(Settings):
    """From embeddings to classes; the weights do not depend on these settings."""

    k: int = setting(
        15,
        "nearest prototypes that vote on the class of a segment",
        ge=1,
        paper="15",
        adjustable=True,
    )
    cells: int | None = setting(
        None,
        "k-means starts from cells x cells cells; none: loss.grid",
        ge=1,
        adjustable=True,
    )
    hierarchy: bool = setting(
        False,
        "adds a region hierarchy from embedding and image gradient; takes about 1 s per image",
        adjustable=True,
    )


class SegSortConfig(MethodSettings):
    """Settings of :class:`SegSort`; all are saved with a model.

    Example:
        >>> SegSortConfig.from_settings({"task": "semantic", "k": 21}).decoding.k
        21
    """

    input: SegSortInput = SegSortInput()
    network: SegSortNetwork = SegSortNetwork()
    loss: SegSortLoss = SegSortLoss()
    decoding: SegSortDecoding = SegSortDecoding()
