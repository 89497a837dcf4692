"""The models shipped with the package, and finding a model by path or name."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from congeal.errors import CongealError, quoted, unknown
from congeal.models.config import CONFIG, WEIGHTS, read_config

__all__ = ["DEFAULT_MODEL", "SHIPPED", "ModelInfo", "describe", "list_models", "locate"]

SHIPPED = Path(__file__).parent / "shipped"  # folder of the shipped models
DEFAULT_MODEL = "nuclei"  # used where no model is named


@dataclass(frozen=True)
class ModelInfo:
    """Facts about a model that are known without loading it.

    Args:
        name: name of the folder.
        path: model folder.
        what: purpose of the model, in a line.
        licence: licence of the weights.
        metrics: scores by name.
        size: size of the weights in bytes.
        fingerprint: hash of the weights; models with the same one have the same weights.
        method: name of the method.
        training: facts of the training.

    Example:
        >>> ModelInfo("nuclei", Path("nuclei"), "nuclei", "Apache-2.0", {}, 3_200_000).megabytes
        3.2
    """

    name: str
    path: Path
    what: str
    licence: str
    metrics: dict[str, Any]
    size: int
    fingerprint: str = ""
    method: str = ""
    training: dict[str, Any] | None = None

    @property
    def megabytes(self) -> float:
        """Size of the weights in MB (10^6 bytes)."""
        return self.size / 1e6

    @property
    def card(self) -> str:
        """Text of ``README.md``; empty if there is none."""
        path = self.path / "README.md"
        return path.read_text(encoding="utf-8") if path.is_file() else ""


def describe(folder: str | Path) -> ModelInfo:
    """Read the facts about a model from its folder, without loading weights.

    Args:
        folder: model folder.

    Raises:
        CongealError: it is no model folder, or a file is missing or damaged.

    Example:
        >>> describe("nowhere")
        Traceback (most recent call last):
        ...
        congeal.errors.CongealError: expected a model folder at nowhere, found nothing
    """
    folder = Path(folder)
    config = read_config(folder)
    try:
        size = (folder / WEIGHTS).stat().st_size
    except OSError as error:
        raise CongealError(f"{folder} is not a complete model: {WEIGHTS} is missing") from error
    return ModelInfo(
        name=folder.resolve().name,
        path=folder,
        what=config.what,
        licence=config.licence,
        metrics=config.metrics,
        size=size,
        fingerprint=config.weights,
        method=config.method,
        training=config.training,
    )


def list_models() -> list[ModelInfo]:
    """List the shipped models, sorted by name.

    Example:
        >>> all(model.size < 4_000_000 for model in list_models())
        True
    """
    if not SHIPPED.is_dir():
        return []
    folders = [path for path in sorted(SHIPPED.iterdir()) if (path / CONFIG).is_file()]
    return [describe(folder) for folder in folders]


def locate(where: str | Path) -> Path:
    """Find a model folder by its path, by one of its files, or by the name of a shipped model.

    An existing folder takes precedence over a shipped model.

    Args:
        where: path or name.

    Raises:
        CongealError: there is no such folder and no shipped model of that name.

    Example:
        >>> locate("no/such/model")
        Traceback (most recent call last):
        ...
        congeal.errors.CongealError: expected a model folder at no/such/model, found nothing
    """
    if not isinstance(where, str | PathLike):
        raise CongealError(f"expected the folder or name of a model, got {quoted(where)}")
    path = Path(where)
    if path.name in {WEIGHTS, CONFIG} and path.is_file():
        return path.parent
    if (path / CONFIG).is_file():
        return path
    names = [model.name for model in list_models()]
    if str(where) in names:
        return SHIPPED / str(where)
    if path.is_dir():
        raise CongealError(f"{path} is not a model folder: {CONFIG} is missing")
    raise _not_found(where, path, names)


def _not_found(where: str | Path, path: Path, names: list[str]) -> CongealError:
    if path.is_file():
        return CongealError(f"expected a model folder at {path}, found a file")
    if len(path.parts) > 1:
        return CongealError(f"expected a model folder at {path}, found nothing")
    if names:
        return unknown("model", str(where), names)
    return CongealError(
        f"expected a model folder at {str(where)!r}, found nothing; this copy of congeal has no "
        "shipped model, so train one: congeal train FOLDER"
    )
