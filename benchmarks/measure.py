"""How a benchmark measures, and how it tells: best time of several, peak memory, table and JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

Row = dict[str, Any]
STATUS = Path("/proc/self/status")


def best_seconds(run: Callable[[], Any], *, repeats: int = 5, most: float = 20.0) -> float:
    """Least wall time of ``run`` over several calls, after one that is not counted.

    A call that takes longer than ``most`` seconds is not repeated.
    """
    first = _seconds(run)
    if first > most:
        return first
    times = [_seconds(run) for _ in range(max(1, min(repeats, int(most / max(first, 1e-6)))))]
    return min(times)


def _seconds(run: Callable[[], Any]) -> float:
    _synchronise()
    start = time.perf_counter()
    run()
    _synchronise()
    return time.perf_counter() - start


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak_megabytes(run: Callable[[], Any]) -> float | None:
    """Most memory that ``run`` holds beyond what was held before; None where it cannot be told."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    except OSError:
        return None
    before = _kilobytes("VmRSS")
    run()
    return max(0, _kilobytes("VmHWM") - before) / 1024


def _kilobytes(name: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1])


def matrix_peak(device: str = "cpu", side: int = 2048) -> float:
    """Flops per second of a large single-precision matrix product, here and now."""
    a, b = torch.randn(2, side, side, device=device)
    return 2 * side**3 / best_seconds(lambda: a @ b, repeats=10)


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
        parser.add_argument(f"--{name}", default=default, help=text, **kind)  # type: ignore[arg-type]
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
