"""RPE for object proposals, pooled over bandwidths (Kong & Fowlkes, CVPR 2018, section 4.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from congeal.data.measures import TrainingSurvey
from congeal.methods.method import MapPrediction
from congeal.methods.rpe.config import PRESETS
from congeal.methods.rpe.model import RPE
from congeal.methods.rpe.pooling import pool_proposals
from congeal.methods.rpe.proposals_config import PROPOSAL_SEARCH, RPEProposalsConfig
from congeal.methods.rpe.scoring import FoundObjects
from congeal.segmentation import Segmentation
from congeal.sphere import normalise

__all__ = ["RPEProposals"]


class RPEProposals(RPE):
    """Ranked, possibly overlapping candidates for objects of any class.

    Network and losses are those of :class:`RPE` with one class. The embedding is grouped once per
    bandwidth; smaller bandwidths split objects that larger ones join. The objects of all bandwidths
    are pooled; of near-duplicates only the best is kept. The score of a proposal is the product of
    its mean foreground probability, the length of its mean embedding, and its mean best IoU with
    the objects of each bandwidth.

    Example:
        >>> model = RPEProposals(dimensions=4, coordinates="none")
        >>> model.segment(np.zeros((30, 50, 3), np.uint8)).shape
        (30, 50)
    """

    Config = RPEProposalsConfig  # type: ignore[assignment]
    tasks = ("proposals",)
    siblings: ClassVar[Mapping[str, str]] = {}
    search_space = PROPOSAL_SEARCH
    start_models: ClassVar[Mapping[str, str]] = {"proposals": "nuclei"}
    presets = PRESETS

    config: RPEProposalsConfig  # type: ignore[assignment]

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> RPEProposals:
        """Create a model from stored settings; version 0.1 had no proposals."""
        return super(RPE, cls).from_settings(settings)

    @property
    def kinds(self) -> tuple[str, ...]:
        """One class, regardless of the classes of the data."""
        return ("object",)

    @property
    def pools_classes(self) -> bool:
        """False: there is only one class."""
        return False

    @classmethod
    def suggest(cls, survey: TrainingSurvey) -> dict[str, Any]:
        """As for instances, without ``decoding.min_score``: proposals are ranked, not rejected."""
        return _without_min_score(super().suggest(survey))

    @classmethod
    def adapt(cls, survey: TrainingSurvey, base: Any) -> dict[str, Any]:
        """As for instances, without ``decoding.min_score``."""
        found = _without_min_score(super().adapt(survey, base))
        return {path: value for path, value in found.items() if path in cls.Config.leaves()}

    @torch.inference_mode()
    def decode(self, maps: MapPrediction, *, keep_embedding: bool = False) -> Segmentation:
        """Group the embedding with each bandwidth, then pool and rank the objects.

        Example:
            >>> model = RPEProposals(dimensions=4, coordinates="none")
            >>> maps = model.predict_maps(np.zeros((30, 50), np.uint8))
            >>> model.configure(bandwidths=(1.0,)).decode(maps).shape
            (30, 50)
        """
        c = self.config.decoding
        widths = c.bandwidths if c.grouping == "auto" else (1.0,)
        found = [self._filtered(self._found(maps, width)) for width in widths]
        scores = [self._scores(one, maps) for one in found]
        labels = [one.labels for one in found]
        ranked = pool_proposals(
            labels, scores, max_iou=c.duplicate_iou, max_proposals=c.max_proposals
        )
        embedding = maps.maps["embedding"].float().cpu().numpy() if keep_embedding else None
        return Segmentation.from_masks(ranked.masks, ranked.scores, embedding=embedding)

    def _filtered(self, found: FoundObjects) -> FoundObjects:
        """Objects whose foreground probability is at least ``decoding.min_score``."""
        keep = found.foreground >= self.config.decoding.min_score
        if keep.all():
            return found
        rename = np.concatenate([[0], np.where(keep, np.cumsum(keep), 0)])
        return FoundObjects(rename[found.labels], found.classes[keep], found.probabilities[keep])

    def _scores(self, found: FoundObjects, maps: MapPrediction) -> NDArray[np.float64]:
        """Scores of the objects of one bandwidth, without the stability factor."""
        if self.config.decoding.score == "regressor" and self.scoring.fitted:
            return np.asarray(self.scoring.scores(found.described()), np.float64)
        compact = _compactness(maps.maps["embedding"].float(), found.labels, maps.stride)
        return found.foreground.astype(np.float64) * compact


def _compactness(
    embedding: torch.Tensor, labels: NDArray[np.int64], stride: int
) -> NDArray[np.float64]:
    """Length of the mean embedding of each object; 1 for objects without pixel on the grid.

    Example:
        >>> unit = torch.tensor([[[1.0, 0.0, 1.0]], [[0.0, 1.0, 0.0]]])
        >>> _compactness(unit, np.array([[1, 1, 2]]), 1).round(3).tolist()
        [0.707, 1.0]
    """
    count = int(labels.max(initial=0))
    rows, columns = embedding.shape[1:]
    coarse = torch.from_numpy(labels[::stride, ::stride][:rows, :columns].copy())
    index = coarse.reshape(-1).to(embedding.device)
    unit = normalise(embedding[:, : coarse.shape[0], : coarse.shape[1]], dim=0).flatten(1).T
    sums = unit.new_zeros(count + 1, unit.shape[1]).index_add(0, index, unit)
    area = torch.bincount(index, minlength=count + 1)
    length = torch.linalg.vector_norm(sums, dim=1) / area.clamp_min(1)
    found: NDArray[np.float64] = (
        torch.where(area > 0, length.clamp_max(1), 1.0)[1:].double().cpu().numpy()
    )
    return found


def _without_min_score(settings: dict[str, Any]) -> dict[str, Any]:
    return {path: value for path, value in settings.items() if path != "decoding.min_score"}
