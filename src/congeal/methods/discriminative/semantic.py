"""Where the classes of pixels come from, if not from the method's own head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from congeal.errors import CongealError
from congeal.segmentation import Segmentation

__all__ = ["class_odds", "odds_of_result"]


def class_odds(semantic: NDArray[Any] | Tensor, own: Tensor) -> Tensor:
    """Probabilities of background and classes by what is told from elsewhere.

    Args:
        semantic: class ids ``(H, W)``, void (-1) as background, or ``(C + 1, H, W)`` in [0, 1].
        own: probabilities ``(C + 1, H, W)`` of the method, for size and type.

    Raises:
        CongealError: the shape is another one.

    Example:
        >>> class_odds(np.array([[1, 0, -1]]), torch.zeros(2, 1, 3))[1].tolist()
        [[1.0, 0.0, 0.0]]
    """
    given = torch.as_tensor(semantic, device=own.device)
    if given.shape == own.shape[1:] and not given.is_floating_point():
        ids = given.long().clamp_min(0)
        if int(ids.max()) >= len(own):
            raise CongealError(f"expected classes 0 to {len(own) - 1}, got {int(ids.max())}")
        return functional.one_hot(ids, len(own)).permute(2, 0, 1).to(own.dtype)
    if given.shape != own.shape:
        height, width = own.shape[1:]
        raise CongealError(
            f"expected class ids ({height}, {width}) or probabilities {tuple(own.shape)}, "
            f"got shape {tuple(given.shape)}"
        )
    return given.to(own.dtype)


def odds_of_result(found: Segmentation, class_names: Sequence[str], where: str) -> Tensor:
    """Probabilities ``(C + 1, H, W)`` of the classes named, by the result of another model.

    Classes are matched by name; what the other model takes for any other class is background.

    Args:
        found: by the other model; its probabilities count, else its semantic map, else its objects.
        class_names: background left out.
        where: name of the other model, for errors.

    Raises:
        CongealError: the other model does not know a class.

    Example:
        >>> result = Segmentation.from_maps(semantic=[[0, 1, 2]], class_names=["car", "man"])
        >>> odds_of_result(result, ["man"], "other").tolist()
        [[[1.0, 1.0, 0.0]], [[0.0, 0.0, 1.0]]]
    """
    missing = [name for name in class_names if name not in found.class_names]
    if missing:
        known = ", ".join(found.class_names)
        raise CongealError(f"expected the class {missing[0]} in {where}, which knows {known}")
    odds = _all_odds(found)
    wanted = torch.from_numpy(odds)[[found.class_names.index(name) + 1 for name in class_names]]
    return torch.cat([(1 - wanted.sum(0, keepdim=True)).clamp_min(0), wanted])


def _all_odds(found: Segmentation) -> NDArray[np.float32]:
    if found.probabilities is not None:
        return found.probabilities.astype(np.float32)
    ids = found.semantic
    if ids is None:
        ids = np.concatenate([[0], found.classes])[found.labels]
    odds: NDArray[np.float32] = (
        ids == np.arange(len(found.class_names) + 1)[:, None, None]
    ).astype("f4")
    return odds
