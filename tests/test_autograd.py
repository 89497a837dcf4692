"""A gradient that is held constant says so when it is differentiated."""

from __future__ import annotations

import pytest
import torch

from congeal.autograd import once_differentiable
from congeal.errors import CongealError


def test_without_a_graph_it_is_the_tensor_itself():
    gradient = torch.ones(3)
    with torch.no_grad():
        assert once_differentiable(gradient, "loss") is gradient


def test_with_a_graph_its_derivative_is_refused_by_name():
    held = once_differentiable(torch.ones(3), "loss of test")
    assert torch.equal(held, torch.ones(3))
    with pytest.raises(CongealError, match="first derivative only"):
        held.sum().backward()
