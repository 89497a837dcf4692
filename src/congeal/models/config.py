"""What ``config.json`` of a model folder says, read with care and written whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from congeal.errors import CongealError
from congeal.version import __version__

__all__ = ["CARD", "CONFIG", "FORMAT", "WEIGHTS", "ModelConfig", "parse_config", "read_config"]

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
CARD = "README.md"
FORMAT = 1


@dataclass(frozen=True)
class ModelConfig:
    """Everything about a model but its weights.

    Args:
        method: name of the method, such as ``"rpe"``.
        settings: what the method needs to build the same network again.
        training: how it was trained (data, minutes, seed and so on), for people to read.
        metrics: its scores, name to value.
        what: one line on what it is for.
        licence: licence of the weights, as an SPDX name where there is one.
        weights: fingerprint of the weights this belongs to; empty when unknown.
        congeal: version of congeal that wrote it.

    Example:
        >>> ModelConfig(method="rpe", settings={"stride": 2}).to_dict()["format"]
        1
    """

    method: str
    settings: dict[str, Any]
    training: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    what: str = ""
    licence: str = ""
    weights: str = ""
    congeal: str = __version__

    def to_dict(self) -> dict[str, Any]:
        """Give the content of ``config.json``."""
        return {"format": FORMAT, **asdict(self)}


def read_config(folder: str | Path) -> ModelConfig:
    """Read ``config.json`` of a model folder.

    Raises:
        CongealError: there is no such file, it is cut short, or something else wrote it.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> text = '{"format": 1, "method": "rpe", "settings": {}}'
        >>> _ = (folder / "config.json").write_text(text)
        >>> read_config(folder).method
        'rpe'
    """
    folder = Path(folder)
    path = folder / CONFIG
    if not folder.is_dir():
        raise CongealError(f"expected a model folder at {folder}, found {_kind(folder)}")
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise CongealError(f"{folder} is not a model folder: {CONFIG} is missing") from error
    except UnicodeDecodeError as error:
        raise CongealError(f"{path} is not text, so not the settings of a model") from error
    except OSError as error:
        raise CongealError(f"cannot read {path}: {error.strerror or error}") from error
    return parse_config(text, str(path))


def parse_config(text: str, where: str) -> ModelConfig:
    """Read the text of a ``config.json``; ``where`` names it in errors.

    Raises:
        CongealError: it is not JSON, or not the settings of a model of ours.

    Example:
        >>> parse_config('{"format": 1, "method": "rpe", "settings": {}}', "a.json").settings
        {}
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        problem = "empty" if not text.strip() else f"cut short or broken at line {error.lineno}"
        raise CongealError(f"expected JSON in {where}, but the file is {problem}") from error
    except (RecursionError, ValueError) as error:  # deep nesting; integers of thousands of digits
        raise CongealError(
            f"expected the settings of a model in {where}, got other JSON"
        ) from error
    if not isinstance(value, Mapping) or "format" not in value or "method" not in value:
        raise CongealError(f"{where} was not written by congeal: it has no 'format' and 'method'")
    if value["format"] != FORMAT:
        raise CongealError(
            f"{where} has format {value['format']!r}, this congeal {__version__} reads format "
            f"{FORMAT}: it was written by congeal {value.get('congeal', '?')}"
        )
    return _typed(value, where)


def _typed(value: Mapping[str, Any], where: str) -> ModelConfig:
    kinds: dict[str, type] = {
        "method": str,
        "what": str,
        "licence": str,
        "weights": str,
        "congeal": str,
    }
    kinds |= {"settings": dict, "training": dict, "metrics": dict}
    if "settings" not in value:
        raise CongealError(f"expected 'settings' in {where}, found none")
    known = {name: value[name] for name in kinds if name in value}
    for name, found in known.items():
        if not isinstance(found, kinds[name]):
            wanted = "text" if kinds[name] is str else "a group of settings"
            raise CongealError(
                f"expected {name!r} in {where} to be {wanted}, got {json.dumps(found)[:40]}"
            )
    return ModelConfig(**known)


def _kind(path: Path) -> str:
    return "a file" if path.is_file() else "nothing"
