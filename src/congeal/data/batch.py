"""What a training step sees: crops of images with their maps, all moved by the same geometry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import torch
from torch import Tensor

__all__ = ["MAPS", "Batch"]

MAPS = ("labels", "semantic", "boundaries", "location")


@dataclass(frozen=True, eq=False)
class Batch:
    """Images with the maps that a method asks for; maps that it does not ask for are None.

    A single crop is a batch too, of one image.

    Attributes:
        image: ``(B, 3, H, W)`` float32, about 0 to 1.
        labels: ``(B, H, W)`` int64, 0 background, 1..K objects, -1 void.
        semantic: ``(B, H, W)`` int64 class ids, 0 background, -1 void.
        boundaries: ``(B, H, W)`` float32, share of the annotators who see a boundary at the
            pixel, 0 to 1; -1 void.
        location: ``(B, 2, H, W)`` float32, y and x of the pixel in its whole image, 0 to 1; -1
            beyond the image.

    Example:
        >>> one = Batch(torch.zeros(1, 3, 8, 8), labels=torch.zeros(1, 8, 8, dtype=torch.int64))
        >>> len(Batch.collate([one, one]))
        2
    """

    image: Tensor
    labels: Tensor | None = None
    semantic: Tensor | None = None
    boundaries: Tensor | None = None
    location: Tensor | None = None

    def __len__(self) -> int:
        return len(self.image)

    @classmethod
    def collate(cls, parts: Sequence[Self]) -> Self:
        """Join batches into one, as a DataLoader asks for it."""
        columns = {
            field.name: [getattr(part, field.name) for part in parts] for field in fields(cls)
        }
        joined: dict[str, Any] = {
            name: None if column[0] is None else torch.cat(column)
            for name, column in columns.items()
        }
        return cls(**joined)

    def chunk(self, parts: int) -> list[Self]:
        """Divide into ``parts`` batches of the same size, for replicas of the model."""
        step = len(self) // parts
        return [
            self._mapped(lambda tensor, at=at: tensor[at : at + step])  # type: ignore[misc]
            for at in range(0, step * parts, step)
        ]

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """Move to a device."""
        return self._mapped(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Self:
        """Copy to memory from which a GPU reads directly."""
        return self._mapped(lambda tensor: tensor.pin_memory())

    def channels_last(self) -> Self:
        """The same with the image in the memory format that convolutions are quickest with."""
        return replace(self, image=self.image.contiguous(memory_format=torch.channels_last))

    def _mapped(self, change: Callable[[Tensor], Tensor]) -> Self:
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        changed: dict[str, Any] = {n: None if t is None else change(t) for n, t in given.items()}
        return type(self)(**changed)
