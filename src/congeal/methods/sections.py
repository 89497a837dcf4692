"""Sections of settings that several methods share: input, network, and the base of all configs."""

from __future__ import annotations

from typing import Any

from pydantic import field_validator

from congeal.networks.decoders import DecoderSize
from congeal.settings import Settings, setting
from congeal.tasks import TaskName

__all__ = ["ImageSettings", "InputSettings", "MethodSettings", "NetworkSettings", "check_scales"]


def check_scales(values: tuple[float, ...]) -> tuple[float, ...]:
    """Check the input scales whose predictions are averaged.

    Args:
        values: sizes relative to the image.

    Returns:
        The values.

    Raises:
        ValueError: there is no scale, or one is not in [0.1, 4].

    Example:
        >>> check_scales((0.5, 1.0))
        (0.5, 1.0)
    """
    if not values or not all(0.1 <= value <= 4 for value in values):
        raise ValueError("expected at least one scale, each from 0.1 to 4")
    return values


class ImageSettings(Settings):
    """Section ``input``: scaling of an image for the network."""

    channels: tuple[int, ...] | None = setting(
        None, "image channels that the network uses, in this order; none: gray or RGB"
    )
    scale: float = setting(
        1.0,
        "relative size at which images enter the network; lengths and areas of other settings "
        "are in pixels of the scaled image",
        ge=0.01,
        le=16,
        adjustable=True,
    )
    gamma: float = setting(1.0, "exponent of the intensities; .5 brightens dark parts", gt=0)
    percentiles: tuple[float, float] = setting(
        (1.0, 99.8),
        "percentiles of the intensities that become 0 and 1",
        unit="%",
        adjustable=True,
    )

    @property
    def input_channels(self) -> int:
        """Number of channels of the network's input: that of ``channels``, at least 3."""
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
    """Section ``input`` of methods for instances."""

    min_object_area: float = setting(
        0.0,
        "images with a smaller median object are predicted again, enlarged up to 2 times; 0: off",
        unit="px",
        ge=0,
        adjustable=True,
    )


class NetworkSettings(Settings):
    """Section ``network``: the compact encoder or one of timm, and the decoder."""

    encoder: str = setting(
        "compact", "compact, or the name of a timm model", paper="resnet50, resnet101"
    )
    pretrained: bool = setting(False, "use ImageNet weights for the encoder", paper="true")
    encoder_weights: str | None = setting(None, "local file of encoder weights")
    output_stride: int = setting(
        8, "largest stride of a timm encoder: 8, 16 or 32", unit="px", paper="8"
    )
    freeze_norm: bool = setting(
        False, "keep mean and variance of the encoder's batch norm fixed", paper="true"
    )
    encoder_levels: int | None = setting(
        None, "number of feature maps of a timm encoder, finest first; none: all", ge=1
    )
    frozen_levels: int = setting(
        0, "feature maps up to which the weights of a timm encoder are frozen", ge=0
    )
    decoder: DecoderSize = setting("light", "light, or wide with more channels")
    mean: tuple[float, ...] | None = setting(
        None,
        "subtracted from the image: one number or three; none: as in the encoder's pretraining",
    )
    deviation: tuple[float, ...] | None = setting(
        None,
        "divides the image: one number or three; none: as in the encoder's pretraining",
    )

    @property
    def encoder_options(self) -> dict[str, Any]:
        """Keyword arguments of :func:`congeal.networks.build_encoder`."""
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
    """Base of a method's config; subclasses add sections."""

    task: TaskName = setting("instances", "task of the model")
    class_names: tuple[str, ...] = setting(
        ("object",), "names of the classes without background; training takes those of the data"
    )

    @field_validator("class_names")
    @classmethod
    def _distinct(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not names or len(set(names)) < len(names):
            raise ValueError("expected at least one name, and none twice")
        return names
