from __future__ import annotations

import inspect
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cases.sides import sides

from congeal import metrics
from congeal.errors import CongealError
from congeal.metrics.leaves import LeafMetric
from congeal.metrics.matching import MatchingMetric
from congeal.metrics.metric import Metric, gather, merge_all
from congeal.metrics.nuclei import NucleiMetric
from congeal.metrics.panoptic import PanopticMetric
from congeal.metrics.retrieval import RetrievalMetric
from congeal.metrics.semantic import SemanticMetric, TrimapMetric
from congeal.metrics.unsupervised import UnsupervisedMetric

METRICS = [
    LeafMetric(),
    MatchingMetric(),
    NucleiMetric(),
    PanopticMetric([1]),
    RetrievalMetric(2, 1),
    SemanticMetric(2),
    TrimapMetric(2),
    UnsupervisedMetric(2, 2),
]

WORKER = """
import json, sys
import numpy as np, torch.distributed as dist, torch.multiprocessing as mp
from congeal.metrics.metric import gather
from congeal.metrics.nuclei import NucleiMetric


def count(rank, folder):
    dist.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    metric = NucleiMetric()
    cases = np.load(f"{folder}/cases.npz")
    for true, pred in list(zip(cases["true"], cases["pred"]))[rank::2]:
        metric.update(prediction=pred, truth=true)
    own = metric.compute()
    whole = gather(metric).compute()
    assert metric.compute() == own
    with open(f"{folder}/{rank}.json", "w") as file:
        json.dump(whole, file)
    dist.destroy_process_group()


if __name__ == "__main__":
    mp.spawn(count, (sys.argv[1],), nprocs=2)
"""


def random_maps(images=5):
    rng = np.random.default_rng(3)
    maps = rng.integers(0, 5, (images, 6, 6)).repeat(4, 1).repeat(4, 2)
    return maps, np.roll(maps, 1, axis=2)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: type(metric).__name__)
def test_every_metric_can_do_what_a_metric_can(metric):
    assert isinstance(metric, Metric)
    assert pickle.loads(pickle.dumps(metric)).compute().keys() == metric.compute().keys()


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: type(metric).__name__)
def test_scores_are_plain_numbers(metric):
    assert all(type(value) in (int, float) for value in metric.compute().values())
    json.dumps(metric.compute())


def test_merging_leaves_the_parts_as_they_are():
    parts = [NucleiMetric(), NucleiMetric()]
    for part, true, pred in zip(parts, *random_maps(2), strict=True):
        part.update(prediction=pred, truth=true)
    before = [part.compute() for part in parts]
    assert merge_all(parts).compute()["images"] == 2
    assert [part.compute() for part in parts] == before


def test_one_part_is_the_whole():
    part = LeafMetric()
    part.update(prediction=[[1, 1]], truth=[[1, 0]])
    assert merge_all([part]).compute() == part.compute()
    assert merge_all([part]) is not part


def test_no_parts_are_an_error():
    with pytest.raises(CongealError, match="at least one metric"):
        merge_all([])


def test_without_other_processes_a_metric_is_already_whole():
    metric = LeafMetric()
    assert gather(metric) is metric


@pytest.mark.slow
def test_two_processes_that_share_the_images_agree_with_one_that_sees_all(tmp_path):
    true, pred = random_maps()
    np.savez(tmp_path / "cases.npz", true=true, pred=pred)
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    subprocess.run([sys.executable, script, tmp_path], check=True, timeout=600)
    whole = NucleiMetric()
    for image in zip(true, pred, strict=True):
        whole.update(**sides(*image))
    for rank in range(2):
        found = json.loads(Path(tmp_path, f"{rank}.json").read_text())
        assert found == pytest.approx(whole.compute(), abs=1e-12)


PUBLIC = {name: getattr(metrics, name) for name in sorted(vars(metrics)) if name[0].islower()}
FUNCTIONS = {name: one for name, one in PUBLIC.items() if inspect.isfunction(one)}
CLASSES = {name: getattr(metrics, name) for name in sorted(vars(metrics)) if name[-6:] == "Metric"}
UPDATES = {f"{name}.update": one.update for name, one in CLASSES.items() if name != "Metric"}
TAKE_TRUTH = {
    name: parameters
    for name, one in {**FUNCTIONS, **UPDATES}.items()
    if {"prediction", "truth"} & set(parameters := inspect.signature(one).parameters)
    and name != "void_distance"  # of one map
}


def test_every_metric_takes_the_truth_by_its_name():
    assert set(UPDATES) <= set(TAKE_TRUTH)
    assert len(TAKE_TRUTH) - len(UPDATES) == 20  # functions


@pytest.mark.parametrize("name", list(TAKE_TRUTH))
def test_truth_and_prediction_cannot_be_swapped_since_they_have_no_order(name):
    given = [one for one in TAKE_TRUTH[name] if one != "self"]
    kinds = {TAKE_TRUTH[name][one].kind for one in given}
    assert kinds == {inspect.Parameter.KEYWORD_ONLY}
    assert given[:2] == ["prediction", "truth"] or given[0] == "truth"


def test_truth_and_prediction_have_no_other_names():
    others = {"true", "pred", "target", "preds", "ids", "annotators", "segmentation", "guess"}
    for one in {**FUNCTIONS, **UPDATES}.values():
        assert not others & set(inspect.signature(one).parameters)
