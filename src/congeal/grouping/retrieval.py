"""Classes of segments by their nearest prototypes (SegSort, ICCV 2019, section 3.4)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor

from congeal.autograd import full_precision
from congeal.errors import CongealError
from congeal.files import atomic_path
from congeal.grouping.groups import Grouping, Groups, OverBatch
from congeal.grouping.kmeans import SphericalKMeans
from congeal.neighbours import majority_vote, nearest_neighbours
from congeal.sphere import normalise

__all__ = [
    "Neighbours",
    "Retrieval",
    "RetrievedGroups",
    "semantic_map",
]

_STORED = ("prototypes", "classes", "images", "segment_ids")


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest prototypes of N queries, nearest first.

    Attributes:
        similarity: ``(N, k)`` cosines.
        index: ``(N, k)`` int64, which prototypes of the bank they are.
    """

    similarity: Tensor
    index: Tensor


@dataclass(frozen=True, eq=False)
class RetrievedGroups(Groups):
    """Groups with classes, and the prototypes that voted for them.

    Attributes:
        neighbours: of each group, ``(K, k)``.
    """

    neighbours: Neighbours | None = None


def semantic_map(groups: Groups) -> Tensor:
    """``(*S)`` int64 class of each pixel's group, 0 (background) where there is no group.

    Raises:
        CongealError: the groups have no classes.

    Example:
        >>> layers = torch.tensor([[[1, 1, 0, 2]]])
        >>> one = torch.ones(2)
        >>> semantic_map(Groups(layers, one[:, None], one, torch.tensor([7, 3]))).tolist()
        [[7, 7, 0, 3]]
    """
    if groups.classes is None:
        raise CongealError("expected groups with classes, got none")
    return torch.cat([groups.classes.new_zeros(1), groups.classes])[groups.labels]


@dataclass(frozen=True, eq=False)
class Retrieval(OverBatch):
    """Assigns segments the majority class of their nearest prototypes (SegSort).

    The bank holds one prototype for every segment of every training image. What a query found is
    returned too: the segments found show why it got its class.

    Args:
        prototypes: ``(M, D)``, at least one, any length (compared by cosine).
        classes: ``(M,)`` int64 class of each, at least 0.
        k: neighbours that vote; the paper takes 15 to 21. A smaller bank votes as a whole.
        block: prototypes compared at once; bounds the memory, not the result.
        segments: makes the segments of :meth:`group`.
        images: ``(M,)`` int64, the training image each prototype comes from, if known.
        segment_ids: ``(M,)`` int64, the label of its segment there, if known.

    Raises:
        CongealError: shapes do not fit, a value is not finite or out of range.

    Example:
        >>> bank = Retrieval(torch.eye(3), torch.tensor([4, 4, 9]), k=1)
        >>> bank.classify(torch.tensor([[0.1, 0.0, 1.0], [1.0, 0.2, 0.0]])).tolist()
        [9, 4]
        >>> bank.neighbours(torch.tensor([[0.1, 0.0, 1.0]])).index.tolist()
        [[2]]
    """

    prototypes: Tensor
    classes: Tensor
    k: int = 15
    block: int = 65536
    segments: Grouping = field(default_factory=SphericalKMeans)
    images: Tensor | None = None
    segment_ids: Tensor | None = None

    def __post_init__(self) -> None:
        shape = tuple(self.prototypes.shape)
        if len(shape) != 2 or not shape[0] or not self.prototypes.is_floating_point():
            raise CongealError(f"expected float prototypes (M, D), M >= 1, got {shape}")
        if not bool(torch.isfinite(self.prototypes).all()):
            raise CongealError("expected finite prototypes, got NaN or infinity")
        named = (("classes", self.classes), ("images", self.images))
        for name, part in (*named, ("segment_ids", self.segment_ids)):
            if part is not None and tuple(part.shape) != shape[:1]:
                raise CongealError(f"expected {shape[0]} {name}, got {tuple(part.shape)}")
        if self.classes.is_floating_point() or bool((self.classes < 0).any()):
            raise CongealError("expected classes of at least 0, without void, got others")
        if self.k < 1 or self.block < 1:
            raise CongealError(f"expected k and block >= 1, got {self.k} and {self.block}")

    @classmethod
    def from_images(
        cls,
        images: Iterable[tuple[Tensor, Tensor]],
        *,
        k: int = 15,
        block: int = 65536,
        segments: Grouping | None = None,
    ) -> Retrieval:
        """Create the bank from training images and their truth.

        A prototype stands for what a segment and a class share, so a segment over two classes
        gives two. Void gives none; class 0 is a class like the others.

        Args:
            images: pairs of an embedding ``(D, *S)`` and a semantic map ``(*S)``, -1 void.
            k: see the class.
            block: see the class.
            segments: see the class; None: SphericalKMeans().

        Raises:
            CongealError: there is no pixel of any class, or shapes do not fit.

        Example:
            >>> truth = torch.tensor([[0, 0, 3, -1]])
            >>> embedding = torch.nn.functional.one_hot(truth + 1).movedim(-1, 0).float()
            >>> Retrieval.from_images([(embedding, truth)]).classes.unique().tolist()
            [0, 3]
        """
        cut = SphericalKMeans() if segments is None else segments
        parts = [
            _training_segments(number, embedding, truth, cut)
            for number, (embedding, truth) in enumerate(images)
        ]
        if not sum(len(part[1]) for part in parts):
            raise CongealError("expected training images with pixels of a class, got none")
        prototypes, classes, number, ids = (
            torch.cat(column) for column in zip(*parts, strict=True)
        )
        return cls(prototypes, classes, k, block, cut, number, ids)

    def save(self, path: str | Path) -> Path:
        """Write the bank (not ``k``, ``block`` and ``segments``) as safetensors.

        Args:
            path: of the file.

        Raises:
            CongealError: it cannot be written.
        """
        from safetensors.torch import save

        parts = {name: getattr(self, name) for name in _STORED}
        present = {
            name: part.cpu().contiguous() for name, part in parts.items() if part is not None
        }
        with atomic_path(Path(path)) as target:
            target.write_bytes(save(present))
        return Path(path)

    @classmethod
    def load(
        cls, path: str | Path, *, k: int = 15, block: int = 65536, segments: Grouping | None = None
    ) -> Retrieval:
        """Read a bank that :meth:`save` wrote.

        Args:
            path: of the file.
            k: see the class.
            block: see the class.
            segments: see the class; None: SphericalKMeans().

        Raises:
            CongealError: the file does not exist, or is not a bank.

        Example:
            >>> import tempfile
            >>> path = Path(tempfile.mkdtemp()) / "bank.safetensors"
            >>> bank = Retrieval(torch.eye(2), torch.tensor([1, 2]))
            >>> Retrieval.load(bank.save(path), k=3).classes.tolist()
            [1, 2]
        """
        from safetensors.torch import load_file

        try:
            parts = load_file(path)
            prototypes, classes = parts["prototypes"], parts["classes"]
        except (OSError, KeyError, SafetensorError) as error:
            raise CongealError(f"expected a bank of prototypes in {path}: {error}") from error
        cut = SphericalKMeans() if segments is None else segments
        origin = (parts.get("images"), parts.get("segment_ids"))
        return cls(prototypes, classes, k, block, cut, *origin)

    @torch.no_grad()
    def neighbours(self, queries: Tensor) -> Neighbours:
        """Find the nearest prototypes of each query; of equally near ones the first of the bank.

        Args:
            queries: ``(N, D)``, any length.

        Raises:
            CongealError: shapes do not fit, or a value is not finite.
        """
        width = self.prototypes.shape[1]
        if queries.ndim != 2 or queries.shape[1] != width:
            raise CongealError(f"expected queries (N, {width}), got {tuple(queries.shape)}")
        if not bool(torch.isfinite(queries).all()):
            raise CongealError("expected finite queries, got NaN or infinity")
        with torch.autocast(queries.device.type, enabled=False):
            bank = normalise(self.prototypes, dim=1)
            unit = normalise(queries, dim=1).to(bank.dtype)
            return Neighbours(*nearest_neighbours(unit, bank, self.k, self.block))

    def vote(self, neighbours: Neighbours) -> tuple[Tensor, Tensor]:
        """Class ``(N,)`` that most neighbours have (of several the smallest), and its share."""
        return majority_vote(self.classes.long()[neighbours.index])

    def classify(self, queries: Tensor) -> Tensor:
        """``(N,)`` int64 class of each of ``(N, D)`` queries."""
        return self.vote(self.neighbours(queries))[0]

    @full_precision
    def group(
        self, embedding: Tensor, mask: Tensor | None = None, weights: Tensor | None = None
    ) -> RetrievedGroups:
        """Divide an image into segments, and classify each.

        Segments of one class stay apart; :func:`semantic_map` joins them.

        Args:
            embedding: ``(D, *S)``.
            mask: ``(*S)`` bool, the pixels to group; None: all.
            weights: ``(*S)`` mass of each pixel; None: all the same.

        Returns:
            The segments with their classes, the share of the vote as scores, and the neighbours.
        """
        groups = self.segments.group(embedding, mask, weights)
        neighbours = self.neighbours(groups.prototypes)
        classes, share = self.vote(neighbours)
        scores = share.to(groups.scores.dtype)
        return RetrievedGroups(groups.layers, groups.prototypes, scores, classes, neighbours)


def _training_segments(
    number: int, embedding: Tensor, truth: Tensor, cut: Grouping
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Prototypes of an image, and for each its class, the image and its segment."""
    labels = cut.group(embedding, truth >= 0).labels
    kinds = int(truth.max()) + 1 if truth.numel() else 1
    both = torch.where((labels > 0) & (truth >= 0), labels * kinds + truth, 0)
    points = normalise(embedding.detach().flatten(1)[:, both.flatten() > 0].T, dim=1)
    ids, index = torch.unique(both[both > 0], return_inverse=True)
    sums = points.new_zeros(len(ids), len(embedding)).index_add_(0, index, points)
    return normalise(sums, dim=1), ids % kinds, torch.full_like(ids, number), ids // kinds
