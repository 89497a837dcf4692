"""Under autocast every loss and grouping computes in float32, and a whole training runs."""

from __future__ import annotations

import json

import pytest
import torch
from typer.testing import CliRunner

from congeal.cli import app
from congeal.grouping import GroupDecoder, MeanShift, build_grouping
from congeal.losses import (
    discriminative_loss,
    pairwise_loss,
    variational_loss,
    vmf_loss,
    vmf_n_loss,
)

SIDE = 12


def two_halves(dimensions: int = 4) -> torch.Tensor:
    """`(1, D, H, W)`: two directions, a little noise."""
    embedding = torch.zeros(1, dimensions, SIDE, SIDE)
    embedding[:, 0, :, : SIDE // 2] = 1
    embedding[:, 1, :, SIDE // 2 :] = 1
    return embedding + 0.05 * torch.randn(embedding.shape, generator=torch.manual_seed(0))


def labels() -> torch.Tensor:
    found = torch.ones(1, SIDE, SIDE, dtype=torch.int64)
    found[:, :, SIDE // 2 :] = 2
    return found


LOSSES = {
    "pairwise": lambda e: pairwise_loss(e, labels(), samples=64, generator=torch.manual_seed(0)),
    "discriminative": lambda e: discriminative_loss(e, labels()),
    "variational": lambda e: variational_loss(e[:, :1], labels(), generator=torch.manual_seed(0)),
    "vmf": lambda e: vmf_loss(e, labels()),
    "vmf-n": lambda e: vmf_n_loss(e, labels(), labels()),
}
GROUPINGS = ("mean-shift", "k-means", "flat-shift", "proposals")


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_losses_are_float32_inside(name, kind):
    embedding = two_halves().to(kind)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = LOSSES[name](embedding)
    mixed = sum(mixed.values()) if isinstance(mixed, dict) else mixed
    plain = LOSSES[name](embedding.float())
    plain = sum(plain.values()) if isinstance(plain, dict) else plain
    assert mixed.dtype == torch.float32
    assert torch.allclose(mixed, plain, atol=1e-6)


@pytest.mark.parametrize("name", GROUPINGS)
def test_groupings_give_the_same_groups_under_autocast(name):
    embedding = two_halves()[0]
    with torch.autocast("cpu", torch.bfloat16):
        mixed = build_grouping(name).group(embedding)
    assert torch.equal(mixed.labels, build_grouping(name).group(embedding).labels)


@pytest.mark.parametrize("radius", [None, 6.0])
def test_decoding_gives_the_same_objects_under_autocast(radius):
    embedding = torch.nn.functional.normalize(two_halves()[0], dim=0)
    mask = torch.ones(SIDE, SIDE, dtype=torch.bool)
    plain = GroupDecoder(MeanShift(kernel_radius=radius))(embedding, mask)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = GroupDecoder(MeanShift(kernel_radius=radius))(embedding, mask)
    assert (mixed == plain).all()
    assert mixed.max() == 2


@pytest.mark.parametrize("data", ["sticks", "discs"])  # without a radius and with one
@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_a_training_in_bfloat16_runs_to_its_end(tmp_path, data, optimizer):
    folder = tmp_path / "model"
    options = ["--precision", "bf16-mixed", "--epochs", "1", "--batch-size", "2", "--crop", "64"]
    named = {"optimizer": optimizer, "steps_per_epoch": 2, "validation_images": 1}
    named |= {"dimensions": 4, "samples": 64, "device": "cpu", "tuning_share": 0}
    options += [word for name, value in named.items() for word in ("--set", f"{name}={value}")]
    ran = CliRunner().invoke(app, ["train", data, "-o", str(folder), *options])
    assert ran.exit_code == 0, ran.output
    assert json.loads((folder / "config.json").read_text())["training"]["steps"] == 2
