import pytest
import torch

from congeal.errors import CongealError
from congeal.training import checkpoint
from congeal.training.checkpoint import WholeCheckpoints, require_fit

CONTENT = {"congeal_seconds": 1.0, "state_dict": {"a": torch.arange(5.0)}}


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    WholeCheckpoints().save_checkpoint(CONTENT, tmp_path / "new" / "last.ckpt")
    found = WholeCheckpoints().load_checkpoint(tmp_path / "new" / "last.ckpt")
    assert torch.equal(found["state_dict"]["a"], torch.arange(5.0))
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["last.ckpt"]


def fail_as_torch_does(*_):
    """A full disk: the OSError is hidden behind what the zip writer makes of it."""
    try:
        raise OSError(28, "No space left on device")
    finally:
        raise RuntimeError("[enforce fail at inline_container.cc:671] . unexpected pos\nmore")


def fail_alone(*_):
    raise RuntimeError("unexpected pos 768\nmore")


@pytest.mark.parametrize(
    ("failure", "said"),
    [(fail_as_torch_does, "No space left on device"), (fail_alone, "unexpected pos 768")],
)
def test_a_full_disk_leaves_the_last_checkpoint_whole(tmp_path, monkeypatch, failure, said):
    path = tmp_path / "last.ckpt"
    WholeCheckpoints().save_checkpoint(CONTENT, path)
    monkeypatch.setattr(checkpoint.torch, "save", failure)
    with pytest.raises(CongealError, match=f"cannot write .*last.ckpt: {said}$"):
        WholeCheckpoints().save_checkpoint(CONTENT, path)
    monkeypatch.undo()
    assert WholeCheckpoints().load_checkpoint(path)["congeal_seconds"] == 1.0
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


def test_nothing_in_a_checkpoint_is_ever_executed(tmp_path):
    path = tmp_path / "last.ckpt"
    torch.save({"congeal_seconds": 1.0, "harm": tmp_path.joinpath}, path)
    with pytest.raises(CongealError, match="cut short or of another"):
        WholeCheckpoints().load_checkpoint(path)


def test_a_checkpoint_that_is_not_there_is_told_in_one_line(tmp_path):
    with pytest.raises(CongealError, match=r"cannot read .*last.ckpt: No such file"):
        WholeCheckpoints().load_checkpoint(tmp_path / "last.ckpt")


@pytest.mark.parametrize(
    "found", [{"a": torch.zeros(3)}, {}, {"a": torch.zeros(2), "b": torch.zeros(1)}]
)
def test_tensors_of_another_model_are_refused(found):
    with pytest.raises(CongealError, match=r"differs in 1 tensors, such as [ab]"):
        require_fit(found, {"a": torch.zeros(2)}, ("sgd", "sgd"))
