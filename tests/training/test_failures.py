from pathlib import Path

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from congeal.errors import CongealError
from congeal.training.failures import one_line_errors, plain_error


def told(error):
    with pytest.raises(CongealError) as caught, one_line_errors(Path("run")):
        raise error
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is error
    return str(caught.value)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device"), "cannot write to run: No space left on device"),
        (OSError("odd"), "cannot write to run: odd"),
        (MisconfigurationException("You asked for\n  two GPUs"), "You asked for two GPUs"),
        (torch.cuda.OutOfMemoryError("CUDA\nout"), "the device is out of memory"),
        (RuntimeError("DataLoader worker (pid 7) is killed"), "a loader worker was killed"),
        (
            CongealError("Caught\n...\ncongeal.errors.CongealError: no mask: a.png"),
            "no mask: a.png",
        ),
    ],
)
def test_what_a_user_can_mend_is_one_line_errors(error, said):
    assert told(error).startswith(said)


@pytest.mark.parametrize("error", [RuntimeError("a bug"), TypeError("another"), SystemExit(3)])
def test_what_is_our_own_fault_passes_as_it_is(error):
    with pytest.raises(type(error)) as caught, one_line_errors(Path("run")):
        raise error
    assert caught.value is error


def test_an_error_of_one_line_is_itself():
    error = CongealError("expected a mask")
    assert plain_error(error) is error
