"""Settings of RPE for proposals, with the values of the paper."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import field_validator

from congeal.methods.method import SearchStep
from congeal.methods.rpe.config import ObjectConfig, RPEDecoding
from congeal.methods.rpe.search import SEARCH_SPACE
from congeal.settings import setting
from congeal.tasks import TaskName

__all__ = ["PROPOSAL_SEARCH", "RPEProposalsConfig"]


class ProposalDecoding(RPEDecoding):
    """From embeddings to ranked proposals; the weights do not depend on these settings."""

    bandwidths: tuple[float, ...] = setting(
        (1.0, 0.7, 0.5, 0.35),
        "bandwidths of the pooled groupings, relative to that of the other settings; used with "
        "grouping=auto only",
        paper="several, smaller",
        adjustable=True,
    )
    duplicate_iou: float = setting(
        0.9,
        "of two proposals with a larger IoU, the one of lower score is removed",
        ge=0,
        le=1,
        adjustable=True,
    )
    max_proposals: int = setting(
        200, "maximum number of proposals per image", ge=1, adjustable=True
    )

    @field_validator("bandwidths")
    @classmethod
    def _positive(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if not values or not all(0.01 <= value <= 10 for value in values):
            raise ValueError("expected at least one bandwidth, each from 0.01 to 10")
        return values


class RPEProposalsConfig(ObjectConfig):
    """Settings of :class:`RPEProposals`; all are saved with a model.

    Example:
        >>> RPEProposalsConfig.from_settings({"bandwidths": (1.0, 0.5)}).decoding.bandwidths
        (1.0, 0.5)
    """

    task: TaskName = setting("proposals", "what the model is for")
    decoding: ProposalDecoding = ProposalDecoding()


def _iou(value: float, way: int) -> float | None:
    ahead = round(value + 0.05 * way, 3)
    return ahead if 0.5 <= ahead <= 1 else None


PROPOSAL_SEARCH: Mapping[str, SearchStep] = {**SEARCH_SPACE, "decoding.duplicate_iou": _iou}
