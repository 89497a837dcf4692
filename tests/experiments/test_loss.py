import pytest

from congeal.experiments.loss import MARGINS, draw_loss, pair_loss


def test_the_curves_are_the_formulas(tmp_path, table):
    made = draw_loss(tmp_path, quick=True)
    rows = table(made)
    assert len(rows) > 20
    for row in rows:
        similarity = float(row["similarity"])
        assert float(row["positive"]) == pytest.approx(1 - similarity, abs=1e-9)
        for margin in MARGINS:
            wanted = max(similarity - margin, 0)
            assert float(row[f"negative@{margin:g}"]) == pytest.approx(wanted, abs=1e-9)
    assert made.numbers["gap_to_formula"] < 1e-12


def test_every_margin_is_a_point_of_the_curve(tmp_path, table):
    found = {float(row["similarity"]) for row in table(draw_loss(tmp_path, quick=True))}
    assert {0.0, 1.0, *MARGINS} <= found


@pytest.mark.parametrize("same", [True, False])
def test_ends_of_the_curve(same):
    assert pair_loss(1.0, same=same, margin=0.25) == (0.0 if same else 0.75)
    assert pair_loss(0.0, same=same, margin=0.25) == (1.0 if same else 0.0)
