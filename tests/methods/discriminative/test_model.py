"""The method as a whole: any network, any size of image, and the command line."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from congeal.cli import app
from congeal.data.drawn import DrawnDataset
from congeal.errors import CongealError
from congeal.methods import find_method
from congeal.methods.discriminative import Discriminative, DiscriminativeConfig
from congeal.training import train

SHORT = {"epochs": 1, "steps_per_epoch": 2, "batch_size": 2, "crop": 64, "tuning_share": 0}
NARROW = {"segnet": 16, "resnet38": 16}


def drawings(split="train", count=2):
    return DrawnDataset("sticks", split, count=count, size=64)


def speckled(*shape):
    return np.random.default_rng(0).integers(0, 200, shape).astype(np.uint8)


def test_the_method_is_registered():
    assert find_method("discriminative") is Discriminative


@pytest.mark.parametrize("name", ["encoder-decoder", "enet", "segnet", "resnet38"])
def test_every_network_trains(name, tmp_path):
    torch.manual_seed(0)
    model = Discriminative(name=name, dimensions=4, width_divisor=NARROW.get(name, 1))
    before = {key: x.clone() for key, x in model.state_dict().items()}
    folder = train(model, drawings(), val=drawings("val", 1), output=tmp_path / "m", **SHORT)
    from congeal.models import load

    after = load(folder)
    assert after.config.network.name == name
    changed = [key for key, x in after.state_dict().items() if not torch.equal(x, before[key])]
    assert any("place" in key for key in changed)
    assert after.segment(speckled(33, 47)).shape == (33, 47)


@pytest.mark.parametrize("coordinates", ["none", "channels", "rotary", "projected"])
@pytest.mark.parametrize("size", [(1, 1), (7, 33), (45, 31)])
def test_any_image_size_gives_labels_of_that_size(size, coordinates):
    model = Discriminative(dimensions=4, coordinates=coordinates, foreground_threshold=1e-6)
    result = model.segment(speckled(*size))
    assert result.shape == result.semantic.shape == size


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_the_stride_of_the_embedding_is_a_setting(stride):
    maps = Discriminative(stride=stride).predict_maps(speckled(32, 64))
    assert maps.stride == stride
    assert maps.maps["embedding"].shape[1:] == (32 // stride, 64 // stride)


def test_the_embedding_is_not_normalised():
    maps = Discriminative(coordinates="none").predict_maps(speckled(32, 64))
    lengths = maps.maps["embedding"].norm(dim=0)
    assert (lengths - 1).abs().min() > 0.1


def test_weights_of_the_encoder_come_from_a_file(tmp_path):
    timm = pytest.importorskip("timm")
    stored = timm.create_model("resnet10t").state_dict()
    path = tmp_path / "encoder.safetensors"
    save_file(stored, path)
    model = Discriminative(encoder="resnet10t", encoder_weights=str(path))
    loaded = model.network.trunk.encoder.model.state_dict()
    assert loaded
    assert all(torch.equal(x, stored[name]) for name, x in loaded.items())


@pytest.mark.parametrize("pretrained", [False, True])
def test_pretrained_weights_are_asked_of_timm(pretrained, monkeypatch):
    timm = pytest.importorskip("timm")
    asked = []
    create = timm.create_model

    def offline(*names, **options):
        asked.append(options["pretrained"])
        return create(*names, **{**options, "pretrained": False})

    monkeypatch.setattr(timm, "create_model", offline)
    Discriminative(encoder="resnet10t", pretrained=pretrained)
    assert asked == [pretrained]


def test_what_does_not_fit_is_told_in_one_line():
    with pytest.raises(CongealError, match="unknown network 'enett'; did you mean 'enet'"):
        Discriminative(name="enett")
    with pytest.raises(CongealError, match="unknown grouping 'flatshift'"):
        Discriminative(grouping="flatshift")
    with pytest.raises(CongealError, match=r"even number of dimensions with rotary .*, got 3"):
        Discriminative(coordinates="rotary", dimensions=3)


def test_the_terms_are_those_of_the_paper():
    config = DiscriminativeConfig()
    assert (config.loss.delta_v, config.loss.delta_d) == (0.5, 1.5)
    c = config.loss
    weights = (c.variance_weight, c.distance_weight, c.regularisation_weight)
    assert weights == (1, 1, 0.001)
    leaves = DiscriminativeConfig.leaves()
    for name, value in (("delta_v", 0.5), ("delta_d", 1.5), ("regularisation_weight", 0.001)):
        assert float(leaves[f"loss.{name}"].paper) == value


def test_the_semantic_task_gives_a_map_and_no_objects():
    model = Discriminative(task="semantic", class_names=["a", "b"])
    result = model.segment(speckled(20, 30))
    assert result.semantic.shape == (20, 30)
    assert result.probabilities.shape == (3, 20, 30)
    assert not result.has_objects


def run(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.output


def test_train_segment_and_evaluate_from_the_command_line(tmp_path):
    folder = tmp_path / "data"
    write_folder(folder)
    settings = [w for k, v in SHORT.items() for w in ("--set", f"{k}={v}")]
    chosen = ["--set", "network.name=enet", "--set", "delta_d=2", "--device", "cpu"]
    method = ["--method", "discriminative"]
    run("train", folder, *method, "--output", tmp_path / "model", *settings, *chosen)
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["method"] == "discriminative"
    assert config["settings"]["network"]["name"] == "enet"
    assert config["settings"]["loss"]["delta_d"] == 2
    images = sorted((folder / "images").iterdir())
    out = tmp_path / "out"
    run("segment", tmp_path / "model", images[0], "-o", out, "-f", "labels", "-f", "semantic")
    assert len(list(out.glob("*.png"))) == 2
    evaluate = ["evaluate", tmp_path / "model", folder, "--split", "all", "--output", out]
    assert "matching_ap@0.5" in run(*evaluate, "--json")
    told = run(*evaluate, "--true-classes")
    assert "given the ground-truth class of every pixel" in told


def write_folder(folder):
    from PIL import Image

    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    data = drawings(count=4)
    for index in range(len(data)):
        sample = data[index]
        Image.fromarray(np.squeeze(sample.image)).save(folder / "images" / f"{index}.png")
        Image.fromarray(sample.labels.astype(np.uint8)).save(folder / "masks" / f"{index}.png")
