"""Settings of the method ``discriminative``, with the values of the paper."""

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
    """Section ``network``; settings of encoder and decoder apply to ``encoder-decoder`` only."""

    encoder: str = setting("compact", "compact, or the name of a timm model")
    pretrained: bool = setting(False, "use ImageNet weights for the encoder")
    output_stride: int = setting(8, "largest stride of a timm encoder: 8, 16 or 32", unit="px")
    freeze_norm: bool = setting(False, "keep mean and variance of the encoder's batch norm fixed")
    name: str = setting(
        "encoder-decoder",
        "encoder-decoder, enet, segnet, dilation or resnet38",
        paper="resnet38, enet",
    )
    dimensions: int = setting(8, "D of the embedding", ge=1)
    stride: int | None = setting(
        None,
        "stride of the embedding; none: that of the network, 2 for encoder-decoder",
        unit="px",
        ge=1,
    )
    width_divisor: int = setting(
        1, "divides the channels of segnet, dilation and resnet38", ge=1, paper="1"
    )
    coordinates: DiscriminativeCoordinates = setting(
        "projected", "position encoding: none, channels, rotary or projected", paper="none"
    )
    wavelengths: tuple[float, float] = setting(
        (32.0, 256.0), "shortest and longest wavelength of rotary coordinates", unit="px"
    )

    @field_validator("name")
    @classmethod
    def _known_network(cls, name: str) -> str:
        if name not in NETWORKS:
            raise unknown("network", name, NETWORKS)
        return name


class DiscriminativeLossSettings(Settings):
    """Section ``loss``: the discriminative loss and the cross-entropy of the semantic map."""

    delta_v: float = setting(
        0.5,
        "margin of the variance term: pixels closer to their object's mean are not pulled",
        gt=0,
        paper="0.5",
    )
    delta_d: float = setting(
        1.5,
        "margin of the distance term: means farther apart than 2 delta_d are not pushed",
        gt=0,
        paper="1.5",
    )
    variance_weight: float = setting(1.0, "alpha, weight of the variance term", ge=0, paper="1")
    distance_weight: float = setting(1.0, "beta, weight of the distance term", ge=0, paper="1")
    regularisation_weight: float = setting(
        0.001, "gamma, weight of the regularisation term", ge=0, paper="0.001"
    )
    semantic_weight: float = setting(1.0, "weight of the cross-entropy", ge=0)


class DiscriminativeDecoding(Settings):
    """Section ``decoding``: adjustable after training."""

    foreground_threshold: float = setting(
        0.5,
        "a pixel is foreground if its foreground probability is greater",
        gt=0,
        lt=1,
        adjustable=True,
    )
    bandwidth: float | None = setting(
        None,
        "radius of mean shift; none: delta_v, as in the paper (the authors' code uses delta_d)",
        gt=0,
        adjustable=True,
        paper="delta_v",
    )
    threshold: float | None = setting(
        None,
        "pixels within this distance of a mode form an object; none: delta_d",
        gt=0,
        adjustable=True,
        paper="bandwidth",
    )
    grouping: str = setting(
        "flat-shift",
        "flat-shift, flat-shift-sampled (on a sample of the pixels), or any registered grouping",
        adjustable=True,
        paper="flat-shift",
    )
    grouping_options: dict[str, bool | int | float | str | list[float]] = setting(
        {}, "settings of the grouping", adjustable=True
    )
    semantic: str | None = setting(
        None,
        "model that predicts the classes of pixels, matched by name; none: the model's own head",
        adjustable=True,
    )
    stuff: tuple[str, ...] = setting(
        (), "classes without objects: in the semantic map only", adjustable=True
    )
    min_area: float = setting(
        16.0,
        "smaller objects are merged with a neighbour or removed",
        ge=0,
        unit="px",
        adjustable=True,
    )
    min_score: float = setting(
        0.0, "objects with a lower score are removed", ge=0, lt=1, adjustable=True
    )
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
    """Settings of :class:`Discriminative`, stored in the model folder.

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
                f"expected an even number of dimensions with rotary coordinates, got {c.dimensions}"
            )
        return self
