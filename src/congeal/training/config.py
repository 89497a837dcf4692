"""Settings of a training: length, batches, optimiser, augmentation, validation, machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import field_validator

from congeal.data.augment import AUGMENTATIONS, build_augmentation
from congeal.data.transforms import Augment
from congeal.errors import CongealError, unknown
from congeal.settings import Settings, setting

__all__ = ["MAX_CROP", "TrainConfig", "train_config"]

MAX_CROP = 256  # px; upper limit where no crop is given
DEFAULT_RATE, DEFAULT_MUON_RATE = 2e-3, 4e-3  # highest learning rates where none is given


class TrainConfig(Settings):
    """Settings of a training.

    The length is ``max_minutes`` or ``epochs``; with both, the training ends at the first limit
    reached.

    Example:
        >>> TrainConfig(max_minutes=20).batch_size
        8
    """

    max_minutes: float | None = setting(
        None,
        "length of the training, tuning included; none: 20, unless epochs are given",
        unit="min",
        gt=0,
    )
    epochs: int | None = setting(None, "length of the training in epochs", ge=1)
    steps_per_epoch: int | None = setting(
        None,
        "update steps per epoch; none: chosen by the speed, or one pass over the images",
        ge=1,
    )
    batch_size: int = setting(
        8, "crops per batch; chosen by the speed if not given and the length is in minutes", ge=1
    )
    accumulate: int = setting(1, "batches whose gradients are added up for one update step", ge=1)
    crop: int | None = setting(
        None, "side of the training crops; none: chosen by images and speed", unit="px", ge=32
    )
    learning_rate: float | None = setting(
        None, "highest learning rate; none: .004 with muon, .002 otherwise", gt=0
    )
    encoder_rate: float = setting(
        1.0, "factor on the learning rate for the weights of the encoder", gt=0
    )
    optimizer: Literal["auto", "adamw", "sgd", "muon"] = setting(
        "auto", "auto: the default of the method for its network"
    )
    weight_decay: float = setting(0.01, "weight decay, except for norms and biases", ge=0)
    power: float = setting(0.9, "exponent of the learning rate schedule (1 - t/T)^power", ge=0)
    warmup: int = setting(
        50,
        "update steps of linear warm-up; if not given and the length is in minutes: at most a "
        "tenth of all",
        ge=0,
    )
    clip: float = setting(1.0, "largest norm of the gradient", gt=0)
    precision: Literal["auto", "32", "bf16-mixed", "16-mixed"] = setting(
        "auto", "auto: bfloat16 where the hardware supports it"
    )
    device: str = setting("auto", "auto, cpu, cuda or mps")
    devices: int = setting(1, "GPUs, or processes, on each machine", ge=1)
    nodes: int = setting(1, "machines", ge=1)
    workers: int | None = setting(None, "loader processes; none: by the machine", ge=0)
    threads: int | None = setting(None, "CPU threads per process; none: all cores", ge=1, le=1024)
    cpu_replicas: int | None = setting(
        None, "parts that a CPU computes in parallel for a batch; none: by the machine", ge=1
    )
    seed: int = setting(0, "seed of weights, image order and augmentation", ge=0, lt=2**32)
    augmentation: str = setting("default", "default, or the augmentation of a paper by name")
    rotation: float = setting(
        180.0, "largest rotation in augmentation", unit="degrees", ge=0, le=180
    )
    scale_range: tuple[float, float] = setting((0.7, 1.5), "smallest and largest scale of a crop")
    flip: bool = setting(True, "mirror crops at random")
    object_sampling_power: float | None = setting(
        None,
        "images are drawn in proportion to (number of objects)^power; none: by the images",
        ge=0,
        le=1,
    )
    patience: int | None = setting(
        None, "validations without improvement before the training stops; none: no early stop", ge=1
    )
    validation_images: int = setting(32, "maximum number of images of a validation", ge=1)
    validation_share: float = setting(
        0.05,
        "share of the time for validation; if the length is in epochs: validation images per "
        "training crop",
        gt=0,
        le=1,
    )
    tuning_share: float = setting(
        0.1,
        "largest share of the time for tuning the decoding at the end; 0: no tuning",
        ge=0,
        lt=1,
    )
    keep: Literal["best", "last"] = setting(
        "best",
        "weights of the model; best: the latest within one standard error of the best score",
    )
    half: bool = setting(False, "store the weights in half precision")
    overlays: bool = setting(True, "draw validation images during training")
    cache_gb: float = setting(4.0, "memory for decoded images", unit="GB", ge=0)

    renamed: ClassVar[Mapping[str, str]] = {
        "shares": "cpu_replicas",
        "scale": "scale_range",
        "crowding": "object_sampling_power",
    }

    @field_validator("precision", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        """Accept the number 32, as YAML and ``--set`` parse it."""
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

    def with_optimizer(self, default: str) -> TrainConfig:
        """Fill in optimiser and learning rate where they are ``auto`` and None.

        Args:
            default: default optimiser of the method.

        Example:
            >>> chosen = TrainConfig().with_optimizer("muon")
            >>> chosen.optimizer, chosen.learning_rate
            ('muon', 0.004)
        """
        name = default if self.optimizer == "auto" else self.optimizer
        rate = self.learning_rate or (DEFAULT_MUON_RATE if name == "muon" else DEFAULT_RATE)
        return self.model_copy(update={"optimizer": name, "learning_rate": rate})

    def augment(self) -> Augment:
        """Build the augmentation; ranges that were not given are those of the paper.

        Example:
            >>> TrainConfig(augmentation="kong2018", crop=64).augment().transforms[0].rotation
            15.0
        """
        given = self.model_fields_set & {"rotation", "scale_range", "flip"}
        settings = {name.removesuffix("_range"): getattr(self, name) for name in given}
        if self.augmentation != "default" and "flip" in given:
            settings["flip"] = 0.5 * self.flip  # here the setting is a probability
        return build_augmentation(self.augmentation, crop=self.crop or MAX_CROP, **settings)


def train_config(settings: Mapping[str, Any]) -> TrainConfig:
    """Make a :class:`TrainConfig`; without any length it is 20 minutes.

    Args:
        settings: values by name.

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
