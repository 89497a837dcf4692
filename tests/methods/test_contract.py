"""What every method keeps, for each of its tasks: a model's whole life on drawn data.

The methods come from the registry, those of other packages too. A method adds no line here.
"""

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from cases.discs_and_squares import DiscsAndSquares
from safetensors.torch import load_file

from congeal import evaluate, load, train, tune
from congeal.data.batch import Batch
from congeal.errors import CongealError
from congeal.methods.registry import find_method, method_names, method_tasks
from congeal.models import save_model
from congeal.segmentation.formats import FORMATS
from congeal.tasks import TASKS
from congeal.training import TrainConfig
from congeal.training.machine import choose_replicas
from congeal.training.plan import make_plan, split_settings

CASES = [(name, task) for name in method_names() for task in method_tasks(name)]
FILES = {  # formats that a result of the task can be saved in
    "objects": ("labels", "tiff", "overlay", "coco", "csv"),
    "semantic": ("semantic", "overlay"),
    "boundary": ("boundary", "overlay"),
}


@dataclass(frozen=True)
class Case:
    """A method, one of its tasks, and the folder of a model trained for it; not to be changed."""

    name: str
    task: str
    folder: Path

    @property
    def kind(self):
        return find_method(self.name, self.task)

    def train(self, output, **settings):
        return short_training(self.name, self.task, output, **settings)

    def load(self):
        return load(self.folder)


def short_training(name, task, output, **settings):
    """Two steps a stage, an epoch each."""
    model = find_method(name, task)(task=task)
    crop = model.divisor * -(-64 // model.divisor)
    fixed = {"batch_size": 2, "crop": crop, "steps_per_epoch": 1, "validation_share": 1.0}
    fixed |= {"epochs": 2 * len(model.stages()), "threads": 1, "workers": 0, "device": "cpu"}
    fixed |= {"keep": "last", "precision": "32", "tuning_share": 0.0, "overlays": False}
    data, val = DiscsAndSquares(), DiscsAndSquares("val", 2)
    training = {f"training.{key}": value for key, value in fixed.items()}
    return train(name, data, val=val, task=task, output=output, **{**training, **settings})


@pytest.fixture(scope="session", params=CASES, ids="-".join)
def case(request, tmp_path_factory):
    name, task = request.param
    folder = tmp_path_factory.mktemp(f"{name}-{task}") / "model"
    return Case(name, task, short_training(name, task, folder))


def weights(folder):
    return load_file(folder / "model.safetensors")


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def contents(result):
    """Everything that a result says, as arrays."""
    arrays = [result.labels, result.scores, result.classes]
    maps = (result.semantic, result.probabilities, result.boundary)
    return arrays + [one for one in maps if one is not None]


def alike(one, other):
    pairs = zip(contents(one), contents(other), strict=True)
    return all(np.array_equal(left, right) for left, right in pairs)


# Training


class KilledError(Exception):
    """Raised in the middle of a training."""


def test_killed_and_resumed_it_ends_with_the_weights_of_an_unbroken_training(
    case, tmp_path, monkeypatch
):
    losses, calls = case.kind.losses, []

    def dying(self, *args, **kwargs):
        calls.append(kwargs["stage"])
        if len(calls) == 2:
            raise KilledError
        return losses(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(case.kind, "losses", dying)
        with pytest.raises(KilledError):
            case.train(tmp_path / "model")
    assert (tmp_path / "model" / "checkpoints" / "last.ckpt").exists()
    case.train(tmp_path / "model", resume=True)
    assert same(weights(tmp_path / "model"), weights(case.folder))


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(case, tmp_path):
    assert same(weights(case.train(tmp_path / "again")), weights(case.folder))
    other = case.train(tmp_path / "other", **{"training.seed": 1})
    assert not same(weights(other), weights(case.folder))


def test_every_stage_and_every_term_of_its_losses_is_in_the_log(case):
    with (case.folder / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    model = case.load().train()
    for stage in model.stages():
        terms = model.losses(drawn_batch(model), stage=stage.name, generator=torch.Generator())
        logged = [row for row in rows if row["stage"] == stage.name and row["loss"]]
        assert logged, stage.name
        assert all(row[name] for row in logged for name in terms)
    assert all(name in rows[-1] for name in TASKS[case.task].headline)


def drawn_batch(model, label=lambda labels: labels):
    """Two crops, their labels changed, with the maps that the model wants."""
    side = model.divisor * -(-64 // model.divisor)
    samples = [DiscsAndSquares(side=side)[index] for index in range(2)]
    image = torch.stack([torch.from_numpy(s.image / 255).permute(2, 0, 1).float() for s in samples])
    labels = torch.stack([label(torch.from_numpy(s.labels)) for s in samples])
    kinds = torch.tensor([0, 1, 2, 1, 2])  # of labels
    semantic = kinds[labels.clamp_min(0)].masked_fill(labels < 0, -1)
    edge = (labels != labels.roll(1, 1)).float().masked_fill(labels < 0, -1)
    place = torch.linspace(0, 1, side).expand(2, 2, side, side)
    maps = {"labels": labels, "semantic": semantic, "boundaries": edge, "location": place}
    return Batch(image, **{name: maps[name] for name in model.wanted_maps})


def one_pixel(labels):
    """Two objects of one pixel each, one at the corner."""
    found = torch.zeros_like(labels)
    found[0, 0], found[30, 31] = 1, 2
    return found


@pytest.mark.parametrize(
    "label",
    [
        lambda labels: labels,
        torch.zeros_like,
        lambda labels: (labels == 1).long(),
        torch.ones_like,
        one_pixel,
        lambda labels: torch.full_like(labels, -1),
        lambda labels: labels.masked_fill(labels == 0, -1),
    ],
    ids=["drawn", "none", "one", "everywhere", "pixels", "all void", "void ground"],
)
def test_losses_and_gradients_are_finite_whatever_the_labels(case, label):
    model = case.load().train()
    for stage in model.stages():
        for progress in (0.0, 1.0):
            model.zero_grad()
            terms = model.losses(
                drawn_batch(model, label),
                stage=stage.name,
                progress=progress,
                generator=torch.Generator().manual_seed(0),
            )
            loss = torch.stack(list(terms.values())).sum()
            assert all(term.shape == () and term.isfinite() for term in terms.values())
            assert loss.requires_grad  # else the training step fails
            loss.backward()
            grads = [p.grad for p in model.parameters() if p.grad is not None]
            assert all(bool(grad.isfinite().all()) for grad in grads)


def test_losses_are_those_of_the_generator(case):
    model = case.load()  # in evaluation mode, so that no layer drops out or counts
    batch, stage = drawn_batch(model), model.stages()[-1].name

    def terms():
        chance = torch.Generator().manual_seed(5)
        found = model.losses(batch, stage=stage, generator=chance)
        return {name: float(term.detach()) for name, term in found.items()}

    assert terms() == terms()


def test_losses_and_results_are_there_under_mixed_precision(case):
    model, image = case.load().train(), DiscsAndSquares("test")[0].image
    with torch.autocast("cpu", torch.bfloat16):
        for stage in model.stages():
            chance = torch.Generator().manual_seed(0)
            terms = model.losses(drawn_batch(model), stage=stage.name, generator=chance)
            assert all(term.isfinite() for term in terms.values())
        assert model.segment(image).shape == image.shape[:2]


# Model folders


def test_a_model_saved_and_loaded_gives_the_same_result(case, tmp_path):
    model, image = case.load(), DiscsAndSquares("test")[0].image
    save_model(model, tmp_path / "copy", card="")
    again = load(tmp_path / "copy")
    assert (again.name, again.config) == (model.name, model.config)
    assert same(again.state_dict(), model.state_dict())
    assert alike(again.segment(image), model.segment(image))


def test_the_folder_says_what_the_model_is(case):
    told = json.loads((case.folder / "config.json").read_text())
    assert (told["method"], told["settings"]["task"]) == (case.name, case.task)
    assert told["settings"]["class_names"] == ["disc", "square"]
    assert case.name in (case.folder / "README.md").read_text()


# Results


@pytest.mark.parametrize("size", [(1, 1), (7, 33), (65, 30)])
@pytest.mark.parametrize(
    ("channels", "dtype"), [((), np.uint8), ((1,), np.uint16), ((3,), np.uint8), ((3,), np.float32)]
)
def test_images_of_any_size_and_depth_are_segmented(case, size, channels, dtype):
    pixels = np.random.default_rng(0).integers(0, 250, (*size, *channels)).astype(dtype)
    result = case.load().segment(pixels)
    assert result.shape == size
    assert all(one.shape[-2:] == size for one in contents(result) if one.ndim > 1)


def test_what_the_task_fills_is_there_and_is_saved(case, tmp_path):
    image = DiscsAndSquares("test")[0].image
    result, output = case.load().segment(image), TASKS[case.task].output
    assert result.has_objects if output == "objects" else getattr(result, output) is not None
    if case.task in ("instances", "semantic"):
        assert result.class_names == ("disc", "square")
    for name in FILES[output]:
        path = result.save_as(name, tmp_path, "a.png", image)
        assert path.name == f"a{FORMATS[name]}"
        assert path.stat().st_size


def test_predicting_changes_nothing_and_is_the_same_twice(case):
    model, image = case.load().train(), DiscsAndSquares("test")[0].image
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert alike(model.segment(image), model.segment(image))
    assert model.training
    assert same(model.state_dict(), before)


def test_maps_are_decoded_as_often_as_wanted(case):
    model, image = case.load(), DiscsAndSquares("test")[0].image
    maps = model.predict_maps(image)
    kept = {name: value.clone() for name, value in maps.maps.items()}
    assert alike(model.decode(maps), model.decode(maps))
    assert alike(model.decode(maps), model.segment(image))
    assert same(kept, dict(maps.maps))


# Tuning and evaluation


def test_what_tuning_varies_can_be_changed_and_decoded_from_the_same_maps(case):
    model = case.load()
    maps = model.predict_maps(DiscsAndSquares("test")[0].image)
    leaves = model.Config.leaves()
    for path, step in model.search_space.items():
        assert path in leaves
        assert leaves[path].adjustable
        value = model.config.flat()[path]
        value = model.effective(path) if value is None else value
        around = [step(value, way) for way in (-1, 1)]
        assert any(ahead is not None for ahead in around)
        for ahead in around:
            if ahead is not None:
                assert model.configure(**{path: ahead}).decode(maps).shape == maps.size
        model.configure(**{path: value})


def test_a_model_is_tuned_and_keeps_its_weights(case, tmp_path):
    found = tune(case.folder, DiscsAndSquares("val", 2), output=tmp_path / "tuned")
    assert set(found.settings) <= set(case.kind.search_space)
    assert set(found.after) == set(TASKS[case.task].headline)
    tuned = load(tmp_path / "tuned")
    assert same(weights(tmp_path / "tuned"), weights(case.folder))
    assert {path: tuned.config.flat()[path] for path in found.settings} == found.settings


def test_it_is_evaluated_by_the_protocol_of_its_task(case):
    task = TASKS[case.task]
    found = evaluate(
        case.load(),
        DiscsAndSquares("test", 2),
        protocol=task.protocol,
        measure=dict(task.protocol_settings),
        report=False,
    )
    assert set(task.headline) <= set(found.metrics)


# Settings


def test_settings_come_back_from_json_and_yaml_as_they_were(case):
    model = case.load()
    told = json.loads(json.dumps(model.settings))
    assert case.kind.from_settings(told).config == model.config
    plan = make_plan(case.name, DiscsAndSquares(), {}, task=case.task)
    document = yaml.safe_load(yaml.safe_dump(plan.document()))
    assert (document.pop("method"), document.pop("start")) == (case.name, "scratch")
    own, training = split_settings(case.kind, document)
    assert case.kind.Config.from_settings(own) == plan.config
    assert type(plan.training).from_settings(training) == plan.training


def test_the_plan_of_a_training_trains_the_same_weights_again(case, tmp_path):
    plan = yaml.safe_load((case.folder / "plan.yaml").read_text())
    start = None if plan.pop("start") == "scratch" else "auto"
    data, val = DiscsAndSquares(), DiscsAndSquares("val", 2)
    about = {"val": val, "output": tmp_path / "again", "task": plan.pop("task"), "start": start}
    again = train(plan.pop("method"), data, **about, **plan)
    assert same(weights(again), weights(case.folder))


def test_every_setting_is_described_and_adjustable_ones_can_be_set(case):
    model = case.load()
    for path, leaf in case.kind.Config.leaves().items():
        assert leaf.description, path
        if leaf.adjustable:
            assert model.configure(**{path: model.config.flat()[path]}).config == model.config


@pytest.mark.parametrize("preset", ["fast", "paper"])
def test_presets_name_settings_that_there_are(case, preset):
    plan = make_plan(case.name, DiscsAndSquares(), {}, task=case.task, preset=preset)
    own, training = split_settings(case.kind, case.kind.presets[preset])
    flat = plan.config.flat() | {f"training.{k}": v for k, v in plan.training.flat().items()}
    for path, value in {**own, **{f"training.{k}": v for k, v in training.items()}}.items():
        assert flat[path] == json.loads(json.dumps(value)), path  # flat has lists for tuples


def test_stages_are_shares_of_one_and_name_its_parts(case):
    model = case.load()
    assert sum(stage.share for stage in model.stages()) == pytest.approx(1)
    for stage in model.stages():
        assert all(list(model.get_submodule(name).parameters()) for name in stage.learns)


def test_a_batch_is_split_only_where_its_loss_does_not_couple_it(case):
    model, config = case.load(), TrainConfig(device="cpu", batch_size=8, threads=2)
    if model.couples_batch:
        assert choose_replicas(config, model) == 1
        with pytest.raises(CongealError, match="compares images of a batch"):
            choose_replicas(config.updated({"cpu_replicas": 2}), model)
        return
    assert choose_replicas(config, model) in (1, 2)  # one where layers drop out
    batch, stage = drawn_batch(model), model.stages()[-1].name
    whole, half = (
        model.losses(part, stage=stage, generator=torch.Generator())
        for part in (batch, batch.chunk(2)[0])
    )
    assert set(whole) == set(half)
