"""Scores of objects by a linear regressor that predicts their IoU with the truth.

Its features are the shape of an object and its agreement with the semantic map. It is fitted on
training images at the end of the training, and stored with the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from congeal.data.sample import Dataset, Sample
from congeal.labels import contingency

__all__ = [
    "BUFFERS",
    "FEATURES",
    "FITTED_IMAGES",
    "Described",
    "FoundObjects",
    "ScoreRegressor",
    "fit_scores",
    "object_quality",
    "true_heights",
]

FITTED_IMAGES = 32  # maximum number of training images, evenly spread; the fit has 7 parameters
RIDGE = 4.0  # regularisation towards the foreground score, equivalent to 4 objects
FEATURES = (
    "foreground",
    "agreement",
    "width over height",
    "area over square",
    "calibrated height",
    "connectedness",
)
"""Features of the regressor:

- foreground: mean probability of foreground over the pixels of the object;
- agreement: mean probability of the object's class over its pixels;
- width over height: log2 of the ratio for its bounding box;
- area over square: area / max(height, width)^2;
- calibrated height: abs(log2(height / median height of true objects of its class));
- connectedness: area of its largest connected component / area.
"""
HEIGHT = FEATURES.index("calibrated height")
BUFFERS = ("weight", "bias", "heights")

Floats = NDArray[np.float64]


class Described(NamedTuple):
    """Features and classes of the objects of an image.

    Attributes:
        features: ``(K, F)``, in the order of :data:`FEATURES`; the height is log2 of pixels, not
            calibrated.
        classes: ``(K,)`` from 1.
    """

    features: Floats
    classes: NDArray[np.int64]


class FoundObjects(NamedTuple):
    """The objects of an image, without scores.

    Attributes:
        labels: ``(H, W)``, 1 to K without gaps.
        classes: ``(K,)`` from 1.
        probabilities: ``(K, C + 1)``, mean probability of background and each class.
    """

    labels: NDArray[np.int64]
    classes: NDArray[np.int64]
    probabilities: NDArray[np.float32]

    @property
    def foreground(self) -> NDArray[np.float32]:
        """Mean probability of foreground ``(K,)``."""
        return 1 - self.probabilities[:, 0]

    def described(self) -> Described:
        """Features of the regressor.

        Example:
            >>> bar = np.array([[1, 1, 1, 1], [0, 0, 0, 0]])
            >>> probabilities = np.array([[0.25, 0.75]])
            >>> FoundObjects(bar, np.array([1]), probabilities).described().features.tolist()
            [[0.75, 0.75, 2.0, 0.25, 0.0, 1.0]]
        """
        boxes = enumerate(ndimage.find_objects(self.labels), 1)
        rows = [_shape(self.labels[box] == k) for k, box in boxes]
        shapes = np.array(rows, np.float64).reshape(-1, 4)
        agreement = self.probabilities[np.arange(len(self.classes)), self.classes]
        features = np.column_stack([self.foreground, agreement, shapes])
        return Described(features.astype(np.float64), self.classes)


def _shape(mask: NDArray[np.bool_]) -> tuple[float, ...]:
    """Shape features of a mask that is cropped to its bounding box."""
    (height, width), area = mask.shape, int(mask.sum())
    parts, _ = ndimage.label(mask, np.ones((3, 3)))
    return (
        float(np.log2(width / height)),
        area / max(height, width) ** 2,
        float(np.log2(height)),
        float(np.bincount(parts.ravel())[1:].max() / area),
    )


def object_quality(
    sample: Sample, labels: NDArray[np.int64], classes: NDArray[np.int64], classed: bool
) -> Floats:
    """Highest IoU of each predicted object with a true object of its class.

    Args:
        sample: the image with its truth.
        labels: ``(H, W)``, predicted objects 1 to K.
        classes: ``(K,)``, their classes, from 1.
        classed: whether classes have to agree.

    Returns:
        ``(K,)``, highest IoU without void pixels; NaN (unknown) for objects that are only on void,
        or that match (IoU >= .5) a true object whose class is ignored.

    Example:
        >>> truth = np.array([[1, 1, 1, 1, 0]])
        >>> sample = Sample("bar", np.zeros((1, 5, 1), np.uint8), truth)
        >>> object_quality(sample, np.array([[0, 1, 1, 1, 2]]), np.array([1, 1]), False).tolist()
        [0.75, 0.0]
    """
    quality = np.full(len(classes), np.nan)
    table = contingency(sample.labels, labels)
    found = table.pred_ids[table.pred_ids > 0]
    quality[found - 1] = 0.0
    true, pred = table.true_ids[table.rows], table.pred_ids[table.cols]
    union = table.true_areas[table.rows] + table.pred_areas[table.cols] - table.counts
    iou = table.counts / union
    known = _classes_of(sample) if classed else np.ones(int(true.max(initial=0)) + 1, np.int64)
    both = (true > 0) & (pred > 0)
    for t, k, value in zip(true[both], pred[both], iou[both], strict=True):
        if known[t] < 0 and value >= 0.5:
            quality[k - 1] = np.nan
        elif not classed or known[t] == classes[k - 1]:
            quality[k - 1] = max(quality[k - 1], value)
    return quality


def _classes_of(sample: Sample) -> NDArray[np.int64]:
    """Class of background (0), then of each true object."""
    count = int(sample.labels.max(initial=0))
    own = np.ones(count, np.int64) if sample.classes is None else sample.classes
    return np.concatenate([[0], own])


def true_heights(sample: Sample, classed: bool) -> list[tuple[int, float]]:
    """Class, and log2 of the height in pixels, of each true object of an image.

    Example:
        >>> sample = Sample("bar", np.zeros((4, 1, 1), np.uint8), np.ones((4, 1), np.int64))
        >>> true_heights(sample, classed=False)
        [(1, 2.0)]
    """
    known = _classes_of(sample)
    boxes = enumerate(ndimage.find_objects(np.maximum(sample.labels, 0)), 1)
    heights = [(k, box[0].stop - box[0].start) for k, box in boxes if box is not None]
    return [(int(known[k]) if classed else 1, float(np.log2(height))) for k, height in heights]


class ScoreRegressor(nn.Module):
    """Linear regression from :data:`FEATURES` to the IoU of an object with the truth.

    Its buffers are saved with a model only after fitting.

    Attributes:
        weight: ``(F,)``; empty until fitted.
        bias: ``(1,)``.
        heights: ``(C,)``, log2 of the median height of true objects of each class.

    Example:
        >>> regressor = ScoreRegressor()
        >>> regressor.fitted, regressor.state_dict()
        (False, OrderedDict())
    """

    weight: Tensor
    bias: Tensor
    heights: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in BUFFERS:
            self.register_buffer(name, torch.zeros(0))

    @property
    def fitted(self) -> bool:
        """Whether there are weights."""
        return self.weight.numel() > 0

    def clear(self) -> None:
        """Remove the fitted weights."""
        for name in BUFFERS:
            setattr(self, name, getattr(self, name).new_zeros(0))

    def fit(
        self, found: Described, quality: Floats, heights: list[tuple[int, float]], classes: int
    ) -> None:
        """Fit the weights by ridge regression, without objects of unknown quality.

        The ridge regularises towards the mean foreground probability: with few objects the score is
        close to it; with many objects the ridge has no effect.

        Args:
            found: objects of training images.
            quality: ``(K,)``, IoU with the truth, NaN if unknown.
            heights: heights of true objects, by :func:`true_heights`.
            classes: C, number of classes.
        """
        known = np.isfinite(quality)
        self.clear()
        if not known.any() or not heights:
            return
        self.heights = self._stored(_typical(heights, classes))
        x, y = self._calibrated(found)[known], quality[known]
        weight, bias = _ridge(x, y - x[:, 0])
        weight[0] += 1.0
        self.weight, self.bias = self._stored(weight), self._stored(np.array([bias]))

    def scores(self, found: Described) -> NDArray[np.float32]:
        """Predicted quality ``(K,)`` of objects, in [0, 1]."""
        weight, bias = (t.double().cpu().numpy() for t in (self.weight, self.bias))
        scores: Floats = self._calibrated(found) @ weight + bias
        return scores.clip(0, 1).astype(np.float32)

    def named_weights(self) -> Mapping[str, float]:
        """Weights by name, for the model card; empty before fitting."""
        if not self.fitted:
            return {}
        named = zip(FEATURES, self.weight.tolist(), strict=True)
        return {**{f"score: {name}": w for name, w in named}, "score: constant": float(self.bias)}

    def _stored(self, values: Floats) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float32).to(self.weight.device)

    def _calibrated(self, found: Described) -> Floats:
        """The features with calibrated heights."""
        features = found.features.copy()
        usual = self.heights.double().cpu().numpy()[found.classes - 1]
        features[:, HEIGHT] = np.abs(features[:, HEIGHT] - usual)
        return features

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        if self.fitted:
            super()._save_to_state_dict(destination, prefix, keep_vars)

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Load fitted weights, or clear them if the state has none."""
        self.clear()
        if prefix + BUFFERS[0] not in state_dict:
            return
        for name in BUFFERS:
            like = getattr(self, name)
            setattr(self, name, like.new_zeros(state_dict[prefix + name].shape))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def fit_scores(
    regressor: ScoreRegressor,
    find: Callable[[NDArray[Any]], FoundObjects],
    dataset: Dataset,
    *,
    classes: int,
    min_score: float = 0.0,
    on_image: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Fit a regressor on the predicted objects of up to :data:`FITTED_IMAGES` images.

    Args:
        regressor: changed in place.
        find: predicts the objects of an image.
        dataset: training images with objects.
        classes: C, number of classes; with one, classes of the data are ignored.
        min_score: minimum foreground probability of an object, as in decoding.
        on_image: called with the number of images done and their count.
    """
    count, heights = min(FITTED_IMAGES, len(dataset)), list[tuple[int, float]]()
    rows: list[tuple[Floats, NDArray[np.int64], Floats]] = []
    for done in range(count):
        on_image(done, count)
        sample = dataset[done * len(dataset) // count]
        found = find(sample.image)
        keep = found.foreground >= min_score
        quality = object_quality(sample, found.labels, found.classes, classes > 1)
        described = found.described()
        rows.append((described.features[keep], described.classes[keep], quality[keep]))
        heights += [one for one in true_heights(sample, classes > 1) if one[0] > 0]
    on_image(count, count)
    if rows:
        features, kinds, qualities = (np.concatenate(column) for column in zip(*rows, strict=True))
        regressor.fit(Described(features, kinds), qualities, heights, classes)


def _typical(heights: list[tuple[int, float]], classes: int) -> Floats:
    """Median height of each class; median of all heights for classes without objects."""
    kinds, values = (np.array(column) for column in zip(*heights, strict=True))
    own = [values[kinds == kind] for kind in range(1, classes + 1)]
    return np.array([np.median(some if len(some) else values) for some in own])


def _ridge(x: Floats, y: Floats) -> tuple[Floats, float]:
    """Weights ``(F,)`` and constant; the ridge applies to standardised features."""
    spread = x.std(0)
    used = spread > 1e-6
    z = (x[:, used] - x[:, used].mean(0)) / spread[used]
    normal = z.T @ z + RIDGE * np.eye(z.shape[1])
    weight = np.zeros(x.shape[1])
    weight[used] = np.linalg.solve(normal, z.T @ (y - y.mean())) / spread[used]
    return weight, float(y.mean() - x.mean(0) @ weight)
