"""Settings of a training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import field_validator

from congeal.data.augment import AUGMENTATIONS, build_augmentation
from congeal.data.transforms import Augment
from congeal.errors import CongealError, unknown
from congeal.settings import Settings, setting

__all__ = ["LARGEST_CROP", "TrainConfig", "train_config"]

LARGEST_CROP = 256  # px, that is chosen where none is given
RATE, MUON_RATE = 2e-3, 4e-3  # highest learning rates, where none is given


class TrainConfig(Settings):
    """How a model is trained. Give ``max_minutes``, ``epochs``, or both (the first to end wins).

    Example:
        >>> TrainConfig(max_minutes=20).batch_size
        8
    """

    max_minutes: float | None = setting(
        None,
        "length of the whole, tuning included; none: 20, unless epochs are given",
        unit="min",
        gt=0,
    )
    epochs: int | None = setting(None, "rounds of the training images", ge=1)
    steps_per_epoch: int | None = setting(
        None, "updates that make a round; none: by the time, or one round of the images", ge=1
    )
    batch_size: int = setting(
        8, "crops in a batch; where the length is in minutes and none is given: by the time", ge=1
    )
    accumulate: int = setting(1, "batches gathered before each update", ge=1)
    crop: int | None = setting(
        None, "side of the training crops; none: by the images and the time", unit="px", ge=32
    )
    learning_rate: float | None = setting(
        None, "highest learning rate; none: .004 with muon, .002 otherwise", gt=0
    )
    encoder_rate: float = setting(1.0, "learning rate of the encoder, relative", gt=0)
    optimizer: Literal["auto", "adamw", "sgd", "muon"] = setting(
        "auto", "auto: what suits the method and its network"
    )
    weight_decay: float = setting(0.01, "decay of weights, norms and biases left out", ge=0)
    power: float = setting(0.9, "of the poly schedule (1 - t/T)^power", ge=0)
    warmup: int = setting(
        50,
        "updates over which the rate rises; where the length is in minutes and none is given: a "
        "tenth of all at most",
        ge=0,
    )
    clip: float = setting(1.0, "largest norm of the gradient", gt=0)
    precision: Literal["auto", "32", "bf16-mixed", "16-mixed"] = setting(
        "auto", "auto: bfloat16 where the hardware multiplies it"
    )
    device: str = setting("auto", "auto, cpu, cuda or mps")
    devices: int = setting(1, "GPUs, or processes, on each machine", ge=1)
    nodes: int = setting(1, "machines", ge=1)
    workers: int | None = setting(None, "loader processes; none: by the machine", ge=0)
    threads: int | None = setting(None, "CPU threads of a process; none: all cores", ge=1, le=1024)
    cpu_replicas: int | None = setting(
        None, "parts of a batch on a CPU, each on threads of its own; none: by the machine", ge=1
    )
    seed: int = setting(0, "of weights, order and augmentation", ge=0, lt=2**32)
    augmentation: str = setting("default", "default, or that of a paper by name")
    rotation: float = setting(180.0, "largest turn in augmentation", unit="degrees", ge=0, le=180)
    scale_range: tuple[float, float] = setting((0.7, 1.5), "smallest and largest scale of a crop")
    flip: bool = setting(True, "mirror crops")
    object_sampling_power: float | None = setting(
        None,
        "images are drawn in proportion to this power of their objects; none: by the images",
        ge=0,
        le=1,
    )
    patience: int | None = setting(None, "validations without gain before stopping", ge=1)
    validation_images: int = setting(32, "at most so many images a validation", ge=1)
    validation_share: float = setting(
        0.05,
        "share of the time for validation; of the images, if the length is in epochs",
        gt=0,
        le=1,
    )
    tuning_share: float = setting(
        0.1, "largest share of the time to tune the decoding in the end; 0: none", ge=0, lt=1
    )
    keep: Literal["best", "last"] = setting(
        "best", "weights given in the end; best: the last as good as the best within chance"
    )
    half: bool = setting(False, "store the weights in half precision")
    overlays: bool = setting(True, "draw validation images while training")
    cache_gb: float = setting(4.0, "memory for decoded images", unit="GB", ge=0)

    renamed: ClassVar[Mapping[str, str]] = {
        "shares": "cpu_replicas",
        "scale": "scale_range",
        "crowding": "object_sampling_power",
    }

    @field_validator("precision", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        """``32`` is a number to YAML and to ``--set``."""
        return str(value) if type(value) is int else value

    @field_validator("augmentation")
    @classmethod
    def _known_augmentation(cls, name: str) -> str:
        if name not in AUGMENTATIONS:
            raise unknown("augmentation", name, AUGMENTATIONS)
        return name

    @field_validator("scale_range")
    @classmethod
    def _ordered(cls, scale: tuple[float, float]) -> tuple[float, float]:
        if not 0 < scale[0] <= scale[1]:
            raise ValueError("expected 0 < smallest <= largest")
        return scale

    def with_optimizer(self, suited: str) -> TrainConfig:
        """Fill in optimiser and learning rate where they are left open.

        Args:
            suited: the optimiser that suits the method.

        Example:
            >>> chosen = TrainConfig().with_optimizer("muon")
            >>> chosen.optimizer, chosen.learning_rate
            ('muon', 0.004)
        """
        name = suited if self.optimizer == "auto" else self.optimizer
        rate = self.learning_rate or (MUON_RATE if name == "muon" else RATE)
        return self.model_copy(update={"optimizer": name, "learning_rate": rate})

    def augment(self) -> Augment:
        """The augmentation; a paper's own ranges hold where no other ones were given.

        Example:
            >>> TrainConfig(augmentation="kong2018", crop=64).augment().transforms[0].rotation
            15.0
        """
        given = self.model_fields_set & {"rotation", "scale_range", "flip"}
        settings = {name.removesuffix("_range"): getattr(self, name) for name in given}
        if self.augmentation != "default" and "flip" in given:
            settings["flip"] = 0.5 * self.flip  # papers mirror with a probability
        return build_augmentation(self.augmentation, crop=self.crop or LARGEST_CROP, **settings)


def train_config(settings: Mapping[str, Any]) -> TrainConfig:
    """Make a :class:`TrainConfig`, with one clear line for what does not fit.

    Raises:
        CongealError: a setting is unknown (the nearest is suggested) or out of range.

    Example:
        >>> train_config({"epochs": 3}).epochs
        3
    """
    try:
        config = TrainConfig.from_settings(settings)
    except CongealError as error:
        line = str(error).replace("unknown setting", "unknown training setting")
        raise CongealError(line) from error
    if config.max_minutes is None and config.epochs is None:
        config = config.model_copy(update={"max_minutes": 20.0})
    return config
