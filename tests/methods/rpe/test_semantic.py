"""Classes of pixels: the network, its two losses, and what becomes of a prediction."""

import csv
import json

import numpy as np
import pytest
import torch
from cases.discs_and_squares import DiscsAndSquares
from torch.nn import functional
from typer.testing import CliRunner

from congeal import evaluate, train
from congeal.cli import app
from congeal.data.batch import Batch
from congeal.losses.pairwise import pairwise_loss
from congeal.methods.rpe import RPESemantic

TINY = {"dimensions": 4, "pyramid_width": 16, "samples": 64, "class_names": ("disc", "square")}
SHORT = {
    "training.threads": 1,
    "training.workers": 0,
    "training.device": "cpu",
    "training.precision": "32",
    "training.overlays": False,
    "training.tuning_share": 0,
    "network.pyramid_width": 16,
}


def make(**settings):
    torch.manual_seed(0)
    return RPESemantic(**{**TINY, **settings}).eval()


def batch():
    seed = torch.Generator().manual_seed(1)
    semantic = torch.randint(-1, 3, (2, 4, 4), generator=seed)
    semantic = semantic.repeat_interleave(16, 1).repeat_interleave(16, 2)
    return Batch(torch.rand(2, 3, 64, 64, generator=seed), semantic=semantic)


def image(height=64, width=96):
    return np.random.default_rng(0).integers(0, 200, (height, width, 3)).astype(np.uint8)


# The network


@pytest.mark.parametrize("stride", [2, 4, 8])
def test_the_maps_have_the_stride_of_the_setting(stride):
    output = make(stride=stride)(torch.zeros(1, 3, 64, 96))
    assert output.logits.shape == (1, 3, 64 // stride, 96 // stride)
    assert output.embedding.shape == (1, 4, 64 // stride, 96 // stride)
    np.testing.assert_allclose(output.embedding.detach().norm(dim=1), 1, rtol=1e-5)


def test_at_the_stride_of_the_encoder_there_is_no_decoder_as_in_the_paper():
    pytest.importorskip("timm")
    paper = make(encoder="resnet10t", output_stride=8, stride=8, encoder_levels=4)
    assert paper.network.decoder is None
    assert paper.network.encoder.reductions[-1] == 8
    assert make().network.decoder is not None


def test_rates_are_pixels_of_the_image_whatever_the_stride_of_the_features():
    pytest.importorskip("timm")
    rates = {"pyramid_rates": (96.0, 192.0, 288.0)}
    fine = make(encoder="resnet10t", output_stride=8, stride=8, encoder_levels=4, **rates)
    coarse = make(**rates)  # features at stride 32
    holes = [[hole[0].dilation[0] for hole in one.network.pyramid.holes] for one in (fine, coarse)]
    assert holes == [[12, 24, 36], [3, 6, 9]]


# Losses


def test_the_terms_are_cross_entropy_without_void_and_the_pairwise_loss_of_classes():
    model, data = make(mean_shift_steps=0, embedding_weight=2.0), batch()
    terms = model.losses(data, generator=torch.Generator().manual_seed(3))
    output, truth = model(data.image), data.get("semantic")
    logits = functional.interpolate(output.logits, (64, 64), mode="bilinear")
    log_odds = logits.log_softmax(1)
    known = [
        -log_odds[b, truth[b, y, x], y, x]
        for b in range(2)
        for y in range(64)
        for x in range(64)
        if truth[b, y, x] >= 0
    ]
    torch.testing.assert_close(terms["classes"], torch.stack(known).mean())
    chance = torch.Generator().manual_seed(3)
    pair = pairwise_loss(
        output.embedding, truth[:, ::4, ::4], samples=64, sampling="balanced", generator=chance
    )
    torch.testing.assert_close(terms["embedding"], 2 * pair)


def test_with_weight_zero_there_is_cross_entropy_alone():
    assert set(make(embedding_weight=0.0).losses(batch())) == {"classes"}


def test_without_a_known_pixel_the_losses_are_zero_and_have_finite_gradients():
    model, data = make().train(), batch()
    void = Batch(data.image, semantic=torch.full_like(data.get("semantic"), -1))
    terms = model.losses(void)
    sum(terms.values()).backward()
    assert all(float(term.detach()) == 0 for term in terms.values())
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)


# Prediction


def test_the_result_has_the_most_probable_class_and_the_probabilities_of_all():
    result = make().segment(image(33, 50))
    assert result.probabilities.shape == (3, 33, 50)
    np.testing.assert_allclose(result.probabilities.sum(0), 1, atol=1e-3)
    assert np.array_equal(result.semantic, result.probabilities.argmax(0))
    assert not result.has_objects


def test_mirrored_prediction_is_that_of_the_mirrored_image():
    model, pixels = make(mirror=True), image()
    plain = model.segment(pixels).probabilities
    turned = model.segment(np.ascontiguousarray(pixels[:, ::-1])).probabilities
    np.testing.assert_allclose(plain, turned[..., ::-1], atol=1e-5)
    single = make().segment(pixels).probabilities
    assert abs(plain - single).max() > 1e-4


def test_several_scales_are_averaged():
    model, pixels = make(), image()
    alone = []
    for scale in (0.5, 1.0):
        maps = model.configure(scales=(scale,)).predict_maps(pixels)
        alone.append(maps.maps["probabilities"])
    both = model.configure(scales=(0.5, 1.0)).predict_maps(pixels).maps["probabilities"]
    torch.testing.assert_close(both, torch.stack(alone).mean(0))
    assert not torch.equal(both, alone[1])


def test_the_embedding_is_drawn_in_the_same_colours_for_all_images():
    model, pixels = make(), image()
    (_, whole), (_, again) = model.illustrate(pixels)[0], model.illustrate(pixels.copy())[0]
    assert np.array_equal(whole, again)
    assert whole.shape == (16, 24, 3)
    half = model.illustrate(image(64, 96) // 2)[0][1]
    assert half.shape == whole.shape


# From the command line to the score


def test_it_learns_the_classes_of_pixels(tmp_path):
    settings = {"epochs": 2, "steps_per_epoch": 30, "batch_size": 4, "crop": 64, "warmup": 5}
    data, val = DiscsAndSquares(count=16), DiscsAndSquares("val", 4)
    folder = train(
        "rpe", data, val=val, task="semantic", output=tmp_path / "m", **{**SHORT, **settings}
    )
    found = evaluate(folder, DiscsAndSquares("test", 6), report=False).metrics
    assert found["miou"] > 0.7
    rows = list(csv.DictReader((folder / "log.csv").read_text().splitlines()))
    assert all(any(row[name] for row in rows) for name in ("classes", "embedding", "miou"))


def test_from_the_command_line_with_and_without_the_pairwise_loss(tmp_path):
    words = ["train", "shapes:size=48", "--task", "semantic", "--epochs", "1"]
    words += ["--batch-size", "2", "--crop", "64", "--set", "steps_per_epoch=1"]
    words += [
        "--set",
        "validation_images=1",
        "--set",
        "loss.embedding_weight=0",
        "-o",
        str(tmp_path / "model"),
    ]
    words += [f"--set={name.split('.')[1]}={value}" for name, value in SHORT.items()]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    told = json.loads((tmp_path / "model" / "config.json").read_text())
    assert (told["method"], told["settings"]["task"]) == ("rpe", "semantic")
    assert told["settings"]["loss"]["embedding_weight"] == 0
    assert "embedding" not in (tmp_path / "model" / "log.csv").read_text().splitlines()[0]
