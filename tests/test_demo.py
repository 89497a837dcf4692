import json
import signal
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from skimage.measure import label

from congeal import demo
from congeal.demo import photographs, run_demo
from congeal.demo import run as demo_run
from congeal.demo.run import worst_to_best
from congeal.errors import CongealError
from congeal.evaluation import Evaluation
from congeal.segmentation import Segmentation
from congeal.training import Outcome


class Bright:
    """Calls what is brighter than the picture's mean an object, and makes up an embedding."""

    def segment(self, image, keep_embedding=False):
        gray = image.mean(-1)
        half = tuple(-(-side // 2) for side in gray.shape)
        embedding = np.random.default_rng(0).normal(size=(8, *half)) if keep_embedding else None
        return Segmentation.from_labels(label(gray > gray.mean()), embedding=embedding)


@pytest.fixture
def quick(monkeypatch):
    """Training, loading and shelf replaced; gives what the training was asked for."""
    asked = {}

    def run_training(method, data, *, output, settings, **wish):
        asked.update(wish, **settings["training"], data=data)
        output.mkdir(parents=True)
        rows = "step,seconds,loss,lr,matching_ap@0.5\n0,0.5,2.0,0.1,\n1,1.0,1.0,0.05,0.4\n"
        (output / "log.csv").write_text(rows)
        return Outcome(output)

    monkeypatch.setattr(demo_run, "run_training", run_training)
    monkeypatch.setattr(demo_run, "load", lambda name, device: Bright())
    monkeypatch.setattr(demo_run, "PHOTOGRAPHS", demo.PHOTOGRAPHS[:1])
    monkeypatch.setattr(demo_run, "list_models", lambda: [SimpleNamespace(name="nuclei")])
    return asked


def test_the_photograph_has_24_coins_and_they_are_round():
    from skimage.data import coins
    from skimage.measure import regionprops

    truth = photographs.true_coins(coins())
    regions = regionprops(truth)
    assert len(regions) == photographs.COINS
    assert all(region.solidity > 0.9 and region.eccentricity < 0.7 for region in regions)


def test_coins_found_are_counted_against_the_true_ones():
    class AllButTwo:
        def segment(self, image):
            labels = photographs.true_coins(image)
            labels[labels <= 2] = 0
            labels[:3, :3] = 99
            return Segmentation.from_labels(labels)

    seen = photographs.segment_photograph(AllButTwo(), demo.PHOTOGRAPHS[0])
    assert (seen.right, seen.true) == (22, 24)
    assert seen.verdict == "22 of 24 coins found, 1 other object"


def test_the_photographs_are_read_in_the_form_of_images():
    for photograph in demo.PHOTOGRAPHS:
        image = photograph.read()
        assert image.ndim == 3
        assert image.shape[2] in (1, 3)
        assert image.dtype == np.uint8


def test_images_shown_reach_from_the_worst_to_the_best():
    rows = [{"matching_ap@0.5": score} for score in (0.2, 0.9, 0.4, 0.1, 0.8, 0.5, 0.3)]
    chosen = worst_to_best(Evaluation("a", "test", "m", "matching", (0.5,), {}, rows), 3)
    assert chosen == [3, 2, 1]
    assert worst_to_best(Evaluation("a", "test", "m", "matching", (0.5,), {}, rows[:1]), 3) == [0]


def test_the_demo_leaves_page_pictures_scores_and_model(quick, tmp_path):
    made = run_demo(tmp_path / "d", images=3)
    assert made.page == tmp_path / "d" / "index.html"
    assert made.model == tmp_path / "d" / "model"
    scores = json.loads((tmp_path / "d" / "evaluation.json").read_text())
    assert scores["metrics"]["images"] == 3
    assert len(scores["per_image"]) == 3
    names = {path.name for path in (tmp_path / "d" / "pictures").iterdir()}
    assert {"training.png", "scores.png", "coins-objects.png", "sticks-3-true.png"} <= names
    assert "sticks-1-embedding-as-colour.png" in names


def test_the_page_needs_no_other_file_and_no_network(quick, tmp_path):
    text = run_demo(tmp_path, images=2).page.read_text()
    assert "congeal train my_folder" in text
    assert "of 24 coins found" in text
    for outside in ('src="http', 'href="http', 'src="pictures', "@import", "stylesheet"):
        assert outside not in text


def test_the_embedding_is_shown_at_the_size_of_the_image(quick, tmp_path):
    run_demo(tmp_path, images=1)
    folder = tmp_path / "pictures"
    sizes = set()
    for name in ("image", "embedding-as-colour", "objects-found", "true"):
        with Image.open(folder / f"sticks-1-{name}.png") as picture:
            sizes.add(picture.size)
    assert len(sizes) == 1


def test_without_a_shipped_model_the_photographs_are_left_out(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(demo_run, "list_models", list)
    made = run_demo(tmp_path, images=1)
    assert made.photographs == ()
    assert "no shipped model" in made.page.read_text()


def test_every_stage_is_told(quick, tmp_path):
    told, seen = [], []
    run_demo(
        tmp_path,
        images=2,
        minutes=3,
        on_stage=told.append,
        on_image=lambda done, total, row: seen.append((done, total)),
    )
    assert [text.split()[0] for text in told] == ["training", "evaluating", "segmenting", "writing"]
    assert seen == [(1, 2), (2, 2)]
    assert quick["max_minutes"] == 3


def test_sticks_of_training_and_scoring_are_not_the_same(quick, tmp_path):
    run_demo(tmp_path, images=2)
    assert quick["data"].split == "train"
    assert quick["val"].split == "val"


@pytest.mark.parametrize(("threads", "replicas"), [(2, 2), (1, None)])
def test_two_cores_share_each_batch(quick, tmp_path, monkeypatch, threads, replicas):
    monkeypatch.setattr(demo_run.torch, "get_num_threads", lambda: threads)
    run_demo(tmp_path, images=1, device="cpu")
    assert quick.get("cpu_replicas") == replicas


def test_a_second_demo_replaces_the_first(quick, tmp_path):
    run_demo(tmp_path, images=1)
    (tmp_path / "model" / "old").write_text("")
    run_demo(tmp_path, images=1)
    assert not (tmp_path / "model" / "old").exists()


def test_a_model_that_is_not_of_a_demo_is_not_touched(quick, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine").write_text("")
    with pytest.raises(CongealError, match="not of a demo"):
        run_demo(tmp_path, images=1)
    assert (tmp_path / "model" / "mine").exists()


def test_a_folder_that_cannot_be_written_is_told_before_the_training(quick, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(CongealError, match="cannot write"):
        run_demo(tmp_path / "taken", images=1)
    assert quick == {}


def test_a_demo_whose_training_was_stopped_ends_there(quick, tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(
        demo_run, "run_training", lambda *args, output, **wish: Outcome(output, signal.SIGINT)
    )
    assert run_demo(tmp_path, images=1, on_stage=told.append) is None
    assert [text.split()[0] for text in told] == ["training"]


@pytest.mark.slow
def test_the_demo_runs_as_it_is(tmp_path):
    made = run_demo(tmp_path, minutes=0.05, images=2)
    assert (made.model / "model.safetensors").is_file()
    assert "embedding as colour" in made.page.read_text()


def test_no_time_to_train_is_refused(tmp_path):
    with pytest.raises(CongealError, match="more than 0 minutes"):
        run_demo(tmp_path, minutes=0)
