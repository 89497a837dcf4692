"""Settings of the discriminative loss method, with the values of the paper."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator, model_validator

from congeal.errors import unknown
from congeal.grouping.registry import GROUPINGS
from congeal.methods.sections import InputSettings, MethodSettings, NetworkSettings
from congeal.networks.registry import NETWORKS
from congeal.settings import Settings, setting

__all__ = ["DiscriminativeConfig", "DiscriminativeCoordinates"]

DiscriminativeCoordinates = Literal["none", "channels", "rotary", "projected"]


class DiscriminativeNetwork(NetworkSettings):
    """The network; settings of encoder and decoder count for encoder-decoder only."""

    encoder: str = setting("compact", "compact, or the name of a timm model")
    pretrained: bool = setting(False, "start from ImageNet weights of the encoder")
    output_stride: int = setting(8, "of a timm encoder: 8, 16 or 32", unit="px")
    freeze_norm: bool = setting(False, "keep the moments of the encoder's batch norm fixed")
    name: str = setting(
        "encoder-decoder",
        "encoder-decoder, enet, segnet, dilation or resnet38",
        paper="resnet38, enet",
    )
    dimensions: int = setting(8, "D of the embedding", ge=1)
    stride: int | None = setting(
        None, "of the embedding; none: that of the network, 2 for encoder-decoder", unit="px", ge=1
    )
    width_divisor: int = setting(
        1, "makes the layers of segnet, dilation and resnet38 narrower", ge=1, paper="1"
    )
    coordinates: DiscriminativeCoordinates = setting(
        "projected", "how the network knows where a pixel lies", paper="none"
    )
    wavelengths: tuple[float, float] = setting(
        (32.0, 256.0), "shortest and longest of rotary coordinates", unit="px"
    )

    @field_validator("name")
    @classmethod
    def _known_network(cls, name: str) -> str:
        if name not in NETWORKS:
            raise unknown("network", name, NETWORKS)
        return name


class DiscriminativeLossSettings(Settings):
    """The discriminative loss, beside cross-entropy of the semantic map."""

    delta_v: float = setting(
        0.5, "pixels are pulled towards the mean of their object up to it", gt=0, paper="0.5"
    )
    delta_d: float = setting(
        1.5, "means of objects are pushed apart up to twice this", gt=0, paper="1.5"
    )
    variance_weight: float = setting(1.0, "alpha, weight of the pull", ge=0, paper="1")
    distance_weight: float = setting(1.0, "beta, weight of the push", ge=0, paper="1")
    regularisation_weight: float = setting(
        0.001, "gamma, weight of the lengths of the means", ge=0, paper="0.001"
    )
    semantic_weight: float = setting(1.0, "weight of the cross-entropy", ge=0)


class DiscriminativeDecoding(Settings):
    """From embeddings to objects; the weights do not depend on these settings."""

    foreground_threshold: float = setting(
        0.5, "probability from which a pixel is foreground", gt=0, lt=1, adjustable=True
    )
    bandwidth: float | None = setting(
        None,
        "radius of mean shift; none: delta_v, as in the paper; the authors' code takes delta_d",
        gt=0,
        adjustable=True,
        paper="delta_v",
    )
    threshold: float | None = setting(
        None,
        "radius around the resting place that makes an object; none: delta_d",
        gt=0,
        adjustable=True,
        paper="bandwidth",
    )
    grouping: str = setting(
        "flat-shift",
        "flat-shift, flat-shift-sampled (on some of the pixels), or a grouping by name",
        adjustable=True,
        paper="flat-shift",
    )
    grouping_options: dict[str, bool | int | float | str | list[float]] = setting(
        {}, "settings of the grouping named", adjustable=True
    )
    semantic: str | None = setting(
        None,
        "model folder that tells the classes of pixels, matched by name; none: the own head",
        adjustable=True,
    )
    stuff: tuple[str, ...] = setting(
        (), "classes without objects: they stay in the semantic map", adjustable=True
    )
    min_area: float = setting(
        16.0, "smaller objects join a neighbour or go", ge=0, unit="px", adjustable=True
    )
    min_score: float = setting(0.0, "objects that score less go", ge=0, lt=1, adjustable=True)
    split_components: bool = setting(
        False, "split objects into connected components", adjustable=True
    )
    fill_holes: bool = setting(False, "fill holes in objects", adjustable=True)

    @field_validator("grouping")
    @classmethod
    def _known_grouping(cls, name: str) -> str:
        known = ["flat-shift-sampled", *GROUPINGS]
        if name not in known:
            raise unknown("grouping", name, known)
        return name


class DiscriminativeConfig(MethodSettings):
    """Settings of :class:`Discriminative`; all of them travel with a saved model.

    Example:
        >>> DiscriminativeConfig.from_settings({"delta_d": 2}).loss.delta_d
        2.0
    """

    input: InputSettings = InputSettings()
    network: DiscriminativeNetwork = DiscriminativeNetwork()
    loss: DiscriminativeLossSettings = DiscriminativeLossSettings()
    decoding: DiscriminativeDecoding = DiscriminativeDecoding()

    @model_validator(mode="after")
    def _even_dimensions(self) -> DiscriminativeConfig:
        c = self.network
        if c.coordinates == "rotary" and c.dimensions % 2:
            raise ValueError(
                f"rotary coordinates need an even number of dimensions, got {c.dimensions}"
            )
        return self
