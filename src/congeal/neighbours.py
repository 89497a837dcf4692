"""The nearest neighbours of vectors by cosine, and the class that most of them have."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["majority_vote", "nearest_neighbours"]

QUERIES = 256  # looked up at once


def nearest_neighbours(
    queries: Tensor, bank: Tensor, k: int, block: int = 65536
) -> tuple[Tensor, Tensor]:
    """The nearest of a bank to each query; of equally near ones the first of the bank.

    Args:
        queries: ``(N, D)`` unit vectors.
        bank: ``(M, D)`` unit vectors of the same type, at least one.
        k: how many, at least 1; a smaller bank gives all.
        block: of the bank compared at once; bounds the memory, not the result.

    Returns:
        Cosines, nearest first, and indices in the bank, ``(N, min(k, M))`` each.

    Example:
        >>> cosine, index = nearest_neighbours(torch.tensor([[0.6, 0.8]]), torch.eye(2), 2)
        >>> index.tolist()
        [[1, 0]]
    """
    found = [_search(some, bank, k, block) for some in queries.split(QUERIES)]
    similarity, index = (torch.cat(column) for column in zip(*found, strict=True))
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
    """Columns of the k largest of each row, ascending; of equal ones at the end the first.

    ``topk`` alone takes any of several equal ones, so rows in which others reach the last one
    taken are sorted.
    """
    value, index = cosine.topk(min(k, cosine.shape[1]), dim=1)
    tied = ((cosine >= value[:, -1:]).sum(1) > value.shape[1]).nonzero()[:, 0]
    if len(tied):
        order = cosine[tied].argsort(dim=1, descending=True, stable=True)
        index[tied] = order[:, : value.shape[1]]
    return index.sort(1).values


def majority_vote(votes: Tensor) -> tuple[Tensor, Tensor]:
    """The commonest value of each row, the smallest of several, and its share of the row.

    Args:
        votes: ``(N, k)`` integers, k at least 1.

    Returns:
        ``(N,)`` winners and ``(N,)`` shares in (0, 1].

    Example:
        >>> winner, share = majority_vote(torch.tensor([[2, 1, 2, 5], [3, 3, 1, 1]]))
        >>> winner.tolist(), share.tolist()
        ([2, 1], [0.5, 0.5])
    """
    counts = (votes[:, :, None] == votes[:, None]).sum(2)  # (N, k)
    most = counts.amax(1, keepdim=True)
    largest = torch.iinfo(votes.dtype).max
    winner = torch.where(counts == most, votes, largest).amin(1)
    return winner, most[:, 0] / votes.shape[1]
