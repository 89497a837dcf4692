"""Semantic instances scored in two ways: a quick run leaves a row for each."""

import numpy as np
import pytest
import torch

from congeal.experiments.table2 import LEVELS, QUICK, draw_table2


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def test_a_quick_run_has_the_scores_of_each_data_set_and_order(tmp_path, table):
    made = draw_table2(tmp_path, quick=True)
    assert (made.png.name, made.csv.name) == ("table2.png", "table2.csv")
    rows = table(made)
    assert {row["data"] for row in rows} == set(QUICK.data)
    for row in rows:
        assert row["score"] in ("foreground", "regressor")
        levels = [float(row[f"apr@{level:g}"]) for level in LEVELS]
        assert float(row["apr"]) == pytest.approx(np.mean(levels))
    for name in QUICK.data:  # the order changes, the objects do not
        assert len({row["predicted"] for row in rows if row["data"] == name}) == 1
    assert len(made.claims) == 1
    assert {row["images"] for row in rows} == {"3"}
    assert {one.name for one in (tmp_path / "table2").iterdir()} == {
        "shapes-size-48_0",
        "shapes-objects-2-3-size-48_0",
    }
    before = [one.stat().st_mtime_ns for one in (tmp_path / "table2").rglob("*.safetensors")]
    few = table(draw_table2(tmp_path, quick=True, images=1))
    assert {row["images"] for row in few} == {"1"}
    after = [one.stat().st_mtime_ns for one in (tmp_path / "table2").rglob("*.safetensors")]
    assert after == before  # nothing is trained again
    assert all(np.isfinite(value) for value in made.numbers.values())
