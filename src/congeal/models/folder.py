"""Saving and loading of model folders.

The weights file contains a copy of ``config.json``, and ``config.json`` has the fingerprint of the
weights. Saving renames one file after the other. If it is interrupted in between, the fingerprints
differ, and loading uses the copy in the weights file: a folder never mixes two models.
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

_METADATA_KEY = "congeal"  # of the copy of config.json in the weights file


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
    """Write a model folder; replaces a model in it and keeps other files.

    Args:
        model: model of a registered method.
        folder: folder to write; created if missing.
        card: text of ``README.md``.
        training: facts of the training as JSON values.
        metrics: scores by name.
        what: purpose of the model, in a line.
        licence: licence of the weights.
        half: store the weights as float16; they are loaded as float32.

    Returns:
        The folder.

    Raises:
        CongealError: the folder cannot be written, the disk is full, the method of ``model`` is
            not registered, or a weight is NaN, infinite or (with ``half``) above 65504. A model
            in the folder is unchanged then.

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
    """Load a model in evaluation mode.

    Args:
        where: model folder, one of its files, or the name of a shipped model.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"`` or ``"auto"``.
        settings: decoding settings that replace the stored ones (``min_area``, ``grouping``, ...).

    Raises:
        CongealError: there is no such model; a file is missing, cut short or not of congeal; or a
            setting is unknown or out of range.

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
    config = _matching_config(read_config(folder), embedded, folder)
    model = _build(config, folder)
    _require_fit(model, state, folder)
    _require_undamaged(state, config, folder)
    model.load_state_dict(dict(state))
    if settings:
        model.configure(**settings)
    return model.to(target).eval()


def registered_name(model: nn.Module) -> str:
    """Name of the registered method of a model.

    Args:
        model: any module.

    Raises:
        CongealError: it is of no registered method, so it could not be loaded again.

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
    names = ", ".join(method_names())
    raise CongealError(
        f"expected a model of a registered method to save ({names}), got {type(model).__name__}"
    )


def _write(folder: Path, state: Mapping[str, Tensor], config: str, card: str) -> None:
    from safetensors.torch import save

    # All three files are written before the first is renamed. The stack renames in reverse order:
    # weights, card, config.json. The folder therefore is a model only when it is complete.
    with ExitStack() as stack:
        config_path = stack.enter_context(atomic_path(folder / CONFIG))
        card_path = stack.enter_context(atomic_path(folder / CARD))
        weights_path = stack.enter_context(atomic_path(folder / WEIGHTS))
        config_path.write_text(config, encoding="utf-8")
        card_path.write_text(card, encoding="utf-8")
        weights_path.write_bytes(save(dict(state), metadata={_METADATA_KEY: config}))


def _state(model: nn.Module, half: bool) -> dict[str, Tensor]:
    """Weights and buffers on the CPU, as float16 if ``half``."""
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
    """Sixteen hexadecimal digits of a hash of names, types, shapes and values."""
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


def _require_undamaged(state: Mapping[str, Tensor], config: ModelConfig, folder: Path) -> None:
    """Check the fingerprint of the weights, and that they are finite."""
    path = folder / WEIGHTS
    if config.weights and _fingerprint(state) != config.weights:
        raise CongealError(
            f"{path} is damaged: its weights do not have the fingerprint in {CONFIG}"
        )
    _require_finite(state, f"in {path}")


def _read_weights(path: Path) -> tuple[dict[str, Tensor], str | None]:
    """Weights by name, and the copy of ``config.json`` in the file, if any."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise CongealError(f"{path.parent} is not a complete model: {path.name} is missing")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            names = list(file.keys())
            return {name: file.get_tensor(name) for name in names}, metadata.get(_METADATA_KEY)
    except SafetensorError as error:
        raise CongealError(
            f"expected weights in {path}, but the file is cut short or not safetensors"
        ) from error
    except OSError as error:
        raise CongealError(f"cannot read {path}: {error.strerror or error}") from error


def _matching_config(config: ModelConfig, embedded: str | None, folder: Path) -> ModelConfig:
    """The config that belongs to the weights: ``config``, or else the copy in their file."""
    if embedded is None:
        return config
    copy = parse_config(embedded, f"the header of {folder / WEIGHTS}")
    return config if config.weights == copy.weights else copy


def _build(config: ModelConfig, folder: Path) -> Method:
    """Build the model with random weights."""
    from congeal.methods.registry import find_method

    try:
        method = find_method(config.method, config.settings.get("task"))
    except CongealError as error:
        raise CongealError(f"{folder / CONFIG}: {error}") from error
    try:
        return method.from_settings(config.settings)
    except (ValueError, TypeError, KeyError) as error:  # CongealErrors are ValueErrors
        reason = " ".join(str(error).split())
        raise CongealError(
            f"cannot build a model from the settings in {folder / CONFIG}: {reason}"
        ) from error


def _require_fit(model: Method, state: Mapping[str, Tensor], folder: Path) -> None:
    """Check names and shapes of the weights."""
    wanted = model.state_dict()
    problems = {
        "missing": sorted(set(wanted) - set(state)),
        "unexpected": sorted(set(state) - set(wanted) - set(model.variable_buffers)),
        "of another shape": sorted(
            name
            for name in set(wanted) & set(state)
            if name not in model.variable_buffers and wanted[name].shape != state[name].shape
        ),
    }
    lines = [f"{len(names)} {what} ({names[0]})" for what, names in problems.items() if names]
    if lines:
        raise CongealError(
            f"{folder / WEIGHTS} does not fit the settings in {CONFIG}: weights {', '.join(lines)}"
        )


register_loader(load)
