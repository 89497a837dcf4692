"""A boundary model is shown beside how well the annotators agree."""

import json

import numpy as np
import pytest
from cases.discs_and_squares import DiscsAndSquares

from congeal.evaluation import evaluate
from congeal.metrics.bsds_boundaries import HumanAgreementMetric
from congeal.segmentation import Segmentation


class Steps:
    """Calls steps of the intensity boundaries."""

    def segment(self, image):
        gray = image.mean(-1) / 255
        return Segmentation.from_maps(boundary=np.abs(np.gradient(gray)[1]).clip(0, 1))


def test_the_agreement_of_annotators_is_reported_with_the_curve(tmp_path):
    data = DiscsAndSquares("test", 2, side=48)
    found = evaluate(
        Steps(), data, protocol="bsds-boundaries", limit=2, output=tmp_path, report=True
    )
    people = HumanAgreementMetric()
    for sample in data:
        people.update(truth=sample.annotations)
    assert found.metrics["human_f"] == people.compute()["f"]
    assert len(found.curves["annotators"]) == 1
    assert all(0 <= value <= 1 for point in found.curves["model"] for value in point)
    told = json.loads((tmp_path / "evaluation.json").read_text())
    assert set(told["curves"]) == {"model", "annotators"}
    assert "agreement of annotators" in (tmp_path / "report.html").read_text()


def test_a_quick_estimate_has_its_curve_but_leaves_the_annotators_out():
    data = DiscsAndSquares("test", 1, side=48)
    found = evaluate(Steps(), data, protocol="bsds-boundaries", quick=True)
    assert set(found.curves) == {"model"}
    assert "human_f" not in found.metrics


@pytest.mark.parametrize(("protocol", "report"), [("matching", True), ("bsds-boundaries", False)])
def test_other_protocols_and_scores_alone_have_no_curve(protocol, report):
    class Nothing:
        def segment(self, image):
            return Segmentation.from_labels(np.zeros(image.shape[:2], int))

    data = DiscsAndSquares("test", 1, side=48)
    quick = protocol != "matching"
    assert not evaluate(Nothing(), data, protocol=protocol, report=report, quick=quick).curves
