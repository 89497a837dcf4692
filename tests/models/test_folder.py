import json
import os

import pytest
import torch
from torch import nn

from congeal.errors import CongealError
from congeal.models import load, read_config, save_model


@pytest.fixture
def saved(model, tmp_path):
    return save_model(model, tmp_path / "m", card="# Card", training={"minutes": 4}, what="toy")


def same(a: nn.Module, b: nn.Module) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return list(first) == list(second) and all(torch.equal(first[k], second[k]) for k in first)


def one_line(error: pytest.ExceptionInfo[CongealError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_a_model_comes_back_as_it_was_saved(model, saved):
    again = load(saved)
    assert same(model, again)
    assert again.settings == model.settings
    assert not again.training


def test_the_config_says_what_was_given(saved):
    config = json.loads((saved / "config.json").read_text())
    assert config["format"] == 1
    assert config["method"] == "tiny"
    assert config["settings"]["width"] == 4
    assert config["training"] == {"minutes": 4}
    assert read_config(saved).what == "toy"
    assert (saved / "README.md").read_text() == "# Card"


def test_saving_twice_gives_the_same_bytes(model, saved, tmp_path):
    other = save_model(model, tmp_path / "n", card="# Card", training={"minutes": 4}, what="toy")
    for name in ("model.safetensors", "config.json", "README.md"):
        assert (saved / name).read_bytes() == (other / name).read_bytes()


def test_a_model_can_be_named_by_one_of_its_files(saved, model):
    assert same(model, load(saved / "model.safetensors"))


def test_an_old_model_is_replaced_and_other_files_stay(tiny, saved):
    (saved / "log.csv").write_text("kept")
    wider = tiny(width=7)
    save_model(wider, saved, card="new")
    assert same(wider, load(saved))
    assert (saved / "log.csv").read_text() == "kept"
    assert sorted(p.name for p in saved.iterdir()) == [
        "README.md",
        "config.json",
        "log.csv",
        "model.safetensors",
    ]


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_save_cut_off_between_two_files_leaves_a_whole_model(
    tiny, model, saved, monkeypatch, renames
):
    real, count = os.replace, iter(range(100))

    def cut_off(source, target):
        if next(count) == renames:
            raise KeyboardInterrupt
        real(source, target)

    wider = tiny(width=7)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", cut_off)
        with pytest.raises(KeyboardInterrupt):
            save_model(wider, saved, card="new")
    assert same(load(saved), model if renames == 0 else wider)


@pytest.mark.parametrize("step", ["config", "weights"])
def test_a_full_disk_keeps_the_old_model_and_leaves_no_temporary_files(
    tiny, model, saved, monkeypatch, step
):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    before = sorted(saved.iterdir())
    target = (type(saved), "write_bytes" if step == "weights" else "write_text")
    wider = tiny(width=7)
    with monkeypatch.context() as patch:
        patch.setattr(*target, full)
        with pytest.raises(CongealError) as error:
            save_model(wider, saved, card="new")
    assert "No space left" in one_line(error)
    assert sorted(saved.iterdir()) == before
    assert same(model, load(saved))


def test_settings_changed_by_hand_count(model, saved):
    config = json.loads((saved / "config.json").read_text())
    config["settings"]["width"] = 5
    (saved / "config.json").write_text(json.dumps(config))
    with pytest.raises(CongealError, match="another shape"):
        load(saved)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_missing_file_is_named(saved, name):
    (saved / name).unlink()
    with pytest.raises(CongealError) as error:
        load(saved)
    assert f"{name} is missing" in one_line(error)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
@pytest.mark.parametrize("keep", [0, 5, 40, -1])
def test_a_truncated_file_is_named(saved, name, keep):
    path = saved / name
    content = path.read_bytes()
    path.write_bytes(content[: keep if keep >= 0 else len(content) - 20])
    with pytest.raises(CongealError) as error:
        load(saved)
    assert str(path) in one_line(error)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"architectures": ["Bert"]}', "congeal did not write it"),
        ("[1, 2]", "congeal did not write it"),
        ('{"format": 9, "method": "rpe", "settings": {}}', "format 9"),
        ('{"format": 1, "method": "rpe"}', "'settings'"),
        ('{"format": 1, "method": "rpe", "settings": 3}', "'settings'"),
        ('{"format": 1, "method": "rep", "settings": {}}', "did you mean 'rpe'"),
        ('{"format": 1, "method": "tiny", "settings": {"breadth": 3}}', "breadth"),
        ('{"format": 1, "method": "tiny", "settings": {"width": 0}}', "at least 1"),
    ],
)
def test_a_foreign_config_is_told_in_one_line(saved, text, said):
    (saved / "config.json").write_text(text)
    strip_embedded(saved)
    with pytest.raises(CongealError, match=said) as error:
        load(saved)
    assert "config.json" in one_line(error)


def strip_embedded(folder):
    """Write the weights again without the settings in their header."""
    from safetensors.torch import load_file, save_file

    save_file(load_file(folder / "model.safetensors"), folder / "model.safetensors")


def test_foreign_weights_are_told_in_one_line(saved):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(2)}, saved / "model.safetensors")
    with pytest.raises(CongealError, match="does not fit") as error:
        load(saved)
    assert "missing" in one_line(error)
    assert "unexpected (a)" in str(error.value)


def test_a_pickle_under_the_name_of_weights_is_refused(saved):
    torch.save({"a": torch.zeros(2)}, saved / "model.safetensors")
    with pytest.raises(CongealError, match="not safetensors"):
        load(saved)


def test_a_folder_that_is_a_file_cannot_be_written(model, tmp_path):
    (tmp_path / "taken").write_text("x")
    with pytest.raises(CongealError, match="cannot write"):
        save_model(model, tmp_path / "taken", card="")


def test_something_that_is_no_method_is_not_saved(tmp_path):
    with pytest.raises(CongealError, match="got Linear"):
        save_model(nn.Linear(2, 2), tmp_path, card="")


def test_damaged_weights_that_still_parse_are_refused(saved):
    from safetensors import safe_open
    from safetensors.torch import save_file

    path = saved / "model.safetensors"
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = file.metadata()
    tensors["norm.bias"] = tensors["norm.bias"] + 1e-3
    save_file(tensors, path, header)
    with pytest.raises(CongealError, match="damaged"):
        load(saved)


@pytest.mark.parametrize("name", ["norm.weight", "norm.running_var"])
def test_weights_that_are_no_numbers_are_not_saved_over_good_ones(model, saved, name):
    wrong = {**model.state_dict(), name: torch.full((4,), float("inf"))}
    model.load_state_dict(wrong)
    with pytest.raises(CongealError, match=f"{name} has NaN or infinity"):
        save_model(model, saved, card="")
    assert load(saved).norm.running_var.isfinite().all()


def test_half_precision_takes_half_the_space_and_loads_as_float(model, saved, tmp_path):
    half = save_model(model, tmp_path / "half", card="", half=True)
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (half, saved)]
    assert sizes[0] < sizes[1]
    for stored, kept in zip(load(half).parameters(), model.parameters(), strict=True):
        assert stored.dtype == kept.dtype
        assert (stored - kept).abs().max() < 1e-3
