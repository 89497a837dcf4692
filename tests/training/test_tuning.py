import json
import shutil

import numpy as np
import pytest
import torch

from congeal.data import Dataset, DrawnDataset
from congeal.data.sample import Sample
from congeal.errors import CongealError
from congeal.methods import MapPrediction
from congeal.methods.rpe import RPE
from congeal.models import load, save_model, shipped
from congeal.networks import EmbeddingOutput
from congeal.training import tune
from congeal.training.job import Job
from congeal.training.tuning import Tuning, tune_decoding

FOREGROUND, MERGE = "decoding.foreground_threshold", "decoding.merge_margin"


class Told(RPE):
    """A network that says what it is told to of each image; counts how often it is asked.

    Every object of `scene` is an embedding of its own; the foreground is as sure as `sure`, one
    number or one for each label.
    """

    def __init__(self, sure, **settings):
        super().__init__(dimensions=8, min_area=0, **settings)
        self.sure = sure
        self.looks = 0

    def compute_maps(self, image):
        self.looks += 1
        labels = torch.from_numpy(image[..., 0].astype(np.int64))
        embedding = torch.nn.functional.one_hot(labels, 8).permute(2, 0, 1).float()[:, ::2, ::2]
        sure = torch.as_tensor(self.sure).broadcast_to(8)[labels]
        odds = torch.log(sure / (1 - sure)).float()
        object_logit = torch.where(labels > 0, odds, -20.0)
        semantic = torch.stack([torch.zeros_like(object_logit), object_logit])
        output = EmbeddingOutput(embedding, semantic, torch.full((1, *labels.shape), -20.0))
        return MapPrediction(output.maps(), tuple(labels.shape), 2)


def scene(count=3):
    labels = np.zeros((32, 48), np.int64)
    for number in range(count):
        labels[4:28, 16 * number + 2 : 16 * number + 14] = number + 1
    return labels


class Scenes(Dataset):
    """The scene so many times; the image shows the labels."""

    name, split = "scenes", "val"

    def __init__(self, count, labels=None):
        self.count = count
        self.labels = scene() if labels is None else labels

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(index)
        image = np.maximum(self.labels, 0)[..., None].astype(np.uint8)
        return Sample(f"{index}", image, self.labels)

    def names(self):
        return [str(index) for index in range(self.count)]


def but_one(sure):
    """Two objects of `scene` are found at any threshold; how sure the third is."""
    return [0.9, 0.9, 0.9, sure, *4 * [0.9]]


def test_each_step_has_to_pay():
    """At .42 one step from .5 (.45) finds nothing yet, so the search stays; at .46 it finds all."""
    near, far = Told(but_one(0.46)), Told(but_one(0.42))
    found = tune_decoding(near, Scenes(2))
    assert found.settings == {FOREGROUND: 0.45}
    assert found.after == {"matching_ap@0.5": 1, "matching_ap@0.7": 1}
    assert near.config.decoding.foreground_threshold == 0.45
    assert tune_decoding(far, Scenes(2)).settings == {}
    assert far.config == Told(0.42).config


def test_a_poor_score_is_left_by_several_steps_at_once():
    """At .38 nothing is found until the third step, to .35."""
    found = tune_decoding(Told(0.38), Scenes(2))
    assert found.before == {"matching_ap@0.5": 0, "matching_ap@0.7": 0}
    assert found.settings == {FOREGROUND: 0.35}


def test_what_is_perfect_is_left_alone():
    model = Told(0.9)
    found = tune_decoding(model, Scenes(3))
    assert (found.settings, found.images, found.objects) == ({}, 3, 9)
    assert found.before == found.after
    assert found.tried == 1 + 2 * len(RPE.search_space)  # a step either way for each


def test_the_network_looks_at_each_image_once():
    model = Told(0.46)
    tune_decoding(model, Scenes(3))
    assert model.looks == 3


def test_at_most_so_many_images_are_looked_at_spread_evenly():
    seen = []

    class Noted(Scenes):
        def __getitem__(self, index):
            seen.append(index)
            return super().__getitem__(index)

    assert tune_decoding(Told(0.9), Noted(9), limit=3).images == 3
    assert sorted(seen) == [0, 3, 6]
    with pytest.raises(CongealError, match="limit: expected at least 1 image, got 0"):
        tune_decoding(Told(0.9), Noted(9), limit=0)


def test_very_large_images_are_fewer(monkeypatch):
    monkeypatch.setattr("congeal.training.tuning.MAX_PIXELS", 2 * scene().size)
    assert tune_decoding(Told(0.9), Scenes(9)).images == 2


def test_when_it_is_time_the_best_so_far_is_kept():
    asked = []

    def stop():
        asked.append(None)
        return len(asked) > 5  # two images looked at after the first, three comparisons

    model = Told(but_one(0.46))
    found = tune_decoding(model, Scenes(3), stop=stop)
    assert found.settings == {FOREGROUND: 0.45}
    assert found.tried == 4


def test_objects_that_are_void_or_absent_leave_everything_as_it_is():
    for labels in (np.zeros((16, 16), np.int64), np.full((16, 16), -1, np.int64)):
        found = tune_decoding(Told(but_one(0.46)), Scenes(2, labels))
        assert (found.settings, found.objects, found.tried) == ({}, 0, 1)


def test_a_few_objects_have_to_gain_two():
    """One of three objects more is within chance, so with a few of them nothing moves for it."""
    labels = scene(1)
    assert tune_decoding(Told(0.46), Scenes(1, labels)).settings == {}
    assert tune_decoding(Told(0.46), Scenes(2, labels)).settings == {FOREGROUND: 0.35}


@pytest.mark.parametrize("name", RPE.search_space)
def test_steps_stay_in_range_and_lead_back(name):
    start = {FOREGROUND: 0.5, MERGE: 0.5}.get(name, 36.0)
    for way in (-1, 1):
        value, visited = start, []
        while (ahead := RPE.search_space[name](value, way)) is not None:
            RPE(dimensions=4, **{name: ahead})  # in range
            assert (ahead - value) * way > 0
            value = ahead
            visited.append(value)
            assert len(visited) < 40
        assert RPE.search_space[name](visited[0], -way) == pytest.approx(start, rel=0.01)


def test_what_is_searched_may_change_after_training():
    leaves = RPE.Config.leaves()
    assert all(leaves[path].adjustable for path in RPE.search_space)


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    return save_model(
        RPE(dimensions=4, min_area=0, foreground_threshold=0.45),
        tmp_path / "model",
        card="# Mine\n\nWhat I know of it.\n",
        what="toy",
        licence="CC0-1.0",
        training={"half": True},
        half=True,
    )


def test_the_settings_found_are_stored_and_the_weights_are_the_same(folder, tmp_path, monkeypatch):
    stored = {name: value.clone() for name, value in load(folder).state_dict().items()}
    found = Tuning({MERGE: 0.3}, {"matching_ap@0.5": 0.1}, {"matching_ap@0.5": 0.2}, 1, 2, 3)

    def change(model, dataset, **options):
        model.configure(**found.settings)
        return found

    monkeypatch.setattr("congeal.training.tuning.tune_decoding", change)
    assert tune(folder, Scenes(1), output=tmp_path / "tuned") is found
    tuned = load(tmp_path / "tuned")
    assert (tuned.config.decoding.merge_margin, tuned.config.decoding.foreground_threshold) == (
        0.3,
        0.45,
    )
    assert all(torch.equal(value, stored[name]) for name, value in tuned.state_dict().items())
    told = json.loads((tmp_path / "tuned" / "config.json").read_text())
    assert told["training"]["tuned"] == {
        "data": "scenes, val",
        "images": 1,
        "objects": 2,
        "compared by": "mean AP at .5 and .7",
        MERGE: 0.3,
    }
    name = "matching_ap@0.5"  # of images that no validation looked at
    assert told["metrics"] == {f"untuned {name}": 0.1, f"tuned {name}": 0.2}
    assert (told["what"], told["licence"]) == ("toy", "CC0-1.0")
    assert load(folder).config.decoding.merge_margin is None  # the one tuned elsewhere
    tune(folder, Scenes(1))
    assert load(folder).config.decoding.merge_margin == 0.3


def test_what_people_wrote_on_the_card_stays(folder, monkeypatch):
    def change(model, dataset, **options):
        return Tuning({MERGE: 0.3}, {"matching_ap@0.5": 0.1}, {"matching_ap@0.5": 0.2}, 1, 2, 3)

    monkeypatch.setattr("congeal.training.tuning.tune_decoding", change)
    for _ in range(2):  # a second tuning replaces the section of the first
        tune(folder, Scenes(1))
        card = (folder / "README.md").read_text()
        assert card.startswith("# Mine\n\nWhat I know of it.\n\n## Tuned\n")
        assert card.count("## Tuned") == card.count("- decoding.merge_margin: 0.3\n") == 1
        assert card.endswith("- tuned matching_ap@0.5: 0.2\n")


def test_a_search_without_gain_leaves_the_folder_alone(folder):
    before = [path.read_bytes() for path in sorted(folder.iterdir())]
    assert tune(folder, Scenes(1, scene(1))).settings == {}
    assert [path.read_bytes() for path in sorted(folder.iterdir())] == before


def test_what_does_not_fit_is_told_in_a_line(folder, tmp_path, monkeypatch):
    with pytest.raises(CongealError, match="expected objects in the images of scenes, found none"):
        tune(folder, Scenes(1, np.zeros((16, 16), np.int64)))
    with pytest.raises(CongealError, match="expected images in scenes, split val, found none"):
        tune(folder, Scenes(0))
    shutil.copytree(folder, tmp_path / "taken")
    with pytest.raises(CongealError, match="taken already holds a model; name another folder"):
        tune(folder, Scenes(1), output=tmp_path / "taken")
    monkeypatch.setattr(shipped, "SHIPPED", tmp_path)
    with pytest.raises(CongealError, match="model is shipped with congeal and cannot be changed"):
        tune(folder, Scenes(1))


def test_training_ends_with_it_and_says_so(brief, tmp_path, capsys):
    folder = brief(tmp_path / "model", epochs=1)
    tuned = json.loads((folder / "config.json").read_text())["training"]["tuned"]
    assert (tuned["data"], tuned["images"]) == ("sticks, val", 1)
    assert "tuning the decoding" in capsys.readouterr().err


def test_training_can_do_without_it(brief, tmp_path):
    for name, settings in (("off", {"tuning_share": 0}), ("blind", {"val": Scenes(0)})):
        folder = brief(tmp_path / name, epochs=1, **settings)
        told = json.loads((folder / "config.json").read_text())
        assert "tuned" not in told["training"]
        assert told["training"]["tuning_share"] == 0


def test_validation_images_without_objects_do_not_stop_a_training(brief, blank, tmp_path):
    folder = brief(tmp_path / "model", epochs=1, val=blank)
    assert json.loads((folder / "config.json").read_text())["training"]["tuned"]["objects"] == 0


def test_the_time_for_it_is_part_of_the_minutes(brief, tmp_path):
    settings = {"epochs": None, "steps_per_epoch": 1, "max_minutes": 0.05}
    folder = brief(tmp_path / "model", tuning_share=0.9, **settings)
    told = json.loads((folder / "config.json").read_text())["training"]
    assert told["minutes"] < 0.05
    assert "tuned" in told


class SlowModel(Told):
    """The network takes ten seconds of a fake clock for each image; decoding takes none."""

    def __init__(self, clock):
        super().__init__(but_one(0.46))
        self.clock = clock

    def compute_maps(self, image):
        self.clock.seconds += 10
        return super().compute_maps(image)


class FakeClock:
    """A clock that stands still but for the network."""

    seconds = 0.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def clock(monkeypatch):
    """The clock that trainings read, in place of the machine's."""
    from congeal import clock

    fake = FakeClock()
    monkeypatch.setattr(clock, "_read", fake)
    return fake


def test_predicting_images_ends_with_half_of_the_time_and_settings_are_compared_in_the_rest(clock):
    found = tune_decoding(SlowModel(clock), Scenes(16), seconds=110)
    assert clock.seconds == 60  # the image that was begun before 55 is the last
    assert found.images == 6
    assert found.settings == {FOREGROUND: 0.45}


def test_at_least_four_images_are_predicted_however_late_it_is(clock):
    found = tune_decoding(SlowModel(clock), Scenes(16), seconds=0)
    assert (found.images, found.tried) == (4, 1)


def test_images_predicted_until_the_time_is_over_are_spread_over_the_dataset(clock):
    read = []

    class Noted(Scenes):
        def __getitem__(self, index):
            read.append(index)
            return super().__getitem__(index)

    tune_decoding(SlowModel(clock), Noted(16), seconds=0)
    assert sorted(read) == [0, 4, 8, 12]


def test_a_starved_machine_does_not_make_tuning_overrun_the_minutes(
    brief, tmp_path, monkeypatch, clock
):
    """Steps take four minutes of ten; images take a minute each once the training is over."""
    losses, predict_maps, finish = RPE.losses, RPE.predict_maps, Job._finish
    late = []

    def slow_losses(self, *arguments, **options):
        clock.seconds += 240
        return losses(self, *arguments, **options)

    def slow_predict(self, *arguments, **options):
        clock.seconds += 60 if late else 0.1
        return predict_maps(self, *arguments, **options)

    def finish_late(self):
        late.append(True)
        finish(self)

    monkeypatch.setattr(RPE, "losses", slow_losses)
    monkeypatch.setattr(RPE, "predict_maps", slow_predict)
    monkeypatch.setattr(Job, "_finish", finish_late)
    val = DrawnDataset("sticks", "val", count=8, size=96)
    settings = {"epochs": None, "max_minutes": 10, "val": val, "validation_share": 1.0}
    folder = brief(tmp_path / "model", **settings)
    told = json.loads((folder / "config.json").read_text())
    assert told["training"]["tuned"]["images"] == 4  # of eight: half of a minute is over
    assert "untuned matching_ap@0.5" in told["metrics"]  # apart from those of eight images


def test_tuning_and_validation_look_at_the_same_images(brief, tmp_path):
    val = DrawnDataset("sticks", "val", count=6, size=96)
    settings = {"epochs": None, "steps_per_epoch": 1, "max_minutes": 0.02, "val": val}
    folder = brief(tmp_path / "model", **settings)
    told = json.loads((folder / "config.json").read_text())
    assert told["training"]["tuned"]["images"] == 4  # for more there is no time
    name = "matching_ap@0.5"
    assert told["metrics"][f"validation {name}"] <= told["metrics"][f"tuned {name}"]
    assert f"untuned {name}" not in told["metrics"]  # that is the one of validation
    assert "mean AP at .5 and .7" in (folder / "README.md").read_text()


def test_scores_of_other_images_than_those_of_validation_are_named_apart(
    brief, tmp_path, monkeypatch
):
    monkeypatch.setattr("congeal.training.tuning.MAX_PIXELS", 96**2)
    val = DrawnDataset("sticks", "val", count=3, size=96)
    folder = brief(tmp_path / "model", epochs=1, val=val)
    told = json.loads((folder / "config.json").read_text())
    assert told["training"]["tuned"]["images"] == 1
    stages = {name.partition(" ")[0] for name in told["metrics"]}
    assert stages == {"validation", "untuned", "tuned"}
