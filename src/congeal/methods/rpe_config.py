"""Settings of Recurrent Pixel Embedding, checked in one place."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from congeal.errors import CongealError, unknown
from congeal.grouping.registry import GROUPINGS
from congeal.losses.pairwise import Sampling
from congeal.networks.decoders import DecoderSize
from congeal.networks.embedding import Coordinates

__all__ = ["READ_OUT", "RPEConfig", "make_config", "normalisation"]

# What may change when the weights are there; all else is part of how they came about.
READ_OUT = (
    "zoom",
    "magnify",
    "views",
    "foreground",
    "smallest",
    "fragment",
    "least_score",
    "merge",
    "reach",
    "read_concentration",
    "connected",
    "holes",
    "seed_power",
    "grouping",
    "grouping_options",
)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


class RPEConfig(BaseModel):
    """Settings of :class:`RPE`; all of them travel with a saved model.

    Example:
        >>> RPEConfig(dimensions=8).margin
        0.5
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    encoder: str = Field("compact", description="'compact' or the name of a timm model")
    pretrained: bool = Field(False, description="take timm's weights for the encoder")
    encoder_weights: str | None = Field(None, description="local file of encoder weights")
    output_stride: int = Field(8, description="of a timm encoder: 8, 16 or 32")
    freeze_norm: bool = Field(False, description="hold the encoder's batch norm to its moments")
    encoder_levels: int | None = Field(
        None, ge=1, description="feature maps of a timm encoder to take, finest first; None: all"
    )
    frozen_levels: int = Field(
        0, ge=0, description="feature maps up to which a timm encoder keeps its weights"
    )
    decoder: DecoderSize = Field("light", description="wide: more channels from stride 2 on")
    dimensions: int = Field(16, ge=2, description="D of the embedding")
    class_names: tuple[str, ...] = Field(("object",), min_length=1)
    stride: Literal[2, 4] = Field(2, description="of the embedding")
    coordinates: Coordinates = "rotary"
    wavelengths: tuple[float, float] = Field((32.0, 160.0), description="of rotary, in pixels")
    pixel_mean: tuple[float, ...] | None = Field(None, description="None: the encoder's habit")
    pixel_deviation: tuple[float, ...] | None = None
    zoom: float = Field(
        1.0,
        ge=0.01,
        le=16,
        description="size at which the network sees an image, relative; all lengths and areas "
        "of the other settings are in pixels of the zoomed image",
    )
    magnify: float = Field(
        0.0,
        ge=0,
        description="pixels; where the median object of an image has fewer, the network sees the "
        "image enlarged until it has as many, its sides at most doubled",
    )
    tone: float = Field(
        1.0, gt=0, description="power of the intensities shown to the network; .5 lifts the dark"
    )

    background: Literal["head", "group"] = Field(
        "head", description="told by the semantic head, or one more group (the paper)"
    )
    margin: float = Field(0.5, ge=0, lt=1, description="alpha, in calibrated cosine")
    negative_weight: float = Field(1.0, ge=0, description="lambda")
    samples: int = Field(1024, ge=2, description="pixels drawn per image for the pair loss")
    sampling: Sampling = "balanced"
    reach: float | None = Field(
        None, gt=0, description="objects repel only where closer than this, in pixels"
    )
    train_steps: int = Field(1, ge=0, description="mean-shift steps the loss runs through")
    shift_from: float = Field(
        0.0, ge=0, le=1, description="share of the training after which the loss runs through them"
    )
    step_size: float = Field(1.0, gt=0, le=1, description="eta")
    concentration: float | None = Field(None, gt=0, description="kappa; None: from the margin")
    learn_concentration: bool = False
    embedding_weight: float = Field(1.0, ge=0, description="of the pair loss in the sum")
    boundary_weight: float = Field(0.3, ge=0, description="of the loss of the touching map")

    views: Literal[1, 2, 4, 8] = Field(
        1, description="times an image is looked at, turned and mirrored"
    )
    foreground: float = Field(0.5, gt=0, lt=1, description="probability that makes foreground")
    smallest: float = Field(16.0, ge=0, description="smallest object, in pixels")
    fragment: float = Field(
        0.0, ge=0, lt=1, description="smallest object as a share of the median one in its image"
    )
    least_score: float = Field(0.0, ge=0, lt=1, description="objects that score less are dropped")
    merge: float | None = Field(
        None, ge=0, lt=1, description="margin used when reading modes out; None: the loss's"
    )
    read_concentration: float | None = Field(None, gt=0, description="kappa when reading out")
    connected: bool = Field(False, description="split objects into connected parts")
    holes: bool = Field(False, description="fill holes in objects")
    seed_power: float = Field(2.0, ge=0, description="sharpness of the trust in seed pixels")
    grouping: str = Field(
        "auto", description="mean shift as the reach asks, or a name of congeal.grouping.GROUPINGS"
    )
    grouping_options: dict[str, bool | int | float | str | list[float]] = Field(
        {}, description="settings of the grouping named"
    )

    @field_validator("output_stride")
    @classmethod
    def _known_stride(cls, stride: int) -> int:
        if stride not in (8, 16, 32):
            raise ValueError("expected 8, 16 or 32")
        return stride

    @field_validator("grouping")
    @classmethod
    def _known_grouping(cls, name: str) -> str:
        if name != "auto" and name not in GROUPINGS:
            raise unknown("grouping", name, ["auto", *GROUPINGS])
        return name

    @field_validator("pixel_mean", "pixel_deviation")
    @classmethod
    def _one_or_three(cls, values: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if values is not None and len(values) not in (1, 3):
            raise ValueError("expected one number or three")
        return values

    @model_validator(mode="after")
    def _even_dimensions(self) -> RPEConfig:
        if self.coordinates in ("rotary", "both") and self.dimensions % 2:
            raise ValueError(
                f"rotary coordinates need an even number of dimensions, got {self.dimensions}"
            )
        return self


def make_config(config: RPEConfig | None, settings: dict[str, Any]) -> RPEConfig:
    """Change settings of a config, or make one.

    Raises:
        CongealError: a setting is unknown (the nearest is suggested) or out of range.

    Example:
        >>> make_config(RPEConfig(margin=0.4), {"dimensions": 8}).margin
        0.4
    """
    if config is not None and not settings:
        return config
    for name in settings:
        if name not in RPEConfig.model_fields:
            raise unknown("setting", name, RPEConfig.model_fields)
    base = {} if config is None else config.model_dump()
    try:
        return RPEConfig(**{**base, **settings})
    except ValidationError as error:
        first = error.errors()[0]
        said = first["msg"].removeprefix("Value error, ")
        where = ".".join(str(part) for part in first["loc"])
        line = f"{where}: {said}, got {first['input']!r}" if where else said
        raise CongealError(line) from error


def normalisation(config: RPEConfig) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation that pixels are normalised by: those given, or the encoder's habit.

    Example:
        >>> normalisation(RPEConfig())
        ((0.0,), (1.0,))
    """
    learned = config.encoder != "compact"
    mean = config.pixel_mean or (IMAGENET_MEAN if learned else (0.0,))
    deviation = config.pixel_deviation or (IMAGENET_DEVIATION if learned else (1.0,))
    return mean, deviation
