"""Basic layers of the networks: convolution blocks, residual blocks, frozen batch norm."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

__all__ = ["ConvNorm", "Residual", "freeze_batch_norm"]


class ConvNorm(nn.Sequential):
    """Convolution, batch norm and ReLU: ``(B, C_in, H, W)`` to ``(B, C_out, H / s, W / s)``.

    Args:
        channels_in: C_in.
        channels_out: C_out.
        kernel: side of the kernel, odd.
        stride: s of the convolution.
        dilation: dilation of the convolution.

    Example:
        >>> import torch
        >>> tuple(ConvNorm(3, 8, stride=2)(torch.zeros(1, 3, 6, 6)).shape)
        (1, 8, 3, 3)
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int = 3,
        stride: int = 1,
        dilation: int = 1,
    ) -> None:
        padding = dilation * (kernel // 2)
        super().__init__(
            nn.Conv2d(channels_in, channels_out, kernel, stride, padding, dilation, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
        )


class Residual(nn.Module):
    """Residual block of two 3 x 3 convolutions (He et al. 2016).

    Args:
        channels_in: C_in.
        channels_out: C_out.
        stride: stride of the first convolution.
        dilation: dilation of both convolutions.

    Example:
        >>> import torch
        >>> tuple(Residual(4, 8, stride=2)(torch.zeros(1, 4, 6, 6)).shape)
        (1, 8, 3, 3)
    """

    def __init__(
        self, channels_in: int, channels_out: int, stride: int = 1, dilation: int = 1
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(
            ConvNorm(channels_in, channels_out, 3, stride, dilation),
            nn.Conv2d(channels_out, channels_out, 3, 1, dilation, dilation, bias=False),
            nn.BatchNorm2d(channels_out),
        )
        self.shortcut: nn.Module = nn.Identity()
        if channels_in != channels_out or stride != 1:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride) if stride > 1 else nn.Identity(),
                nn.Conv2d(channels_in, channels_out, 1, bias=False),
                nn.BatchNorm2d(channels_out),
            )

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C_in, H, W)``, sides divisible by s, to ``(B, C_out, H / s, W / s)``."""
        return functional.relu(self.body(x) + self.shortcut(x))


def freeze_batch_norm(module: nn.Module) -> nn.Module:
    """Freeze all batch norm layers of a module, in place: stored moments and fixed weights.

    They stay in evaluation mode in training too. Used with pretrained encoders and small batches
    (RPE, section 4).

    Args:
        module: any module; batch norms of its submodules are frozen.

    Returns:
        The module.

    Example:
        >>> import torch
        >>> frozen = freeze_batch_norm(ConvNorm(3, 4))
        >>> before = frozen[1].running_mean.clone()
        >>> _ = frozen.train()(torch.randn(2, 3, 5, 5))
        >>> torch.equal(before, frozen[1].running_mean)
        True
    """
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, _frozen(child))
        else:
            freeze_batch_norm(child)
    return module


def _frozen(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    """Give a layer a subclass of its class whose ``train`` keeps it in evaluation mode.

    A subclass, because timm's batch norms include an activation.
    """

    def train(self: nn.Module, mode: bool = True) -> nn.Module:
        del mode
        return nn.Module.train(self, False)

    frozen_class = type(f"Frozen{type(norm).__name__}", (type(norm),), {"train": train})
    norm.__class__ = frozen_class
    norm.train(False)
    for parameter in norm.parameters():
        parameter.requires_grad_(False)
    return norm


def upsample_to(x: Tensor, like: Tensor) -> Tensor:
    """Upsample ``x`` to the height and width of ``like``, nearest neighbour."""
    if x.shape[-2:] == like.shape[-2:]:
        return x
    resized: Tensor = functional.interpolate(x, size=like.shape[-2:], mode="nearest")
    return resized
