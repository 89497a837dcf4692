"""How a benchmark measures, and how it tells: best time of several, peak memory, table and JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from congeal.clock import now
from congeal.experiments.cost import peak_megabytes as peak_of

Row = dict[str, Any]
SIDE = 2048  # of the matrices whose product tells the peak of a machine
BRIEF = 0.05  # seconds


def best_seconds(run: Callable[[], Any], *, repeats: int = 5, most: float = 20.0) -> float:
    """Least wall time of ``run`` over several calls, after one that is not counted.

    A call that takes longer than ``most`` seconds is not repeated.
    """
    return best_in_turns(run, rounds=repeats, most=most)[0]


def _seconds(run: Callable[[], Any]) -> float:
    _synchronise()
    start = now()
    run()
    _synchronise()
    return now() - start


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak_megabytes(run: Callable[[], Any]) -> float | None:
    """Most memory that ``run`` holds beyond what was held before; None where it cannot be told."""
    return peak_of(run, "cuda" if torch.cuda.is_available() else "cpu")


def best_in_turns(
    *runs: Callable[[], Any], rounds: int = 8, most: float = 20.0
) -> tuple[float, ...]:
    """Least time of each of several, which take turns after a round that is not counted.

    A machine whose speed changes from one second to the next, since others use it too, would
    else give ratios of different hours. Rounds longer than ``most`` seconds are not repeated.
    """
    first = [_seconds(run) for run in runs]
    if sum(first) > most:
        return tuple(first)
    count = max(1, min(rounds, int(most / max(sum(first), 1e-6))))
    turns = [[_once_warm(run) for run in runs] for _ in range(count)]
    return tuple(min(times) for times in zip(*turns, strict=True))


def _once_warm(run: Callable[[], Any]) -> float:
    """What is done in no time is done three times: the first of them fills the cache."""
    first = _seconds(run)
    return first if first > BRIEF else min(first, _seconds(run), _seconds(run))


def matrix_product(device: str) -> tuple[Callable[[], Tensor], float]:
    """A large single-precision matrix product, whose speed is the peak of a machine; its flops."""
    a, b = torch.randn(2, SIDE, SIDE, device=device)
    return lambda: a @ b, 2.0 * SIDE**3


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": gpu,
        "torch": torch.__version__,
        "date": date.today().isoformat(),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def options(what: str, **more: Any) -> argparse.Namespace:
    """Options of a benchmark: --json FILE, and those given as name=(default, help)."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--json", type=Path, help="write the rows here too")
    for name, (default, text) in more.items():
        kind = {"action": "store_true"} if default is False else {"type": type(default)}
        parser.add_argument(f"--{name.replace('_', '-')}", default=default, help=text, **kind)  # type: ignore[arg-type]
    return parser.parse_args()


def tell(title: str, rows: Sequence[Row], path: Path | None = None, **facts: Any) -> None:
    """Print the rows as a table and write them as JSON."""
    table = Table(title=title, box=None, pad_edge=False)
    names = list(dict.fromkeys(name for row in rows for name in row))
    for name in names:
        table.add_column(name, justify="left" if isinstance(rows[0].get(name), str) else "right")
    for row in rows:
        table.add_row(*(_show(row.get(name)) for name in names))
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table)
    here = machine() | facts
    console.print(", ".join(f"{name} {value}" for name, value in here.items() if value is not None))
    if path is not None:
        path.write_text(json.dumps({"machine": here, "rows": list(rows)}, indent=1) + "\n")


def _show(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
