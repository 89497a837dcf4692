import pytest
import torch

from congeal.errors import CongealError
from congeal.models import choose_device


def test_auto_gives_a_device_that_works():
    assert torch.ones(1, device=choose_device("auto")).item() == 1


@pytest.mark.parametrize("name", ["gpu:", "cuda:x", "cdua", ""])
def test_a_wrong_name_is_answered_with_the_right_ones(name):
    with pytest.raises(CongealError, match="unknown device"):
        choose_device(name)


def test_a_misspelt_device_gets_the_nearest():
    with pytest.raises(CongealError, match="did you mean 'cuda'"):
        choose_device("cdua")


def test_a_device_that_is_not_here_is_said_to_be_missing():
    with pytest.raises(CongealError, match="'cuda:99'"):
        choose_device("cuda:99")
