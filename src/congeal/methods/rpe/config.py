"""Settings of Recurrent Pixel Embedding, with the values of the paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import field_validator, model_validator

from congeal.errors import unknown
from congeal.grouping.registry import GROUPINGS
from congeal.losses.pairwise import Sampling
from congeal.methods.sections import InputSettings, MethodSettings, NetworkSettings
from congeal.networks.embedding import Coordinates
from congeal.settings import Settings, setting

__all__ = ["PRESETS", "ObjectConfig", "RPEConfig", "RPEDecoding", "current_settings"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)

# Settings of each preset, by path.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "fast": {},
    "paper": {
        "network.encoder": "resnet101",
        "network.pretrained": True,
        "network.freeze_norm": True,
        "network.dimensions": 64,
        "network.coordinates": "none",
        "network.stride": 4,
        "loss.background": "group",
        "loss.margin": 0.5,
        "loss.negative_weight": 5.0,
        "loss.samples": 4000,
        "loss.sampling": "uniform",
        "training.augmentation": "kong2018",
        "training.batch_size": 1,
        "training.optimizer": "sgd",
        "training.weight_decay": 5e-4,
    },
}


class ObjectNetwork(NetworkSettings):
    """The network, for one class of objects."""

    dimensions: int = setting(16, "D of the embedding", ge=2, paper="64")
    stride: Literal[2, 4] = setting(2, "of the embedding", unit="px")
    coordinates: Coordinates = setting("rotary", "position encoding of pixels")
    wavelengths: tuple[float, float] = setting(
        (32.0, 160.0), "shortest and longest of rotary coordinates", unit="px"
    )


class RPENetwork(ObjectNetwork):
    """The network."""

    classifier: Literal["pooled", "vote"] = setting(
        "pooled",
        "class of an object: from pooled features, or by a vote of its pixels",
        paper="vote",
    )


class ObjectLoss(Settings):
    """The pairwise loss, and the mean shift inside it."""

    background: Literal["head", "group"] = setting(
        "head",
        "how background is separated: by a semantic head, or as one more group",
        paper="group",
    )
    margin: float = setting(0.5, "alpha, in calibrated cosine", ge=0, lt=1, paper="0.5")
    negative_weight: float = setting(1.0, "lambda, weight of the negative pairs", ge=0, paper="5")
    samples: int = setting(1024, "pixels sampled per image", ge=2, paper="4000")
    sampling: Sampling = setting("balanced", "of pixels: per object, or uniform", paper="uniform")
    repulsion_radius: float | None = setting(
        None, "only pixels closer than this repel each other; none: all", gt=0, unit="px"
    )
    mean_shift_steps: int = setting(1, "mean-shift steps in the loss", ge=0, paper="1")
    mean_shift_start: float = setting(
        0.0, "share of the training after which the loss includes these steps", ge=0, le=1
    )
    eta: float = setting(1.0, "step length of mean shift", gt=0, le=1, paper="1")
    concentration: float | None = setting(
        None, "kappa of the kernel; none: 9 / (1 - margin)^2", gt=0, paper="9 / (1 - margin)^2"
    )
    learn_concentration: bool = setting(False, "makes kappa a learned parameter")
    embedding_weight: float = setting(1.0, "weight of the pairwise loss", ge=0)
    touching_weight: float = setting(0.3, "weight of the loss of the touching map", ge=0)


class RPELoss(ObjectLoss):
    """The pairwise loss, and the loss of object classes."""

    class_weight: float = setting(
        1.0,
        "weight of the loss of object classes, if there are several",
        ge=0,
    )


class RPEDecoding(Settings):
    """From embeddings to objects; the weights do not depend on these settings."""

    tta: Literal[1, 2, 4, 8] = setting(
        1, "test-time augmentation: average of rotated and mirrored predictions", adjustable=True
    )
    foreground_threshold: float = setting(
        0.5, "minimum probability of a foreground pixel", gt=0, lt=1, adjustable=True
    )
    min_area: float = setting(
        16.0,
        "smaller objects join a neighbour or are removed",
        ge=0,
        unit="px",
        adjustable=True,
    )
    min_area_ratio: float = setting(
        0.0, "min_area relative to the median area in the image", ge=0, lt=1, adjustable=True
    )
    score: Literal["foreground", "regressor"] = setting(
        "foreground",
        "mean foreground probability, or IoU predicted by a regressor from shape and classes",
        adjustable=True,
        paper="regressor",
    )
    min_score: float = setting(
        0.0, "minimum mean foreground probability of an object", ge=0, lt=1, adjustable=True
    )
    merge_margin: float | None = setting(
        None, "margin between modes; none: loss.margin", ge=0, lt=1, adjustable=True
    )
    kernel_radius: float | None = setting(
        None,
        "only pixels closer than this attract each other; none: half the repulsion radius",
        gt=0,
        unit="px",
        adjustable=True,
    )
    decode_concentration: float | None = setting(
        None, "kappa of decoding; none: kappa of the loss", gt=0, adjustable=True
    )
    split_components: bool = setting(
        False, "splits objects into connected components", adjustable=True
    )
    fill_holes: bool = setting(False, "fills holes in objects", adjustable=True)
    seed_power: float = setting(
        2.0, "exponent of the seed weights of pixels; 0: equal weights", ge=0, adjustable=True
    )
    grouping: str = setting(
        "auto", "auto (mean shift with the kernel radius, if any) or a name", adjustable=True
    )
    grouping_options: dict[str, bool | int | float | str | list[float]] = setting(
        {}, "options of the grouping", adjustable=True
    )

    @field_validator("grouping")
    @classmethod
    def _known_grouping(cls, name: str) -> str:
        if name != "auto" and name not in GROUPINGS:
            raise unknown("grouping", name, ["auto", *GROUPINGS])
        return name


class ObjectConfig(MethodSettings):
    """Common settings of the tasks instances and proposals."""

    input: InputSettings = InputSettings()
    network: ObjectNetwork = ObjectNetwork()
    loss: ObjectLoss = ObjectLoss()
    decoding: RPEDecoding = RPEDecoding()

    @model_validator(mode="after")
    def _even_dimensions(self) -> Self:
        c = self.network
        if c.coordinates in ("rotary", "both") and c.dimensions % 2:
            raise ValueError(
                f"rotary coordinates need an even number of dimensions, got {c.dimensions}"
            )
        return self


class RPEConfig(ObjectConfig):
    """Settings of :class:`RPE`; all are saved with a model.

    Example:
        >>> RPEConfig.from_settings({"dimensions": 8}).network.dimensions
        8
    """

    network: RPENetwork = RPENetwork()
    loss: RPELoss = RPELoss()

    renamed: ClassVar[Mapping[str, str]] = {
        "pixel_mean": "network.mean",
        "pixel_deviation": "network.deviation",
        "zoom": "input.scale",
        "magnify": "input.min_object_area",
        "tone": "input.gamma",
        "reach": "loss.repulsion_radius",
        "train_steps": "loss.mean_shift_steps",
        "shift_from": "loss.mean_shift_start",
        "step_size": "loss.eta",
        "boundary_weight": "loss.touching_weight",
        "views": "decoding.tta",
        "foreground": "decoding.foreground_threshold",
        "smallest": "decoding.min_area",
        "fragment": "decoding.min_area_ratio",
        "least_score": "decoding.min_score",
        "merge": "decoding.merge_margin",
        "read_concentration": "decoding.decode_concentration",
        "connected": "decoding.split_components",
        "holes": "decoding.fill_holes",
    }


def current_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Add settings that version 0.1 did not have to stored settings.

    Version 0.1 determined classes by vote, and normalised the input of every timm encoder with the
    moments of ImageNet.

    Example:
        >>> current_settings({"dimensions": 8})
        {'dimensions': 8, 'network.classifier': 'vote'}
    """
    named = {**settings, **settings.get("network", {})}
    found = dict(settings)
    if not {"classifier", "network.classifier"} & {*named}:
        found["network.classifier"] = "vote"
    if settings.get("encoder", "compact") == "compact":
        return found
    moments = ("pixel_mean", "pixel_deviation")  # None in version 0.1: those of ImageNet
    given = {k: v for k, v in found.items() if not (k in moments and v is None)}
    return {
        "network.mean": IMAGENET_MEAN,
        "network.deviation": IMAGENET_DEVIATION,
        **given,
    }
