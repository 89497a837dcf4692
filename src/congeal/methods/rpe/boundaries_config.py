"""Settings of RPE for boundaries, with the values of the paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import field_validator

from congeal.losses.pairwise import Sampling
from congeal.methods.method import SearchStep
from congeal.methods.sections import ImageSettings, MethodSettings, NetworkSettings, check_scales
from congeal.settings import Settings, setting
from congeal.tasks import TaskName

__all__ = ["BOUNDARY_PRESETS", "BOUNDARY_SEARCH", "RPEBoundariesConfig"]

# Settings of each preset, by path.
BOUNDARY_PRESETS: Mapping[str, Mapping[str, Any]] = {
    "fast": {},
    # Without dilation a step takes a third of the time: three times as many updates per minute.
    "imagenet": {
        "network.encoder": "tf_efficientnet_lite0",
        "network.pretrained": True,
        "network.output_stride": 32,
    },
    "paper": {
        "network.encoder": "resnet50",
        "network.pretrained": True,
        "network.freeze_norm": True,
        "network.output_stride": 8,
        "network.stride": 4,
        "network.top_down": False,
        "loss.samples": 4000,
        "loss.sampling": "uniform",
        "decoding.side_weight": 0.8,
        "training.augmentation": "kong2018",
        "training.batch_size": 1,
        "training.optimizer": "sgd",
        "training.weight_decay": 5e-4,
    },
}


class BoundaryNetwork(NetworkSettings):
    """The network."""

    dimensions: int = setting(
        3, "D of the embedding of each side output; 3 can be shown as colours", ge=2, paper="3"
    )
    stride: Literal[2, 4] = setting(2, "of the finest side output", unit="px", paper="4")
    top_down: bool = setting(
        True, "side outputs also use coarser features, through the decoder", paper="false"
    )


class BoundaryLoss(Settings):
    """The pairwise loss of boundary and other pixels, and the logistic loss."""

    consensus: float = setting(
        0.3,
        "minimum share of annotators of a boundary pixel; below it, marked pixels are void",
        gt=0,
        le=1,
    )
    margin: float = setting(0.1, "alpha, in calibrated cosine", ge=0, lt=1)
    negative_weight: float = setting(1.0, "lambda, weight of the negative pairs", ge=0)
    samples: int = setting(1024, "pixels sampled per image and side output", ge=2, paper="4000")
    sampling: Sampling = setting(
        "balanced", "of pixels: boundary and others alike, or uniform", paper="uniform"
    )
    embedding_share: float = setting(
        0.3,
        "share of the training for the embedding alone, before fine-tuning; 0: none",
        ge=0,
        lt=1,
    )
    embedding_weight: float = setting(
        0.0, "weight of the pairwise loss during fine-tuning", ge=0, paper="0"
    )
    balance: float = setting(
        1.0, "weights of the logistic loss: 1 equal per class, 0 equal per pixel", ge=0, le=1
    )


class BoundaryDecoding(Settings):
    """From maps to a boundary map; the weights do not depend on these settings."""

    scales: tuple[float, ...] = setting(
        (1.0,), "averages maps at these sizes relative to input.scale", adjustable=True
    )
    side_weight: float = setting(
        0.5,
        "weight of the mean of the side maps; 1 - this is the weight of the fusion",
        ge=0,
        le=1,
        paper="0.8",
        adjustable=True,
    )
    smoothing: float = setting(
        1.0, "Gaussian smoothing of the result", ge=0, le=8, unit="px", adjustable=True
    )
    thin: bool = setting(True, "edge non-maximum suppression", paper="true", adjustable=True)

    @field_validator("scales")
    @classmethod
    def _in_range(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        return check_scales(values)


class RPEBoundariesConfig(MethodSettings):
    """Settings of :class:`RPEBoundaries`; all are saved with a model.

    Example:
        >>> RPEBoundariesConfig.from_settings({"scales": (0.5, 1.0)}).decoding.scales
        (0.5, 1.0)
    """

    task: TaskName = setting("boundaries", "what the model is for")
    input: ImageSettings = ImageSettings()
    network: BoundaryNetwork = BoundaryNetwork()
    loss: BoundaryLoss = BoundaryLoss()
    decoding: BoundaryDecoding = BoundaryDecoding()


def _side_weight(value: float, way: int) -> float | None:
    ahead = round(value + 0.25 * way, 3)
    return ahead if 0 <= ahead <= 1 else None


def _smoothing(value: float, way: int) -> float | None:
    ahead = round(value + 0.5 * way, 3)
    return ahead if 0 <= ahead <= 4 else None


BOUNDARY_SEARCH: Mapping[str, SearchStep] = {
    "decoding.smoothing": _smoothing,
    "decoding.side_weight": _side_weight,
}
