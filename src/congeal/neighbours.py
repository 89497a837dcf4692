"""Nearest-neighbour search by cosine similarity, and the majority vote of the neighbours."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["majority_vote", "nearest_neighbours"]

QUERY_BATCH = 256  # queries per matrix product; bounds the memory at QUERY_BATCH * block cosines


def nearest_neighbours(
    queries: Tensor, bank: Tensor, k: int, block: int = 65536
) -> tuple[Tensor, Tensor]:
    """Find the k nearest vectors of a bank for each query; ties go to the smaller index.

    Args:
        queries: ``(N, D)`` unit vectors.
        bank: ``(M, D)`` unit vectors of the same dtype, M at least 1.
        k: number of neighbours, at least 1; min(k, M) are returned.
        block: rows of the bank per matrix product; bounds the memory, does not change the result.

    Returns:
        Cosines in descending order, and indices into the bank, each ``(N, min(k, M))``.

    Example:
        >>> cosine, index = nearest_neighbours(torch.tensor([[0.6, 0.8]]), torch.eye(2), 2)
        >>> index.tolist()
        [[1, 0]]
    """
    results = [_search(batch, bank, k, block) for batch in queries.split(QUERY_BATCH)]
    similarity, index = (torch.cat(column) for column in zip(*results, strict=True))
    return similarity, index


def _search(queries: Tensor, bank: Tensor, k: int, block: int) -> tuple[Tensor, Tensor]:
    best = queries.new_zeros(len(queries), 0)
    index = torch.zeros_like(best, dtype=torch.int64)
    for start in range(0, len(bank), block):
        cosine = queries @ bank[start : start + block].T
        near = _largest(cosine, k)
        best = torch.cat([best, cosine.gather(1, near)], 1)
        index = torch.cat([index, near + start], 1)
        first = best.argsort(dim=1, descending=True, stable=True)[:, :k]
        best, index = best.gather(1, first), index.gather(1, first)
    return best, index


def _largest(cosine: Tensor, k: int) -> Tensor:
    """Column indices of the k largest values per row, ascending; ties go to the smaller index.

    ``topk`` breaks ties arbitrarily, so rows with a tie at the k-th value are sorted instead.
    """
    value, index = cosine.topk(min(k, cosine.shape[1]), dim=1)
    tied = ((cosine >= value[:, -1:]).sum(1) > value.shape[1]).nonzero()[:, 0]
    if len(tied):
        order = cosine[tied].argsort(dim=1, descending=True, stable=True)
        index[tied] = order[:, : value.shape[1]]
    return index.sort(1).values


def majority_vote(votes: Tensor) -> tuple[Tensor, Tensor]:
    """Find the most frequent value of each row (the smallest in a tie) and its fraction.

    Args:
        votes: ``(N, k)`` integers, k at least 1.

    Returns:
        ``(N,)`` winners and ``(N,)`` fractions of votes in (0, 1].

    Example:
        >>> winner, fraction = majority_vote(torch.tensor([[2, 1, 2, 5], [3, 3, 1, 1]]))
        >>> winner.tolist(), fraction.tolist()
        ([2, 1], [0.5, 0.5])
    """
    counts = (votes[:, :, None] == votes[:, None]).sum(2)  # (N, k)
    most = counts.amax(1, keepdim=True)
    largest = torch.iinfo(votes.dtype).max
    winner = torch.where(counts == most, votes, largest).amin(1)
    return winner, most[:, 0] / votes.shape[1]
