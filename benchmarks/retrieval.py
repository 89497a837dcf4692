"""Prototypes looked up and pixels clustered, each against the matrix products it cannot do without.

    python benchmarks/retrieval.py [--prototypes 1000000] [--queries 1000] [--threads 1]
                                   [--processor-time] [--json FILE]

The nearest 15 of so many prototypes of D = 32 for the segments of an image, against one product
of queries and prototypes (in parts of 64 MB of result). Ten steps of spherical k-means (5 x 5
cells) over a 480 x 360 x 32 embedding and its location, against ten products of pixels and centres.
The two of a row take turns, since the machine may be shared; with ``--processor-time`` time that
others take does not count.
"""

from __future__ import annotations

from contextlib import nullcontext

import torch
from measure import Row, best_in_turns, options, tell
from torch.nn.functional import normalize

from congeal.clock import count_processor_time
from congeal.grouping import Retrieval, SphericalKMeans

D = 32
SIZE = (360, 480)
GRID, STEPS = 5, 10
PART = 2**24  # numbers of a product held at once


def look_up(count: int, queries: int) -> Row:
    generator = torch.Generator().manual_seed(0)
    bank = normalize(torch.randn(count, D, generator=generator), dim=1)
    asked = normalize(torch.randn(queries, D, generator=generator), dim=1)
    retrieval = Retrieval(bank, torch.arange(count) % 12, k=15)
    rows = PART // max(queries, 1)

    def product() -> None:
        for some in bank.split(rows):
            asked @ some.T

    mine, plain = best_in_turns(lambda: retrieval.neighbours(asked), product, rounds=3, most=120)
    return row(f"{queries} queries, {count} prototypes", mine, plain, "one product")


def cluster() -> Row:
    generator = torch.Generator().manual_seed(0)
    embedding = normalize(torch.randn(D, *SIZE, generator=generator), dim=0)
    pixels = embedding.flatten(1).T.contiguous()
    centres = normalize(torch.randn(GRID**2, D, generator=generator), dim=1)
    kmeans = SphericalKMeans(GRID, STEPS)

    def products() -> None:
        for _ in range(STEPS):
            pixels @ centres.T

    mine, plain = best_in_turns(lambda: kmeans.group(embedding), products, rounds=5, most=120)
    return row("k-means, 480 x 360", mine, plain, "ten products")


def row(what: str, mine: float, plain: float, of: str) -> Row:
    return {
        "what": what,
        "ms": 1e3 * mine,
        "against": of,
        "ms of these": 1e3 * plain,
        "ratio": mine / plain,
    }


def main() -> None:
    chosen = options(
        "prototypes looked up and pixels clustered",
        prototypes=(1_000_000, "in the bank"),
        queries=(1000, "segments that are looked up"),
        threads=(1, "of PyTorch"),
        processor_time=(False, "count time of the processor, on a machine that is shared"),
    )
    torch.set_num_threads(chosen.threads)
    with count_processor_time() if chosen.processor_time else nullcontext():
        rows = [look_up(chosen.prototypes, chosen.queries), cluster()]
    tell("against the products they cannot do without", rows, chosen.json)


if __name__ == "__main__":
    main()
