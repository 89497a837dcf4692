"""The models that come with the package, and finding a model by path or name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from congeal.errors import CongealError, unknown
from congeal.models.config import CONFIG, WEIGHTS, read_config

__all__ = ["DEFAULT_MODEL", "SHIPPED", "ModelInfo", "describe", "list_models", "locate"]

# The folder of shipped models, and the one used when none is named.
SHIPPED = Path(__file__).parent / "shipped"
DEFAULT_MODEL = "nuclei"


@dataclass(frozen=True)
class ModelInfo:
    """What is worth knowing of a model before loading it.

    Args:
        name: name of its folder.
        path: the folder.
        what: one line on what it is for.
        licence: licence of the weights.
        metrics: its scores, name to value.
        size: bytes of the weights.
        fingerprint: short digest of the weights; two models that share it are the same.
        method: name of its method.
        training: how it was trained.

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
        """Size of the weights in MB (a million bytes)."""
        return self.size / 1e6

    @property
    def card(self) -> str:
        """Text of the model's ``README.md``; empty when it has none."""
        path = self.path / "README.md"
        return path.read_text(encoding="utf-8") if path.is_file() else ""


def describe(folder: str | Path) -> ModelInfo:
    """Read what a model folder says of itself, without its weights.

    Raises:
        CongealError: it is not a model folder, or one of its files is missing or broken.

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
        raise CongealError(f"{folder} is not a whole model: {WEIGHTS} is missing") from error
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
    """List the models that ship with the package, by name.

    Example:
        >>> all(model.size < 4_000_000 for model in list_models())
        True
    """
    if not SHIPPED.is_dir():
        return []
    folders = [path for path in sorted(SHIPPED.iterdir()) if (path / CONFIG).is_file()]
    return [describe(folder) for folder in folders]


def locate(where: str | Path) -> Path:
    """Find a model's folder, given by path, by one of its files, or by a shipped name.

    A folder that exists wins over a shipped name.

    Raises:
        CongealError: there is no such folder and no shipped model of that name.

    Example:
        >>> locate("no/such/model")
        Traceback (most recent call last):
        ...
        congeal.errors.CongealError: expected a model folder at no/such/model, found nothing
    """
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
        f"there is no model folder {str(where)!r}, and this copy of congeal ships no model; "
        "train one: congeal train FOLDER"
    )
