"""The content of ``config.json`` in a model folder, and its validation on reading."""

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
FORMAT = 1  # version of the file format


@dataclass(frozen=True)
class ModelConfig:
    """All facts about a model except its weights.

    Args:
        method: name of the method, such as ``"rpe"``.
        settings: settings of the method by section; they define the network.
        training: facts of the training: data, minutes, seed and so on.
        metrics: scores by name.
        what: purpose of the model, in a line.
        licence: licence of the weights, as an SPDX identifier if there is one.
        weights: fingerprint of the weights; empty if unknown.
        congeal: version of congeal that wrote the file.

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
        """The content of ``config.json``."""
        return {"format": FORMAT, **asdict(self)}


def read_config(folder: str | Path) -> ModelConfig:
    """Read ``config.json`` of a model folder.

    Args:
        folder: model folder.

    Raises:
        CongealError: the file is missing, cut short, or not of congeal.

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
        raise CongealError(f"expected JSON in {path}, but the file is not text") from error
    except OSError as error:
        raise CongealError(f"cannot read {path}: {error.strerror or error}") from error
    return parse_config(text, str(path))


def parse_config(text: str, where: str) -> ModelConfig:
    """Parse the text of a ``config.json``.

    Args:
        text: content of the file.
        where: name of the file, for errors.

    Raises:
        CongealError: the text is not JSON, or not the settings of a model of congeal.

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
            f"expected the settings of a model in {where}, got JSON that cannot be read"
        ) from error
    if not isinstance(value, Mapping) or "format" not in value or "method" not in value:
        raise CongealError(f"expected 'format' and 'method' in {where}: congeal did not write it")
    if value["format"] != FORMAT:
        raise CongealError(
            f"expected format {FORMAT} in {where}, which congeal {__version__} reads, got format "
            f"{value['format']!r}, written by congeal {value.get('congeal', '?')}"
        )
    return _typed(value, where)


def _typed(value: Mapping[str, Any], where: str) -> ModelConfig:
    """Check the types of all fields; fields of later versions are ignored."""
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
    fields = {name: value[name] for name in kinds if name in value}
    for name, found in fields.items():
        if not isinstance(found, kinds[name]):
            wanted = "text" if kinds[name] is str else "an object with settings"
            raise CongealError(
                f"expected {name!r} in {where} to be {wanted}, got {json.dumps(found)[:40]}"
            )
    return ModelConfig(**fields)


def _kind(path: Path) -> str:
    """Description of a path that is no folder, for errors."""
    return "a file" if path.is_file() else "nothing"
