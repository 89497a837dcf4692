import os
import signal

import pytest

from congeal.cli.interrupts import Interrupts


@pytest.fixture
def handled():
    """Handle Ctrl-C, as a training does."""
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("handled")
def test_a_ctrl_c_that_somebody_handles_is_noted():
    with Interrupts() as interrupts:
        assert not interrupts.came
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupts.came
    assert interrupts.came


@pytest.mark.usefixtures("handled")
def test_other_signals_and_other_times_are_not_noted():
    before = signal.signal(signal.SIGUSR1, lambda number, frame: None)
    os.kill(os.getpid(), signal.SIGINT)
    with Interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGINT)
    signal.signal(signal.SIGUSR1, before)
    assert not interrupts.came
    assert signal.set_wakeup_fd(-1) == -1
