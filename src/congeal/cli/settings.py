"""The settings of method and training as options, written down so that help loads nothing heavy.

A test holds this list to ``RPEConfig`` and ``TrainConfig``: names, kinds, choices and defaults.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import typer

from congeal.cli.options import parse_settings
from congeal.errors import CongealError, unknown

__all__ = ["METHOD", "TRAINING", "Setting", "as_parameter", "chosen"]

Kind = Literal["int", "float", "str", "bool", "floats", "names", "options"]
_TYPES: dict[Kind, type] = {"int": int, "float": float, "bool": bool}


@dataclass(frozen=True)
class Setting:
    """One setting as an option.

    Args:
        name: of the field and, with dashes, of the option.
        kind: of its value; ``floats`` and ``names`` are lists with commas, ``options`` is one of
            NAME=VALUE.
        default: as text, for the help.
        help: one line.
        panel: under which heading the help shows it.
        choices: what it may be, where that is a fixed list.
    """

    name: str
    kind: Kind
    default: str
    help: str
    panel: str
    choices: tuple[str, ...] = ()

    @property
    def option(self) -> str:
        """The option, such as ``--batch-size``."""
        return "--" + self.name.replace("_", "-")


def _settings(panel: str, *rows: tuple[Any, ...]) -> tuple[Setting, ...]:
    """Rows of name, kind, default, help and, where they are fixed, choices."""
    return tuple(Setting(row[0], row[1], row[2], row[3], panel, sum(row[4:], ())) for row in rows)


_LENGTH = _settings(
    "How long",
    ("max_minutes", "float", "20 when --epochs is left out", "stop after so many minutes"),
    ("epochs", "int", "", "rounds of the training images"),
    ("steps_per_epoch", "int", "one round of the images", "updates that make a round"),
    ("patience", "int", "", "stop after so many validations without gain"),
    ("validation_share", "float", "0.05", "share of the time for validation"),
    ("validation_images", "int", "32", "at most so many images a validation"),
    (
        "tuning_share",
        "float",
        "0.05",
        "share of the time to tune the read-out on validation images in the end; 0: none",
    ),
    (
        "keep",
        "str",
        "best",
        "weights to give in the end: last, or the last as good as the best within chance",
        ("best", "last"),
    ),
    ("half", "bool", "off", "store the weights in half precision"),
    ("overlays", "bool", "on", "draw validation images while training"),
)
_OPTIMISATION = _settings(
    "Optimisation",
    ("batch_size", "int", "8", "crops in a batch"),
    ("accumulate", "int", "1", "batches gathered before each update"),
    ("learning_rate", "float", "0.004 with muon, else 0.002", "highest learning rate"),
    ("encoder_rate", "float", "1", "learning rate of the encoder, relative"),
    (
        "optimizer",
        "str",
        "auto",
        "adamw, sgd, muon, or auto: muon for the small network, adamw for encoders of timm",
        ("auto", "adamw", "sgd", "muon"),
    ),
    ("weight_decay", "float", "0.01", "pull of weights to zero"),
    ("power", "float", "0.9", "of the poly schedule, (1 - t/T)^power"),
    ("warmup", "int", "50", "updates over which the rate rises"),
    ("clip", "float", "1", "largest norm of the gradient"),
    ("seed", "int", "0", "of weights, order and augmentation"),
)
_AUGMENTATION = _settings(
    "Augmentation",
    ("crop", "int", "by the images", "side of the training crops, in pixels"),
    (
        "crowding",
        "float",
        "by the images",
        "draw images in proportion to this power of the number of their objects, 0 to 1",
    ),
    (
        "augmentation",
        "str",
        "default",
        "congeal's own, or a paper's with its ranges where no others are given: rpe, segsort, "
        "dvis or discriminative",
        ("default", "rpe", "segsort", "dvis", "discriminative"),
    ),
    ("rotation", "float", "180", "largest turn either way, in degrees"),
    ("scale", "floats", "0.7,1.5", "range of the zoom"),
    ("flip", "bool", "on", "mirror"),
)
_MACHINE = _settings(
    "Machine",
    ("device", "str", "auto", "auto, cpu, cuda or mps"),
    ("devices", "int", "1", "GPUs, or processes, on each machine"),
    ("nodes", "int", "1", "machines"),
    (
        "precision",
        "str",
        "auto",
        "32, bf16-mixed, 16-mixed, or auto",
        ("auto", "32", "bf16-mixed", "16-mixed"),
    ),
    ("workers", "int", "by the machine", "processes that load images"),
    ("threads", "int", "all cores", "CPU threads of a process"),
    ("shares", "int", "by the machine", "parts of a batch on a CPU, each with threads of its own"),
    ("cache_gb", "float", "4", "memory for decoded images, in GB"),
)
_NETWORK = _settings(
    "Network",
    ("encoder", "str", "compact", "compact, or the name of a timm model"),
    ("pretrained", "bool", "off", "take timm's weights for the encoder"),
    ("encoder_weights", "str", "", "local file of encoder weights"),
    ("output_stride", "int", "8", "of a timm encoder: 8, 16 or 32"),
    ("freeze_norm", "bool", "off", "hold the encoder's batch norm to its moments"),
    ("encoder_levels", "int", "all", "feature maps of a timm encoder to take, finest first"),
    ("frozen_levels", "int", "0", "feature maps up to which a timm encoder keeps its weights"),
    (
        "decoder",
        "str",
        "light",
        "light, or wide: more channels, longer steps",
        ("light", "wide"),
    ),
    ("dimensions", "int", "16", "of the embedding"),
    ("class_names", "names", "object", "names of the classes"),
    ("stride", "int", "2", "of the embedding: 2 or 4", ("2", "4")),
    (
        "coordinates",
        "str",
        "by the images",
        "how the network knows where a pixel lies: rotary, channels, both or none",
        ("none", "channels", "rotary", "both", "projected"),
    ),
    ("wavelengths", "floats", "by the images", "of rotary coordinates, in pixels"),
    ("pixel_mean", "floats", "the encoder's habit", "taken from the image, per channel"),
    ("pixel_deviation", "floats", "the encoder's habit", "the image is divided by, per channel"),
    (
        "zoom",
        "float",
        "by the images",
        "size at which the network sees an image: .5 halves its sides",
    ),
    (
        "magnify",
        "float",
        "by the images",
        "pixels; images whose median object has fewer are looked at again, up to twice as large",
    ),
    ("tone", "float", "by the images", "power of intensities; .5 lifts the dark"),
)
_LOSS = _settings(
    "Loss",
    (
        "background",
        "str",
        "head",
        "told by a semantic head, or one more group (the paper): head or group",
        ("head", "group"),
    ),
    ("margin", "float", "by the images", "alpha, in calibrated cosine"),
    ("negative_weight", "float", "1", "lambda, weight of pushing apart"),
    ("samples", "int", "by the images", "pixels drawn per image"),
    ("sampling", "str", "balanced", "balanced per object or uniform", ("balanced", "uniform")),
    ("reach", "float", "by the images", "objects repel only where closer than this, in pixels"),
    ("train_steps", "int", "1", "mean-shift steps the loss runs through"),
    (
        "shift_from",
        "float",
        "by the images",
        "from this share of the training on",
    ),
    ("step_size", "float", "1", "eta of mean shift"),
    ("concentration", "float", "from the margin", "kappa of mean shift"),
    ("learn_concentration", "bool", "off", "learn kappa"),
    ("embedding_weight", "float", "1", "weight of the pair loss"),
    ("boundary_weight", "float", "0.3", "weight of the map of where objects touch"),
)
_READ_OUT = _settings(
    "Read-out",
    (
        "views",
        "int",
        "by the images",
        "times an image is looked at, turned and mirrored: better outlines, in more time",
        ("1", "2", "4", "8"),
    ),
    ("foreground", "float", "0.5", "probability that makes foreground"),
    ("smallest", "float", "by the images", "smallest object, in pixels"),
    ("fragment", "float", "by the images", "smallest object, as a share of the image's median"),
    ("least_score", "float", "by the images", "objects that score less are dropped"),
    ("merge", "float", "by the images", "margin when reading out"),
    ("read_concentration", "float", "by the images", "kappa when reading out"),
    ("connected", "bool", "off", "split objects into connected parts"),
    ("holes", "bool", "by the images", "fill holes in objects"),
    ("seed_power", "float", "2", "sharpness of the trust in seed pixels"),
    ("grouping", "str", "auto", "auto: mean shift as the reach asks; or a grouping by name"),
    ("grouping_options", "options", "", "its settings, such as grid=6,steps=20"),
)

TRAINING: tuple[Setting, ...] = _LENGTH + _OPTIMISATION + _AUGMENTATION + _MACHINE
METHOD: tuple[Setting, ...] = _NETWORK + _LOSS + _READ_OUT


def as_parameter(setting: Setting) -> inspect.Parameter:
    """Make the parameter from which typer makes the option; None when it is not given."""
    kind: Any = _TYPES.get(setting.kind, str)
    names = [setting.option]
    if setting.kind == "bool":
        names = [f"{setting.option}/--no-{setting.option[2:]}"]
    shown = f" (default: {setting.default})" if setting.default else ""
    option = typer.Option(*names, help=setting.help + shown, rich_help_panel=setting.panel)
    return inspect.Parameter(
        setting.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, option],
    )


def chosen(settings: tuple[Setting, ...], given: Mapping[str, Any]) -> dict[str, Any]:
    """Pick the settings that were given, with their values as the configs want them.

    Raises:
        CongealError: a value is none of the choices, or a list is none.
    """
    return {
        setting.name: _value(setting, given[setting.name])
        for setting in settings
        if given.get(setting.name) is not None
    }


def _value(setting: Setting, value: Any) -> Any:
    if setting.choices and str(value) not in setting.choices:
        raise unknown(setting.option, str(value), setting.choices)
    if setting.kind == "names":
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if setting.kind == "floats":
        return _numbers(setting, value)
    if setting.kind == "options":
        return parse_settings(value.split(","))
    return value


def _numbers(setting: Setting, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise CongealError(
            f"expected numbers with commas for {setting.option}, such as 0.5,1.5, got {text!r}"
        ) from None
