"""Sections of settings that several methods share: input, network, and what every config has."""

from __future__ import annotations

from typing import Any

from pydantic import field_validator

from congeal.networks.decoders import DecoderSize
from congeal.settings import Settings, setting
from congeal.tasks import TaskName

__all__ = ["ImageSettings", "InputSettings", "MethodSettings", "NetworkSettings", "check_scales"]


def check_scales(values: tuple[float, ...]) -> tuple[float, ...]:
    """Check the sizes, relative to the image, whose predictions are averaged.

    Raises:
        ValueError: there is none, or one is not from 0.1 to 4.

    Example:
        >>> check_scales((0.5, 1.0))
        (0.5, 1.0)
    """
    if not values or not all(0.1 <= value <= 4 for value in values):
        raise ValueError("expected at least one scale, each from 0.1 to 4")
    return values


class ImageSettings(Settings):
    """How an image is shown to the network."""

    channels: tuple[int, ...] | None = setting(
        None,
        "channels of the images that the network is shown, in this order; none: gray or RGB",
    )
    scale: float = setting(
        1.0,
        "relative size at which the network sees an image; lengths and areas of other settings "
        "are in pixels of the scaled image",
        ge=0.01,
        le=16,
        adjustable=True,
    )
    pixel_size: float | None = setting(
        None,
        "size of a pixel of the training images, before scale; images of another known size are "
        "resized to it; none: not known",
        unit="um",
        gt=0,
        adjustable=True,
    )
    gamma: float = setting(1.0, "power of the intensities; .5 lifts the dark", gt=0)
    percentiles: tuple[float, float] = setting(
        (1.0, 99.8), "intensities that become 0 and 1", unit="%", adjustable=True
    )

    @property
    def planes(self) -> int:
        """Channels of the network's input: three for gray, two or RGB, else as many as chosen."""
        return max(3, len(self.channels or ()))

    @field_validator("channels")
    @classmethod
    def _from_zero(cls, values: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if values is not None and (not values or min(values) < 0):
            raise ValueError("expected channels from 0 up, such as 0,2")
        return values

    @field_validator("percentiles")
    @classmethod
    def _ordered(cls, values: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= values[0] < values[1] <= 100:
            raise ValueError("expected 0 <= low < high <= 100")
        return values


class InputSettings(ImageSettings):
    """The same, for methods that look for objects."""

    min_object_area: float = setting(
        0.0,
        "images whose median object is smaller are predicted again, upscaled at most twice; 0: off",
        unit="px",
        ge=0,
        adjustable=True,
    )


class NetworkSettings(Settings):
    """An encoder of timm, or the compact one, and the decoder behind it."""

    encoder: str = setting(
        "compact", "compact, or the name of a timm model", paper="resnet50, resnet101"
    )
    pretrained: bool = setting(False, "start from ImageNet weights of the encoder", paper="true")
    encoder_weights: str | None = setting(None, "local file of encoder weights")
    output_stride: int = setting(8, "of a timm encoder: 8, 16 or 32", unit="px", paper="8")
    freeze_norm: bool = setting(
        False, "keep the moments of the encoder's batch norm fixed", paper="true"
    )
    encoder_levels: int | None = setting(
        None, "feature maps of a timm encoder to take, finest first; none: all", ge=1
    )
    frozen_levels: int = setting(
        0, "feature maps up to which a timm encoder keeps its weights", ge=0
    )
    decoder: DecoderSize = setting("light", "wide: more channels from stride 2 on")
    mean: tuple[float, ...] | None = setting(
        None, "subtracted from the image, one number or three; none: as the encoder was trained"
    )
    deviation: tuple[float, ...] | None = setting(
        None, "the image is divided by it; none: as the encoder was trained"
    )

    @property
    def encoder_options(self) -> dict[str, Any]:
        """What :func:`congeal.networks.build_encoder` takes, but for name and channels."""
        return {
            "pretrained": self.pretrained,
            "weights": self.encoder_weights,
            "output_stride": self.output_stride,
            "freeze_norm": self.freeze_norm,
            "levels": self.encoder_levels,
            "frozen": self.frozen_levels,
        }

    @field_validator("output_stride")
    @classmethod
    def _known_stride(cls, stride: int) -> int:
        if stride not in (8, 16, 32):
            raise ValueError("expected 8, 16 or 32")
        return stride

    @field_validator("mean", "deviation")
    @classmethod
    def _one_or_three(cls, values: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if values is not None and len(values) not in (1, 3):
            raise ValueError("expected one number or three")
        return values


class MethodSettings(Settings):
    """Base of the config of a method; a method adds its sections."""

    task: TaskName = setting("instances", "what the model is for")
    class_names: tuple[str, ...] = setting(
        ("object",), "names of the classes, background left out; training takes the data's"
    )

    @field_validator("class_names")
    @classmethod
    def _distinct(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not names or len(set(names)) < len(names):
            raise ValueError("expected at least one name, and none twice")
        return names
