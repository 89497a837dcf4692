"""Saving a model as a folder and loading it again.

The weights file also carries the settings, and ``config.json`` carries the fingerprint of the
weights. So each file can be put in place by one rename, and there is no moment at which the folder
holds a model that is half old and half new: when the two disagree because a save was cut off
between the renames, the settings beside the weights count.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from congeal.errors import CongealError
from congeal.files import atomic_path
from congeal.methods.companions import register_loader
from congeal.models import forks as forks  # before the first computation
from congeal.models.config import CARD, CONFIG, WEIGHTS, ModelConfig, parse_config, read_config
from congeal.models.device import choose_device
from congeal.models.shipped import locate

if TYPE_CHECKING:
    from torch import Tensor, nn

    from congeal.methods.method import Method

__all__ = ["load", "registered_name", "save_model"]

_KEY = "congeal"


def save_model(
    model: Method,
    folder: str | Path,
    *,
    card: str,
    training: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
    what: str = "",
    licence: str = "",
    half: bool = False,
) -> Path:
    """Write a model folder; a model that was there is replaced, other files in it are left alone.

    Args:
        model: of a registered method; it says its own ``settings``.
        folder: where to write; made when missing.
        card: text of ``README.md``.
        training: how it was trained, JSON values only.
        metrics: its scores.
        what: one line on what it is for.
        licence: licence of the weights.
        half: store the weights in half precision, in half the space; loading gives float32.

    Returns:
        The folder.

    Raises:
        CongealError: the folder cannot be written, the disk is full, ``model`` is of no registered
            method, or a weight is NaN or infinite. What was there before is still whole.

    Example:
        >>> import tempfile
        >>> import congeal
        >>> folder = save_model(congeal.RPE(), tempfile.mkdtemp(), card="# A model", what="toy")
        >>> sorted(path.name for path in folder.iterdir())
        ['README.md', 'config.json', 'model.safetensors']
    """
    folder = Path(folder)
    state = _state(model, half)
    _require_finite(state, "to save")
    config = ModelConfig(
        method=registered_name(model),
        settings=model.settings,
        training=dict(training or {}),
        metrics=dict(metrics or {}),
        what=what,
        licence=licence,
        weights=_fingerprint(state),
    )
    _write(folder, state, json.dumps(config.to_dict(), indent=2, allow_nan=False) + "\n", card)
    return folder


def load(
    where: str | Path, *, device: str = "cpu", settings: Mapping[str, Any] | None = None
) -> Method:
    """Load a model from its folder, or a shipped one by name, ready for prediction.

    Args:
        where: folder of a model, one of its files, or the name of a shipped model.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"`` or ``"auto"``.
        settings: of the decoding, in place of those stored (``min_area``, ``grouping``, ...).

    Raises:
        CongealError: no such model, a file of it is missing, cut short or foreign, or a setting
            is unknown or out of range.

    Example:
        >>> import tempfile
        >>> import congeal
        >>> folder = save_model(congeal.RPE(), tempfile.mkdtemp(), card="")
        >>> load(folder, settings={"min_area": 30}).config.decoding.min_area
        30.0
    """
    folder = locate(where)
    target = choose_device(device)
    state, embedded = _read_weights(folder / WEIGHTS)
    config = _agreed(read_config(folder), embedded, folder)
    model = _build(config, folder)
    _require_fit(model, state, folder)
    _require_whole(state, config, folder)
    model.load_state_dict(dict(state))
    if settings:
        model.configure(**settings)
    return model.to(target).eval()


def registered_name(model: nn.Module) -> str:
    """Name of the registered method that a model is of.

    Raises:
        CongealError: it is of none, so that nobody could load it again.

    Example:
        >>> import congeal
        >>> registered_name(congeal.RPE(dimensions=4))
        'rpe'
    """
    from congeal.methods.method import Method
    from congeal.methods.registry import method_classes, method_names

    if isinstance(model, Method):
        name = type(model).name
        registered = method_classes(name) if name in method_names() else ()
        if isinstance(model, registered):
            return name
    known = ", ".join(method_names())
    raise CongealError(
        f"expected a model of a registered method to save ({known}), got {type(model).__name__}"
    )


def _write(folder: Path, state: Mapping[str, Tensor], config: str, card: str) -> None:
    from safetensors.torch import save

    # All three are written before the first is renamed; the stack then renames the weights first
    # and config.json last, which therefore says that a model is complete.
    with ExitStack() as stack:
        config_path = stack.enter_context(atomic_path(folder / CONFIG))
        card_path = stack.enter_context(atomic_path(folder / CARD))
        weights_path = stack.enter_context(atomic_path(folder / WEIGHTS))
        config_path.write_text(config, encoding="utf-8")
        card_path.write_text(card, encoding="utf-8")
        weights_path.write_bytes(save(dict(state), metadata={_KEY: config}))


def _state(model: nn.Module, half: bool) -> dict[str, Tensor]:
    # Cloned, because safetensors refuses tensors that share memory.
    state = {
        name: value.detach().cpu().contiguous().clone()
        for name, value in model.state_dict().items()
    }
    if not half:
        return state
    halved = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    for name, value in halved.items():
        if not bool((value.isfinite() == state[name].isfinite()).all()):
            raise CongealError(
                f"expected weights up to 65504 for half precision, {name} has "
                f"{float(state[name].abs().max()):.4g}; save without half"
            )
    return halved


def _fingerprint(state: Mapping[str, Tensor]) -> str:
    import torch

    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _require_finite(state: Mapping[str, Tensor], where: str) -> None:
    for name, value in state.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise CongealError(f"expected finite weights {where}, {name} has NaN or infinity")


def _require_whole(state: Mapping[str, Tensor], config: ModelConfig, folder: Path) -> None:
    """Refuse weights that are not those that were saved, or not numbers."""
    path = folder / WEIGHTS
    if config.weights and _fingerprint(state) != config.weights:
        raise CongealError(f"{path} is damaged: its weights are not those that {CONFIG} is about")
    _require_finite(state, f"in {path}")


def _read_weights(path: Path) -> tuple[dict[str, Tensor], str | None]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise CongealError(f"{path.parent} is not a whole model: {path.name} is missing")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            names = list(file.keys())
            return {name: file.get_tensor(name) for name in names}, metadata.get(_KEY)
    except SafetensorError as error:
        raise CongealError(
            f"expected weights in {path}, but the file is cut short or not safetensors"
        ) from error
    except OSError as error:
        raise CongealError(f"cannot read {path}: {error.strerror or error}") from error


def _agreed(config: ModelConfig, embedded: str | None, folder: Path) -> ModelConfig:
    if embedded is None:
        return config
    beside_weights = parse_config(embedded, f"the header of {folder / WEIGHTS}")
    return config if config.weights == beside_weights.weights else beside_weights


def _build(config: ModelConfig, folder: Path) -> Method:
    from congeal.methods.registry import find_method

    try:
        method = find_method(config.method, config.settings.get("task"))
    except CongealError as error:
        raise CongealError(f"{folder / CONFIG}: {error}") from error
    try:
        return method.from_settings(config.settings)
    except (ValueError, TypeError, KeyError) as error:  # CongealErrors are ValueErrors
        reason = " ".join(str(error).split())
        raise CongealError(f"settings in {folder / CONFIG} build no model: {reason}") from error


def _require_fit(model: Method, state: Mapping[str, Tensor], folder: Path) -> None:
    wanted = model.state_dict()
    problems = {
        "missing": sorted(set(wanted) - set(state)),
        "not asked for": sorted(set(state) - set(wanted) - set(model.variable_buffers)),
        "of another shape": sorted(
            name
            for name in set(wanted) & set(state)
            if name not in model.variable_buffers and wanted[name].shape != state[name].shape
        ),
    }
    found = [f"{len(names)} {what} ({names[0]})" for what, names in problems.items() if names]
    if found:
        raise CongealError(
            f"{folder / WEIGHTS} does not fit the settings in {CONFIG}: weights {', '.join(found)}"
        )


register_loader(load)
