"""Settings of a training."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from congeal.data.augment import AUGMENTATIONS, build_augmentation
from congeal.data.transforms import Augment
from congeal.errors import CongealError, unknown

__all__ = ["LARGEST_CROP", "TrainConfig", "train_config"]

LARGEST_CROP = 256  # that is chosen where none is given
RATE, MUON_RATE = 2e-3, 4e-3  # highest learning rates, where none is given


class TrainConfig(BaseModel):
    """How a model is trained. Give ``max_minutes``, ``epochs``, or both (the first to end wins).

    Example:
        >>> TrainConfig(max_minutes=20).batch_size
        8
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_minutes: float | None = Field(None, gt=0, description="stop after so many minutes")
    epochs: int | None = Field(None, ge=1, description="rounds of the training images")
    steps_per_epoch: int | None = Field(None, ge=1, description="None: one round of the images")
    batch_size: int = Field(8, ge=1)
    accumulate: int = Field(1, ge=1, description="batches gathered before each update")
    crop: int | None = Field(
        None, ge=32, description="side of the training crops, in pixels; None: by the images"
    )
    learning_rate: float | None = Field(
        None, gt=0, description="highest learning rate; None: .004 with muon, .002 otherwise"
    )
    encoder_rate: float = Field(1.0, gt=0, description="learning rate of the encoder, relative")
    optimizer: Literal["auto", "adamw", "sgd", "muon"] = Field(
        "auto", description="auto: muon for the small network, adamw for encoders of timm"
    )
    weight_decay: float = Field(0.01, ge=0)
    power: float = Field(0.9, ge=0, description="of the poly schedule (1 - t/T)^power")
    warmup: int = Field(50, ge=0, description="updates over which the rate rises")
    clip: float = Field(1.0, gt=0, description="largest norm of the gradient")
    precision: Literal["auto", "32", "bf16-mixed", "16-mixed"] = "auto"
    device: str = "auto"
    devices: int = Field(1, ge=1, description="GPUs, or processes, on each machine")
    nodes: int = Field(1, ge=1, description="machines")
    workers: int | None = Field(None, ge=0, description="loader processes; None: by the machine")
    threads: int | None = Field(None, ge=1, description="CPU threads of a process; None: all cores")
    shares: int | None = Field(
        None, ge=1, description="parts of a batch, each computed by threads of its own, on a CPU"
    )
    seed: int = Field(0, ge=0)
    augmentation: str = Field("default", description="default, or that of a paper by name")
    rotation: float = Field(
        180.0, ge=0, le=180, description="largest turn in augmentation, degrees"
    )
    scale: tuple[float, float] = Field((0.7, 1.5), description="range of the zoom in augmentation")
    flip: bool = True
    crowding: float | None = Field(
        None,
        ge=0,
        le=1,
        description="draw images in proportion to this power of their objects; None: by the images",
    )
    patience: int | None = Field(None, ge=1, description="validations without gain before stopping")
    validation_images: int = Field(32, ge=1, description="at most so many images a validation")
    validation_share: float = Field(0.05, gt=0, le=1, description="of the time, for validation")
    tuning_share: float = Field(
        0.05, ge=0, lt=1, description="of the time, to tune the read-out in the end; 0: none"
    )
    keep: Literal["best", "last"] = Field(
        "best", description="weights to give in the end; best: the last as good within chance"
    )
    half: bool = Field(False, description="store the weights in half precision")
    overlays: bool = Field(True, description="draw validation images while training")
    cache_gb: float = Field(4.0, ge=0, description="memory for decoded images")

    def with_optimizer(self, encoder: str) -> TrainConfig:
        """Fill in optimiser and learning rate where they are left open.

        The small network learned more by Muon in as many minutes, on drawn sticks and on nuclei;
        with an encoder that had seen photographs the two were alike on nuclei, and a step of Muon
        costs the more the larger the matrices are.

        Args:
            encoder: name of the network's encoder.

        Example:
            >>> chosen = TrainConfig().with_optimizer("compact")
            >>> chosen.optimizer, chosen.learning_rate
            ('muon', 0.004)
        """
        name = self.optimizer
        if name == "auto":
            name = "muon" if encoder == "compact" else "adamw"
        rate = self.learning_rate or (MUON_RATE if name == "muon" else RATE)
        return self.model_copy(update={"optimizer": name, "learning_rate": rate})

    def augment(self) -> Augment:
        """The augmentation; a paper's own ranges hold where no other ones were given.

        Example:
            >>> TrainConfig(augmentation="rpe", crop=64).augment().transforms[0].rotation
            15.0
        """
        given = self.model_fields_set & {"rotation", "scale", "flip"}
        settings = {name: getattr(self, name) for name in given}
        if self.augmentation != "default" and "flip" in given:
            settings["flip"] = 0.5 * self.flip  # papers mirror with a probability
        return build_augmentation(self.augmentation, crop=self.crop or LARGEST_CROP, **settings)


def train_config(settings: dict[str, Any]) -> TrainConfig:
    """Make a :class:`TrainConfig`, with one clear line for what does not fit.

    Raises:
        CongealError: a setting is unknown (the nearest is suggested) or out of range.

    Example:
        >>> train_config({"epochs": 3}).epochs
        3
    """
    for name in settings:
        if name not in TrainConfig.model_fields:
            raise unknown("training setting", name, TrainConfig.model_fields)
    try:
        config = TrainConfig(**settings)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CongealError(f"{where}: {first['msg']}, got {first.get('input')!r}") from error
    if config.augmentation not in AUGMENTATIONS:
        raise unknown("augmentation", config.augmentation, AUGMENTATIONS)
    if config.max_minutes is None and config.epochs is None:
        config = config.model_copy(update={"max_minutes": 20.0})
    if not 0 < config.scale[0] <= config.scale[1]:
        raise CongealError(f"scale: expected 0 < smallest <= largest, got {config.scale}")
    return config
