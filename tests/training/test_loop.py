import csv
import json
import os
import signal

import numpy as np
import pytest
import torch
from PIL import Image

from congeal.data import DrawnDataset, Subset
from congeal.errors import CongealError
from congeal.methods.rpe import RPE
from congeal.models import load
from congeal.training import train
from congeal.training.config import train_config
from congeal.training.module import Trainee
from congeal.training.validation import Validation


def config(folder):
    return json.loads((folder / "config.json").read_text())


def log(folder):
    with (folder / "log.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture
def scores(monkeypatch):
    """`scores([.5, .4])` makes these the scores of the validations, one after the other."""

    def be(values, objects=10**9):
        upcoming = iter(values)

        def score(self, trainer, trainee):
            self.objects = objects
            value = next(upcoming)
            return {"matching_ap@0.5": value, "matching_ap@0.7": value}

        monkeypatch.setattr(Validation, "_score", score)

    return be


def test_a_training_leaves_a_model_a_card_a_log_and_pictures(unbroken):
    names = {path.name for path in unbroken.iterdir()}
    assert {"model.safetensors", "config.json", "README.md", "log.csv", "overlays"} <= names
    assert {"checkpoints", "tensorboard"} <= names
    assert list((unbroken / "tensorboard").glob("events.*"))
    (picture,) = (unbroken / "overlays").iterdir()
    with Image.open(picture) as drawn:
        assert drawn.size == (3 * 96, 96)
    assert "## Training" in (unbroken / "README.md").read_text()


def test_the_model_folder_says_how_the_model_came_about(unbroken):
    told = config(unbroken)
    assert told["training"]["steps"] == 12
    assert told["training"]["epochs"] == 6
    assert told["training"]["data"] == "sticks, train"
    assert told["training"]["images"] == 4
    assert set(told["metrics"]) == {
        f"{when} matching_ap@{at}" for when in ("validation", "tuned") for at in (0.5, 0.7)
    }
    assert load(unbroken).settings == told["settings"]


def test_the_log_has_losses_and_scores_in_the_order_of_the_steps(unbroken):
    rows = log(unbroken)
    first, losses = [row for row in rows if row["loss"]]
    assert (first["step"], losses["step"]) == ("1", "10")
    parts = [float(losses[name]) for name in ("embedding", "semantic", "touching")]
    assert float(losses["loss"]) == pytest.approx(sum(parts), rel=1e-3)
    assert float(losses["lr"]) > 0
    assert rows[-1]["step"] == "12"
    assert 0 <= float(rows[-1]["matching_ap@0.5"]) <= 1


def test_the_same_seed_gives_the_same_weights_with_workers_too(brief, unbroken, tmp_path):
    folder = brief(tmp_path / "model", workers=2)
    found, expected = load(folder).state_dict(), load(unbroken).state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in found)
    other = load(brief(tmp_path / "other", seed=1, epochs=1)).state_dict()
    assert not all(torch.equal(found[name], other[name]) for name in found)


def test_updates_are_counted_when_batches_are_gathered(brief, tmp_path):
    folder = brief(tmp_path / "model", accumulate=3, epochs=5)
    assert config(folder)["training"]["steps"] == 10
    steps = [row["step"] for row in log(folder) if row["loss"]]
    assert steps == ["1", "10"]  # one row, not one for each batch


@pytest.mark.parametrize("minutes", [1e-9, 0.01])
def test_the_time_budget_ends_a_training(brief, tmp_path, minutes):
    settings = {"epochs": None, "steps_per_epoch": 10_000, "max_minutes": minutes}
    folder = brief(tmp_path / "model", **settings)
    steps = config(folder)["training"]["steps"]
    assert 1 <= steps < 10_000
    assert log(folder)[-1]["step"] == str(steps)
    files = [folder / name for name in ("model.safetensors", "config.json")]
    before = [file.read_bytes() for file in files]  # both tell how many minutes it took
    brief(folder, resume=True, **settings)
    assert [file.read_bytes() for file in files] == before


def test_only_steps_count_as_time_spent():
    trainee = Trainee(RPE(dimensions=4), train_config({}), None)
    trainee.seconds_before = 5.0
    assert trainee.spent == 5
    trainee.on_train_start()
    trainee.first_step_time -= 10  # and ten seconds later
    assert trainee.spent == 5
    assert trainee.seconds > 14
    trainee.on_train_batch_end(None, None, 0)
    assert trainee.spent > 14


def test_threads_are_as_asked_while_it_trains_and_then_as_before(brief, eventful, tmp_path):
    seen = []
    data = eventful({1: lambda: seen.append(torch.get_num_threads())})
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        folder = brief(tmp_path / "model", data, epochs=1, threads=1)
        assert seen == [1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert config(folder)["training"]["threads"] == 1


def test_crops_are_chosen_by_the_images_unless_given(brief, tmp_path):
    chosen = config(brief(tmp_path / "model", epochs=1, steps_per_epoch=1, crop=None))
    assert chosen["training"]["crop"] == 96  # the side of the drawings


@pytest.mark.parametrize(
    ("radius", "settings", "expected"),
    [
        (24.0, {"cache_gb": 1}, 0.5),
        (24.0, {"cache_gb": 1, "object_sampling_power": 0.2}, 0.2),
        (24.0, {"cache_gb": 0}, 0.0),  # each count would be a reading
        (None, {"cache_gb": 1}, 0.0),
    ],
)
def test_the_sampling_power_is_chosen_by_the_method_unless_given(
    brief, tmp_path, radius, settings, expected
):
    model = RPE(dimensions=4, samples=64, min_area=4, repulsion_radius=radius)
    folder = brief(tmp_path / "model", model=model, epochs=1, steps_per_epoch=1, **settings)
    assert config(folder)["training"]["object_sampling_power"] == expected


@pytest.mark.parametrize(("epochs", "same"), [(1, True), (3, False)])
def test_the_sampling_power_changes_what_is_drawn_after_round_one(brief, tmp_path, epochs, same):
    data = DrawnDataset("sticks", "train", count=4, size=96)  # two batches of two make a round
    even, crowded = (
        load(brief(tmp_path / name, data, epochs=epochs, object_sampling_power=power)).state_dict()
        for name, power in (("even", 0), ("crowded", 1))
    )
    assert all(torch.equal(even[name], crowded[name]) for name in even) == same


def test_training_shows_small_objects_as_large_as_a_scale_by_as_much_would(brief, tmp_path):
    plain, zoomed, magnified = (
        load(
            brief(
                tmp_path / name,
                model=RPE(dimensions=4, samples=64, min_area=4, **seen),
                epochs=1,
            )
        ).state_dict()
        for name, seen in (("a", {}), ("b", {"scale": 2.0}), ("c", {"min_object_area": 1e6}))
    )
    assert all(torch.equal(zoomed[name], magnified[name]) for name in plain)
    assert not all(torch.equal(plain[name], magnified[name]) for name in plain)


def test_the_first_to_end_wins_of_time_and_epochs(brief, tmp_path):
    folder = brief(tmp_path / "model", epochs=1, max_minutes=60)
    assert config(folder)["training"]["steps"] == 2


@pytest.mark.parametrize(("keep", "steps", "score"), [("best", 4, 0.5), ("last", 8, 0.2)])
def test_the_best_or_the_last_weights_are_kept(brief, scores, tmp_path, keep, steps, score):
    scores([0.1, 0.5, 0.3, 0.2])
    settings = {"validation_share": 1, "tuning_share": 0}
    folder = brief(tmp_path / "model", epochs=4, keep=keep, **settings)
    told = config(folder)
    assert told["training"]["steps"] == steps
    assert told["metrics"]["validation matching_ap@0.5"] == score


def test_the_later_of_equals_is_kept(brief, scores, tmp_path):
    scores([0.5, 0.5, 0.4])
    folder = brief(tmp_path / "model", epochs=3, validation_share=1, keep="best")
    assert config(folder)["training"]["steps"] == 4


@pytest.mark.parametrize(("counted", "steps"), [(100, 6), (1000, 4)])
def test_later_weights_are_kept_that_are_as_good_within_chance(
    brief, scores, tmp_path, counted, steps
):
    scores([0.1, 0.5, 0.46, 0.4], counted)  # one standard error is .05 or .016
    folder = brief(tmp_path / "model", epochs=4, validation_share=1, keep="best")
    assert config(folder)["training"]["steps"] == steps


def test_a_training_without_gain_stops_early(brief, scores, tmp_path):
    scores([0.1, 0.3, 0.3, 0.2])
    settings = {"epochs": 50, "validation_share": 1, "patience": 2}
    folder = brief(tmp_path / "model", **settings)
    assert config(folder)["training"]["steps"] == 8  # two better, two not
    brief(folder, **settings, resume=True)  # as before: nothing more to do
    assert config(folder)["training"]["steps"] == 8


def test_weights_are_stored_in_half_the_space_when_asked(brief, unbroken, tmp_path):
    folder = brief(tmp_path / "model", epochs=1, half=True)
    sizes = [(f / "model.safetensors").stat().st_size for f in (folder, unbroken)]
    assert sizes[0] < 0.6 * sizes[1]


def test_pictures_are_left_out_when_not_wanted(brief, tmp_path):
    folder = brief(tmp_path / "model", epochs=1, overlays=False)
    assert not (folder / "overlays").exists()


@pytest.mark.parametrize("val", [None, Subset(DrawnDataset("sticks", "val"), [])])
def test_without_validation_images_the_last_weights_are_kept(brief, tmp_path, val):
    folder = brief(tmp_path / "model", val=val, epochs=2, keep="best")
    assert config(folder)["training"]["steps"] == 4
    assert config(folder)["metrics"] == {}


def write_folder(root, count):
    for index in range(count):
        labels = np.zeros((40, 50), np.uint8)
        labels[5:20, 5:25], labels[25:35, 10:40] = 1, 2
        for name, pixels in (("images", labels * 90), ("masks", labels)):
            (root / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(root / name / f"{index}.png")
    return root


@pytest.mark.parametrize("count", [1, 4])
def test_a_folder_is_trained_on_whether_or_not_it_leaves_images_for_validation(
    brief, tmp_path, count
):
    data = write_folder(tmp_path / "data", count)
    folder = brief(tmp_path / "model", str(data), val=None, epochs=1)
    assert bool(config(folder)["metrics"]) == (count > 1)


def test_settings_are_chosen_by_the_images_when_none_are_given(tmp_path, eventful):
    brief = {"epochs": 1, "steps_per_epoch": 1, "batch_size": 2, "crop": 32}
    folder = train(None, eventful(), output=tmp_path / "m", start=None, **brief)
    assert load(folder).config.loss.repulsion_radius is None


def test_images_smaller_than_the_crop_are_trained_on(brief, tmp_path):
    data = write_folder(tmp_path / "data", 2)
    assert config(brief(tmp_path / "model", str(data), epochs=1, crop=96))["training"]["steps"] == 2


def test_data_without_objects_is_told_in_one_line(tmp_path, blank):
    with pytest.raises(CongealError, match="expected objects in the training images of blank"):
        train(None, blank, output=tmp_path / "model", epochs=1)
    assert not (tmp_path / "model").exists()


def test_a_model_of_ones_own_may_see_images_without_objects(brief, tmp_path, blank):
    assert load(brief(tmp_path / "model", blank, epochs=1))


def test_data_without_images_is_told_in_one_line(brief, tmp_path):
    with pytest.raises(CongealError, match="expected training images"):
        brief(tmp_path / "model", Subset(DrawnDataset("sticks"), []))


def spoil():
    raise CongealError("expected an image in a.png, it is cut short")


@pytest.mark.parametrize("workers", [0, 1])
def test_what_is_wrong_with_an_image_is_told_in_one_line(brief, eventful, tmp_path, workers):
    with pytest.raises(CongealError) as caught:
        brief(tmp_path / "model", eventful({3: spoil}), workers=workers)
    assert str(caught.value) == "expected an image in a.png, it is cut short"


def test_what_is_wrong_with_a_validation_image_is_told_in_one_line(brief, eventful, tmp_path):
    with pytest.raises(CongealError, match=r"^expected an image in a.png, it is cut short$"):
        brief(tmp_path / "model", val=eventful({1: spoil}))


def die():
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(os.name != "posix", reason="needs kill -9")
def test_a_loader_process_that_is_killed_is_told_in_one_line(brief, eventful, tmp_path):
    with pytest.raises(CongealError, match="a loader worker was killed"):
        brief(tmp_path / "model", eventful({3: die}), workers=1)


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="there is such a device")
def test_a_device_that_is_not_there_is_told_in_one_line(brief, tmp_path):
    with pytest.raises(CongealError, match="MPS") as caught:
        brief(tmp_path / "model", device="mps")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "model").exists()


def test_an_output_that_is_a_file_is_told_in_one_line(brief, tmp_path):
    (tmp_path / "model").write_text("mine")
    with pytest.raises(CongealError, match=r"cannot write to .*model") as caught:
        brief(tmp_path / "model")
    assert "\n" not in str(caught.value)
    assert (tmp_path / "model").read_text() == "mine"


def test_an_output_below_a_file_is_told_in_one_line(brief, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CongealError, match="cannot write to"):
        brief(tmp_path / "file" / "model")


def test_a_training_that_explodes_overwrites_nothing(brief, unbroken, tmp_path):
    with pytest.raises(CongealError, match=r"no longer finite .* lower learning_rate") as caught:
        brief(tmp_path / "model", learning_rate=1e30, warmup=0, precision="32")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "model" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"epoch": 3}, "unknown training setting 'epoch'; did you mean 'epochs'"),
        ({"epochs": 0}, "epochs: .* got 0"),
        ({"optimizer": "adam"}, "optimizer: .* got 'adam'"),
        ({"device": "gpus"}, "device"),
        ({"scale_range": (2.0, 1.0)}, "scale_range: expected 0 < smallest <= largest"),
        ({"crop": 8}, "crop: .* got 8"),
        ({"crop": 100}, "crop: expected a multiple of 32, got 100"),
        ({"crop": 32, "batch_size": 1}, "crop: expected at least 64 with batches of one"),
    ],
)
def test_settings_that_do_not_fit_are_told_in_one_line(brief, tmp_path, settings, said):
    with pytest.raises(CongealError, match=said) as caught:
        brief(tmp_path / "model", **settings)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "model").exists()


def test_a_pretrained_encoder_can_have_a_rate_of_its_own(brief, tmp_path):
    model = RPE(encoder="resnet10t", dimensions=4, samples=64, freeze_norm=True)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    brief(tmp_path / "model", model=model, epochs=1, encoder_rate=1e-9, weight_decay=0.0)
    moved = {n for n, p in model.named_parameters() if not torch.allclose(p, before[n])}
    assert moved
    assert not any(name.startswith("network.encoder") for name in moved)


@pytest.mark.parametrize("name", ["kong2018", "hwang2019", "yuan2020", "debrabandere2017"])
def test_a_training_takes_the_augmentation_of_a_paper(name, tmp_path):
    data = DrawnDataset("sticks", "train", count=2, size=96)
    settings = {"epochs": 1, "batch_size": 2, "crop": 64, "overlays": False}
    model = RPE(dimensions=4, samples=64)
    folder = train(model, data, output=tmp_path / "m", augmentation=name, **settings)
    assert config(folder)["training"]["augmentation"] == name
