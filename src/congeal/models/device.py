"""Choice of the device that a model runs on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from congeal.errors import CongealError, unknown

if TYPE_CHECKING:
    import torch

__all__ = ["choose_device"]


def choose_device(name: str = "auto") -> torch.device:
    """The PyTorch device of a name.

    Args:
        name: ``"auto"`` (CUDA, else MPS, else CPU), ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or
            ``"mps"``.

    Raises:
        CongealError: the name is unknown, or the machine has no such device.

    Example:
        >>> choose_device("cpu")
        device(type='cpu')
    """
    import torch

    kind, _, index = name.partition(":")
    if kind not in {"auto", "cpu", "cuda", "mps"} or (index and not index.isdecimal()):
        raise unknown("device", name, ["auto", "cpu", "cuda", "cuda:0", "mps"])
    present = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if kind == "auto":
        return torch.device(next((device for device, count in present.items() if count), "cpu"))
    if kind != "cpu" and int(index or 0) >= present[kind]:
        raise CongealError(f"expected a device of this machine, got {name!r}; try 'auto' or 'cpu'")
    return torch.device(name)
