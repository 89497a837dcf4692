from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from congeal.errors import CongealError
from congeal.metrics.metric import Metric
from congeal.metrics.protocols import PROTOCOLS, TRUTHS, find_protocol

NEEDED = {"thresholds": [0.5], "classes": 3, "clusters": 4, "things": [1, 2]}


def created(protocol):
    return protocol.create(**{name: NEEDED[name] for name in protocol.needs})


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_every_protocol_has_a_metric_that_gives_its_headline(protocol):
    metric = created(protocol)
    assert isinstance(metric, Metric)
    assert protocol.headline in metric.compute()


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_every_metric_merges_to_itself_and_can_be_pickled(protocol):
    metric = created(protocol)
    assert metric.merge(pickle.loads(pickle.dumps(created(protocol)))) is metric


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_every_protocol_says_what_it_is(protocol):
    assert protocol.truth in TRUTHS
    assert protocol.title
    assert protocol.takes
    assert protocol.source
    assert protocol.name == protocol.name.lower()
    assert PROTOCOLS[protocol.name] is protocol


def test_distances_are_better_when_small_and_all_else_when_large():
    assert {name for name, found in PROTOCOLS.items() if not found.higher} == {"hausdorff", "voi"}


def test_options_make_the_protocol_and_settings_override_them():
    assert find_protocol("apr-fcis").create().variant == "fcis"
    assert find_protocol("coco-agnostic").create().class_agnostic
    assert find_protocol("retrieval").create(classes=3, k=15).k == 15
    assert find_protocol("cvppp").create(numbering="official").numbering == "official"


def test_mistakes_are_told_in_one_line():
    with pytest.raises(CongealError, match="did you mean 'panoptic'"):
        find_protocol("panotic")
    with pytest.raises(CongealError, match=r"settings \['classes'\] for protocol miou, got none"):
        find_protocol("miou").create()
    with pytest.raises(CongealError, match="did you mean 'classes'"):
        find_protocol("miou").create(clases=3)


def test_the_list_of_protocols_can_be_shown_without_loading_their_metrics():
    code = "import sys, congeal.metrics.protocols; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
