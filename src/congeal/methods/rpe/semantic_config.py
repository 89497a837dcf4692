"""Settings of RPE for semantic segmentation, with the values of the paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import field_validator

from congeal.losses.pairwise import Sampling
from congeal.methods.sections import ImageSettings, MethodSettings, NetworkSettings, check_scales
from congeal.settings import Settings, setting
from congeal.tasks import TaskName

__all__ = ["SEMANTIC_PRESETS", "RPESemanticConfig"]

# Settings of each preset, by path.
SEMANTIC_PRESETS: Mapping[str, Mapping[str, Any]] = {
    "fast": {},
    "imagenet": {"network.encoder": "tf_efficientnet_lite0", "network.pretrained": True},
    "paper": {
        "network.encoder": "resnet101",
        "network.pretrained": True,
        "network.freeze_norm": True,
        "network.output_stride": 8,
        "network.stride": 8,
        "network.dimensions": 64,
        "network.pyramid_width": 256,
        "network.pyramid_rates": (96.0, 192.0, 288.0),
        "loss.negative_weight": 5.0,
        "loss.samples": 4000,
        "loss.sampling": "uniform",
        "training.augmentation": "kong2018",
        "training.batch_size": 1,
        "training.optimizer": "sgd",
        "training.weight_decay": 5e-4,
    },
}


class SemanticNetwork(NetworkSettings):
    """The network."""

    dimensions: int = setting(16, "D of the embedding", ge=2, paper="64")
    stride: Literal[2, 4, 8] = setting(
        4,
        "of the embedding and of the logits",
        unit="px",
        paper="8",
    )
    pyramid_width: int = setting(
        96, "channels of each branch of the atrous pyramid", ge=8, paper="256"
    )
    pyramid_rates: tuple[float, ...] = setting(
        (32.0, 64.0, 96.0),
        "dilation of the convolutions of the atrous pyramid, in pixels of the scaled image",
        unit="px",
        paper="96, 192, 288",
    )

    @field_validator("pyramid_rates")
    @classmethod
    def _positive(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if not values or min(values) <= 0:
            raise ValueError("expected at least one distance above 0")
        return values


class SemanticLoss(Settings):
    """Cross-entropy of the classes, and the pairwise loss with classes as groups."""

    margin: float = setting(0.5, "alpha, in calibrated cosine", ge=0, lt=1, paper="0.5")
    negative_weight: float = setting(1.0, "lambda, weight of the negative pairs", ge=0, paper="5")
    samples: int = setting(1024, "pixels sampled per image", ge=2, paper="4000")
    sampling: Sampling = setting("balanced", "of pixels: per class, or uniform", paper="uniform")
    mean_shift_steps: int = setting(
        1, "mean-shift steps the pairwise loss runs through", ge=0, paper="1"
    )
    eta: float = setting(1.0, "step length of mean shift", gt=0, le=1, paper="1")
    concentration: float | None = setting(
        None, "kappa of the kernel; none: 9 / (1 - margin)^2", gt=0, paper="9 / (1 - margin)^2"
    )
    embedding_weight: float = setting(
        1.0, "weight of the pairwise loss; 0: cross-entropy alone", ge=0
    )


class SemanticDecoding(Settings):
    """From logits to classes; the weights do not depend on these settings."""

    scales: tuple[float, ...] = setting(
        (1.0,), "averages probabilities at these sizes relative to input.scale", adjustable=True
    )
    mirror: bool = setting(
        False, "averages with probabilities of the mirrored image", adjustable=True
    )

    @field_validator("scales")
    @classmethod
    def _in_range(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        return check_scales(values)


class RPESemanticConfig(MethodSettings):
    """Settings of :class:`RPESemantic`; all are saved with a model.

    Example:
        >>> RPESemanticConfig.from_settings({"mirror": True}).decoding.mirror
        True
    """

    task: TaskName = setting("semantic", "what the model is for")
    input: ImageSettings = ImageSettings()
    network: SemanticNetwork = SemanticNetwork()
    loss: SemanticLoss = SemanticLoss()
    decoding: SemanticDecoding = SemanticDecoding()
