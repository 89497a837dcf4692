"""The benchmarks run: what they measure is told by them, not held here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from congeal.data.registry import is_available

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
NUCLEI = pytest.mark.skipif(not is_available("nuclei"), reason="the pack nuclei is not here")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "options", "rows"),
    [
        ("mean_shift.py", ["--most", "1024", "--dimensions", "3"], 3),  # three ways to do it
        ("training_step.py", ["--quick"], None),
        ("own_data.py", ["--quick"], 4),  # two sets, their median and the lowest
        ("retrieval.py", ["--prototypes", "2000", "--queries", "20"], 2),
        ("discriminative.py", ["--quick"], 2),  # two groupings
        ("window_pairs.py", ["--quick"], 1),
        ("tiling.py", ["--quick"], 2),  # densities
        pytest.param("tiling.py", ["--mosaic", "--quick"], 2, marks=NUCLEI),  # tile sizes
        ("grouping.py", ["--drawn", "2", "--exact", "32", "--growth", "0"], 1),
        pytest.param(
            "segment.py", ["--images", "3", "--split", "val", "--side", "300"], 2, marks=NUCLEI
        ),
    ],
)
def test_a_benchmark_runs_and_writes_its_table(script, options, rows, tmp_path):
    target = tmp_path / "table.json"
    command = [sys.executable, BENCHMARKS / script, *options, "--json", target]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    table = json.loads(target.read_text())["rows"]
    assert table
    assert rows is None or len(table) == rows
