"""Models that are not what was saved, or cannot be saved as asked."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from congeal.errors import CongealError
from congeal.methods.rpe import RPE
from congeal.models import load, save_model


def rewrite(folder, change):
    """Change a tensor of the weights file, its header left as it was."""
    from safetensors import safe_open

    path = folder / "model.safetensors"
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    state = load_file(path)
    name = next(n for n, v in state.items() if v.is_floating_point() and v.numel() > 4)
    change(state[name])
    save_file(state, path, metadata=metadata)


def add_a_little(tensor):
    tensor.view(-1)[0] += 1e-3


def make_nan(tensor):
    tensor.view(-1)[0] = torch.nan


@pytest.mark.parametrize("change", [add_a_little, make_nan])
def test_weights_other_than_those_saved_are_refused(tmp_path, change):
    folder = save_model(RPE(dimensions=4), tmp_path / "m", card="")
    load(folder)
    rewrite(folder, change)
    with pytest.raises(CongealError, match=r"model\.safetensors is damaged") as told:
        load(folder)
    assert "\n" not in str(told.value)


def test_a_weight_too_large_for_half_precision_is_told_and_the_old_model_stays(tmp_path):
    model = RPE(dimensions=4)
    folder = save_model(model, tmp_path / "m", card="", half=True)
    before = (folder / "model.safetensors").read_bytes()
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] = 70_000
    with pytest.raises(CongealError, match=r"up to 65504 for half precision, .* has 7e\+04"):
        save_model(model, folder, card="", half=True)
    assert (folder / "model.safetensors").read_bytes() == before
    load(save_model(model, folder, card=""))


def test_an_infinite_weight_is_not_saved(tmp_path):
    model = RPE(dimensions=4)
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] = torch.inf
    for half in (False, True):
        with pytest.raises(CongealError, match="expected finite weights to save"):
            save_model(model, tmp_path / "m", card="", half=half)


def test_loading_a_model_makes_forked_children_safe():
    import sys

    assert "congeal.models.forks" in sys.modules
