"""Memory bank with the segments of earlier batches (SegSort)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from congeal.errors import CongealError

__all__ = ["PrototypeBank", "gather_prototypes"]


@torch.no_grad()
def gather_prototypes(prototypes: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Collect the segments of all processes that train together, in the order of their ranks.

    Outside of distributed training they are given back as they are.

    Args:
        prototypes: ``(K, D)``; their number may differ between processes.
        classes: ``(K,)`` int64.

    Example:
        >>> gather_prototypes(torch.eye(2), torch.tensor([1, 2]))[1].tolist()
        [1, 2]
    """
    from torch import distributed

    if not (distributed.is_available() and distributed.is_initialized()):
        return prototypes, classes
    world = distributed.get_world_size()
    own = classes.new_tensor([len(classes)])
    sizes = [torch.zeros_like(own) for _ in range(world)]
    distributed.all_gather(sizes, own)
    counts = [int(size) for size in sizes]
    found = []
    for part in (prototypes.detach(), classes):
        padded = part.new_zeros(max(counts), *part.shape[1:])
        padded[: len(part)] = part
        every = [torch.zeros_like(padded) for _ in range(world)]
        distributed.all_gather(every, padded)
        found.append(torch.cat([one[:number] for one, number in zip(every, counts, strict=True)]))
    return found[0], found[1]


class PrototypeBank(nn.Module):
    """Prototypes and classes of the segments of the last batches, first in, first out.

    The bank starts empty and holds no gradient. What it holds are buffers: they move with the
    module and survive its ``state_dict``, whatever their number. Processes that train together
    keep a bank each: fill it with what :func:`gather_prototypes` gives, and all are alike, or wrap
    them with ``DistributedDataParallel(..., broadcast_buffers=False)``, since their lengths differ.

    Args:
        batches: how many batches are kept (2 in SegSort's experiments); 0 keeps none.

    Attributes:
        prototypes: ``(M, D)`` unit vectors, the oldest first.
        classes: ``(M,)`` int64, the semantic class of each.
        sizes: ``(n,)`` int64, how many of them came with each batch.

    Raises:
        CongealError: the number of batches is negative.

    Example:
        >>> bank = PrototypeBank(batches=2)
        >>> for batch in range(3):
        ...     bank.push(torch.eye(4)[:2], torch.full((2,), batch))
        >>> len(bank), bank.classes.tolist()
        (4, [1, 1, 2, 2])
    """

    prototypes: Tensor
    classes: Tensor
    sizes: Tensor

    def __init__(self, batches: int = 2) -> None:
        super().__init__()
        if batches < 0:
            raise CongealError(f"expected a number of batches of at least 0, got {batches}")
        self.batches = batches
        self.register_buffer("prototypes", torch.zeros(0, 0))
        self.register_buffer("classes", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("sizes", torch.zeros(0, dtype=torch.int64))

    def __len__(self) -> int:
        """The number of prototypes held."""
        return len(self.classes)

    @torch.no_grad()
    def push(self, prototypes: Tensor, classes: Tensor) -> None:
        """Add the segments of a batch, possibly none, and drop the oldest batch.

        Args:
            prototypes: ``(K, D)`` unit vectors; their gradient is not kept.
            classes: ``(K,)`` integers.

        Raises:
            CongealError: the shapes do not fit each other or what is held.
        """
        if prototypes.ndim != 2 or classes.shape != prototypes.shape[:1]:
            raise CongealError(
                "expected prototypes (K, D) and classes (K,), "
                f"got {tuple(prototypes.shape)} and {tuple(classes.shape)}"
            )
        held, held_classes = self.read(prototypes)
        self.prototypes = torch.cat([held, prototypes.detach()])
        self.classes = torch.cat([held_classes, classes.to(held_classes)])
        self.sizes = torch.cat([self.sizes, self.sizes.new_tensor([len(classes)])])
        self._forget()

    def read(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """The content, in the type and on the device of the prototypes ``like`` ``(K, D)``.

        Returns:
            ``(M, D)`` prototypes and ``(M,)`` classes.

        Raises:
            CongealError: the bank holds prototypes of another dimension.
        """
        classes = self.classes.to(like.device)
        if not len(self):
            return like.new_zeros(0, like.shape[1]), classes
        if self.prototypes.shape[1] != like.shape[1]:
            raise CongealError(
                f"expected prototypes of dimension {self.prototypes.shape[1]}, as the bank holds, "
                f"got {like.shape[1]}"
            )
        return self.prototypes.to(like), classes

    def reset(self) -> None:
        """Remove all segments."""
        self.prototypes = self.prototypes.new_zeros(0, 0)
        self.classes = self.classes[:0].clone()
        self.sizes = self.sizes[:0].clone()

    def extra_repr(self) -> str:
        """Summary of the content, for ``repr``."""
        return f"batches={self.batches}"

    def _forget(self) -> None:
        gone = max(len(self.sizes) - self.batches, 0)
        first = int(self.sizes[:gone].sum())
        self.prototypes = self.prototypes[first:].clone()
        self.classes = self.classes[first:].clone()
        self.sizes = self.sizes[gone:].clone()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        """Resize the buffers to the loaded number of prototypes."""
        for name in ("prototypes", "classes", "sizes"):
            given = state_dict.get(prefix + name)
            if given is not None:
                device = getattr(self, name).device
                setattr(self, name, torch.empty_like(given, device=device))
        super()._load_from_state_dict(state_dict, prefix, *others)
        self._forget()
