"""Class probabilities from another source than the method's own head.

The source is a class map or probabilities given by the caller, or the result of another model.
"""

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

__all__ = ["class_probabilities", "probabilities_of_result"]


def class_probabilities(semantic: NDArray[Any] | Tensor, own: Tensor) -> Tensor:
    """Convert given class ids or probabilities to class probabilities.

    Args:
        semantic: class ids ``(H, W)``, where void (-1) counts as background, or probabilities
            ``(C + 1, H, W)``.
        own: probabilities ``(C + 1, H, W)`` of the method; give shape, dtype and device.

    Returns:
        ``(C + 1, H, W)``, background first; one-hot for class ids.

    Raises:
        CongealError: the shape does not fit, or a class id is too large.

    Example:
        >>> class_probabilities(np.array([[1, 0, -1]]), torch.zeros(2, 1, 3))[1].tolist()
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


def probabilities_of_result(result: Segmentation, class_names: Sequence[str], where: str) -> Tensor:
    """Class probabilities from the result of another model.

    Classes are matched by name. All classes of the other model that are not in ``class_names``
    count as background.

    Args:
        result: result of the other model: its probabilities are used, or else its semantic map, or
            else the classes of its objects.
        class_names: classes wanted, without background.
        where: name of the other model, for errors.

    Returns:
        ``(C + 1, H, W)`` float32, background first.

    Raises:
        CongealError: the other model lacks a class.

    Example:
        >>> result = Segmentation.from_maps(semantic=[[0, 1, 2]], class_names=["car", "man"])
        >>> probabilities_of_result(result, ["man"], "other").tolist()
        [[[1.0, 1.0, 0.0]], [[0.0, 0.0, 1.0]]]
    """
    missing = [name for name in class_names if name not in result.class_names]
    if missing:
        known = ", ".join(result.class_names)
        raise CongealError(f"expected the class {missing[0]} in {where}, which has {known}")
    probabilities = torch.from_numpy(_all_probabilities(result))
    wanted = probabilities[[result.class_names.index(name) + 1 for name in class_names]]
    return torch.cat([(1 - wanted.sum(0, keepdim=True)).clamp_min(0), wanted])


def _all_probabilities(result: Segmentation) -> NDArray[np.float32]:
    """Probabilities ``(C + 1, H, W)`` of all classes of a result, one-hot if it has none."""
    if result.probabilities is not None:
        return result.probabilities.astype(np.float32)
    ids = result.semantic
    if ids is None:
        ids = np.concatenate([[0], result.classes])[result.labels]
    one_hot: NDArray[np.float32] = (
        ids == np.arange(len(result.class_names) + 1)[:, None, None]
    ).astype("f4")
    return one_hot
