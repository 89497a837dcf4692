"""Processes of one training are started together and end together, with one line that says why."""

import os
import signal
import sys
import threading
import time

import pytest

from congeal.errors import CongealError
from congeal.training import launch as launching
from congeal.training.launch import LOST, check_devices, devices_wanted, launch

PYTHON = (sys.executable, "-c")


@pytest.fixture(autouse=True)
def short_grace(monkeypatch):
    monkeypatch.setattr(launching, "GRACE", 1.0)


def run(script, count=2):
    return launch([script], count, PYTHON)


def test_each_process_knows_its_number_and_how_many_there_are(tmp_path):
    names = "RANK LOCAL_RANK WORLD_SIZE LOCAL_WORLD_SIZE MASTER_ADDR CONGEAL_LAUNCHED"
    script = f"""
import os, pathlib
told = [os.environ[name] for name in {names.split()}]
pathlib.Path({str(tmp_path)!r}, told[0]).write_text(" ".join(told))
"""
    assert run(script, 3) == 0
    for place in range(3):
        assert (tmp_path / str(place)).read_text() == f"{place} {place} 3 3 127.0.0.1 1"


def test_a_process_that_is_killed_ends_all_with_one_line():
    script = """
import os, signal, time
if os.environ["RANK"] == "1":
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep(60)
"""
    started = time.monotonic()
    told = "process 2 of 2 was killed by SIGKILL, possibly out of memory; all have ended, --resume"
    with pytest.raises(CongealError, match=told):
        run(script)
    assert time.monotonic() - started < 30


def test_the_first_process_killed_is_named_by_those_that_miss_it():
    script = f"""
import os, signal, sys, time
if os.environ["RANK"] == "0":
    os.kill(os.getpid(), signal.SIGSEGV)
time.sleep(0.3)
sys.exit({LOST})
"""
    with pytest.raises(CongealError, match="process 1 of 2 was killed by SIGSEGV; all have ended"):
        run(script)


def test_what_another_process_says_last_is_passed_on():
    script = f"""
import os, sys
print("a note", "error: no mask for cell.png", sep="\\n", file=sys.stderr)
sys.exit(2 if os.environ["RANK"] == "1" else {LOST})
"""
    with pytest.raises(CongealError, match=r"^process 2 of 2: no mask for cell\.png$"):
        run(script)


def test_errors_of_the_first_process_are_reported_by_itself(capfd):
    script = """
import os, sys
print("error: the same for all", file=sys.stderr)
sys.exit(2)
"""
    assert run(script) == 2
    assert capfd.readouterr().err == "error: the same for all\n"


def test_a_signal_goes_to_all_and_their_code_comes_back():
    script = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
time.sleep(60)
"""
    threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
    assert run(script) == 143
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ({}, 1),
        ({"training.devices": 3}, 3),
        ({"training": {"devices": 2}}, 2),
        ({"training": {"devices": 2}, "devices": 4}, 4),
        ({"devices": 4, "nodes": 2}, 1),  # torchrun starts those
    ],
)
def test_processes_are_counted_however_they_are_asked_for(settings, count):
    assert devices_wanted(settings) == count


def test_a_number_that_is_none_is_told():
    with pytest.raises(CongealError, match="devices"):
        devices_wanted({"devices": 0})


def test_more_processes_than_the_machine_can_serve_are_refused(monkeypatch):
    monkeypatch.setattr(launching.os, "cpu_count", lambda: 4)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    check_devices(4, "cpu")
    with pytest.raises(CongealError, match="at most 4 CPU processes here, got 5"):
        check_devices(5, "cpu")
    with pytest.raises(CongealError, match="at most 1 GPUs here, got 2"):
        check_devices(2)
    monkeypatch.setattr(launching.os, "cpu_count", lambda: 1)
    check_devices(2, "cpu")
