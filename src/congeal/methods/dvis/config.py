"""Settings of Deep Variational Instance Segmentation, with the values of the paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import field_validator

from congeal.losses.variational_terms import Pairs
from congeal.methods.sections import InputSettings, MethodSettings, NetworkSettings
from congeal.settings import Settings, setting

__all__ = ["PRESETS", "DVISConfig"]

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "fast": {},
    "paper": {
        "network.encoder": "resnet50",
        "network.pretrained": True,
        "network.freeze_norm": True,
        "network.output_stride": 8,
        "network.stride": 4,
        "network.channels": 1,
        "network.coordinates": "none",
        "network.verification_width": 256,
        "network.object_pooling": False,
        "network.features": "encoder",
        "network.verification_stride": 1,
        "network.box_margin": 0.0,
        "network.settle_norm": 0.0,
        "loss.permutation_weight": 0.2,
        "loss.different_weight": 1.0,
        "loss.window": 129,
        "loss.centre": 8,
        "loss.dilation": 8,
        "loss.repulsion_radius": None,
        "loss.positive_iou": 0.2,
        "loss.jitter": 0.0,
        "loss.candidate_share": 1.0,
        "decoding.bandwidths": (0.9, 0.4),
        "training.optimizer": "sgd",
        "training.weight_decay": 5e-4,
    },
}
"""Settings by preset; what is not named keeps its default or follows from the images."""


class DVISNetwork(NetworkSettings):
    """The network of the value map, and the one that verifies candidates."""

    output_stride: int = setting(
        32, "largest stride of a timm encoder: 8, 16 or 32", unit="px", paper="8"
    )
    channels: int = setting(1, "C, numbers per pixel", ge=1, paper="1")
    stride: Literal[2, 4] = setting(2, "of the value map", unit="px", paper="4")
    coordinates: Literal["none", "channels", "head"] = setting(
        "head",
        "head: values start from row and column of each pixel; channels: the image has both",
        paper="none",
    )
    settle_norm: float = setting(
        0.5,
        "share of the training of the value map after which batch norm keeps its moments",
        ge=0,
        le=1,
        paper="0",
    )
    features: Literal["decoder", "encoder"] = setting(
        "decoder",
        "what candidates are verified by: the map of the decoder, at the stride of the value map, "
        "or features of the encoder from stride 8 on",
        paper="encoder",
    )
    verification_width: int = setting(
        32, "channels of the first layers of the verification network", ge=8, paper="256"
    )
    verification_stride: Literal[1, 2] = setting(
        2, "of the third layer of the verification network, in cells of 14 x 14", paper="1"
    )
    object_pooling: bool = setting(
        True,
        "classes also follow from features pooled over the candidate, mean and largest value",
        paper="false",
    )
    box_margin: float = setting(
        0.2, "by which share the box of a candidate grows on each side", ge=0, le=2, paper="0"
    )


class DVISLoss(Settings):
    """The variational loss of the value map, and the losses of the verification."""

    binary_weight: float = setting(10.0, "weight of the binary term", ge=0, paper="10")
    permutation_weight: float = setting(
        5.0, "weight of the permutation-invariant term", ge=0, paper="0.2"
    )
    mumford_shah_weight: float = setting(0.1, "weight of the Mumford-Shah term", ge=0, paper="0.1")
    quantisation_weight: float = setting(0.5, "weight of the quantisation term", ge=0, paper="0.5")
    object_margin: float = setting(2.0, "m_1, least value on objects", gt=0, paper="2")
    margin: float = setting(1.0, "m_2, least difference between objects", gt=0, paper="1")
    theta: float = setting(
        0.1, "where the Huber loss turns from a square to a line", gt=0, paper="0.1"
    )
    pairs: Pairs = setting(
        "window",
        "pairs of pixels: of a window around each, or drawn from the whole image",
        paper="window, random for large images",
    )
    window: int = setting(129, "side, odd", unit="output px", ge=3, paper="129")
    centre: int = setting(
        8, "c, distance within which every pixel is a partner", unit="output px", ge=0, paper="8"
    )
    dilation: int = setting(
        8, "r, step of the grid of partners further out", unit="output px", ge=1, paper="8"
    )
    pair_count: int = setting(65536, "random pairs drawn per image", ge=1)
    different_weight: float = setting(
        3.0, "weight of pairs of two objects", ge=0, paper="1, in its code 3"
    )
    repulsion_radius: float | None = setting(
        None,
        "distance up to which objects repel; connectedness separates those further apart; "
        "none: everywhere",
        gt=0,
        unit="px",
        paper="none",
    )
    class_weight: float = setting(10.0, "weight of the cross-entropy of candidates", ge=0)
    iou_weight: float = setting(1.0, "weight of the Huber loss of predicted IoU", ge=0)
    positive_iou: float = setting(
        0.5, "candidates have a class from this IoU on", gt=0, le=1, paper="0.2"
    )
    negative_iou: float = setting(
        0.1, "candidates are background up to this IoU", ge=0, le=1, paper="0.1"
    )
    joint: bool = setting(
        True,
        "train verification and value map together, the encoder by both, classes from true masks "
        "from the start on; false: one after the other, and the encoder does not learn classes",
    )
    candidates_from: float = setting(
        0.4, "share of a joint training after which candidates are verified", ge=0, le=1
    )
    candidate_share: float = setting(
        0.25,
        "share of the images that candidates are looked for in during training, which takes time",
        gt=0,
        le=1,
    )
    true_candidates: bool = setting(
        True, "true objects join the candidates in training, so that good ones are never lacking"
    )
    jitter: float = setting(
        0.2,
        "furthest shift of every other true mask, relative to the root of its area, so that the "
        "IoU to predict is not always 1",
        ge=0,
        le=1,
        paper="0",
    )
    candidates: int = setting(
        8, "candidates drawn per image in training, and true objects beside them", ge=1
    )

    @field_validator("window")
    @classmethod
    def _odd(cls, window: int) -> int:
        if window % 2 == 0:
            raise ValueError("expected an odd number")
        return window


class DVISDecoding(Settings):
    """From the value map to objects, and to the candidates that the verification learns from."""

    bandwidths: tuple[float, ...] = setting(
        (0.9, 0.4, 0.2),
        "of mean shift, one set of candidates each",
        adjustable=True,
        paper="0.9, 0.4",
    )
    foreground_threshold: float = setting(
        1.0, "value from which a pixel is foreground", gt=0, adjustable=True
    )
    min_area: float = setting(16.0, "smaller candidates go", ge=0, unit="px", adjustable=True)
    split_components: bool | None = setting(
        None,
        "split candidates into connected components; none: if there is a repulsion radius",
        adjustable=True,
    )
    duplicate_iou: float = setting(
        0.9,
        "of two candidates with this mask IoU one is left out before verification",
        gt=0,
        le=1,
        adjustable=True,
    )
    max_candidates: int = setting(
        256, "candidates verified per image, the largest", ge=1, adjustable=True
    )
    iou_share: float = setting(
        0.5,
        "a of score = a S_iou + (1 - a) S_cls; 1 for data of one class",
        ge=0,
        le=1,
        adjustable=True,
    )
    min_score: float = setting(0.5, "candidates that score less go", ge=0, lt=1, adjustable=True)
    max_overlap: float = setting(
        0.3,
        "of two accepted candidates with a larger mask IoU the better stays",
        ge=0,
        le=1,
        adjustable=True,
    )
    fill_holes: bool = setting(False, "fill holes in candidates", adjustable=True)

    @field_validator("bandwidths")
    @classmethod
    def _positive(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if not values or min(values) <= 0:
            raise ValueError("expected at least one bandwidth, all above 0")
        return values


class DVISConfig(MethodSettings):
    """Settings of :class:`DVIS`; all of them travel with a saved model.

    Example:
        >>> DVISConfig.from_settings({"window": 65}).loss.window
        65
    """

    input: InputSettings = InputSettings()
    network: DVISNetwork = DVISNetwork()
    loss: DVISLoss = DVISLoss()
    decoding: DVISDecoding = DVISDecoding()
