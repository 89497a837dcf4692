"""The terms that the method trains with, against the definition written out in loops."""

import numpy as np
import pytest
import torch

from congeal.data.batch import Batch
from congeal.methods.discriminative import Discriminative

NAMES = ("variance", "distance", "regularisation", "semantic")


def make(**settings):
    torch.manual_seed(0)
    return Discriminative(**{"dimensions": 3, "coordinates": "none", **settings})


def random_batch(classes=2, objects=5, size=32, seed=0):
    """Labels in blocks, some void; each object of one class."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, objects + 1, (2, size // 8, size // 8)).repeat(8, 1).repeat(8, 2)
    of_object = np.concatenate([[0], rng.integers(1, classes + 1, objects), [-1]])
    image = rng.random((2, 3, size, size)).astype(np.float32)
    maps = (torch.from_numpy(x) for x in (image, labels, of_object[labels]))
    return Batch(*maps)


def slow_terms(embedding, labels, semantic, delta_v, delta_d):
    """Equations 1 to 3 for each class of each image by itself; means over classes, then images."""
    totals = np.zeros(3)
    for x, ids, kinds in zip(embedding, labels, semantic, strict=True):
        of_classes = []
        for kind in np.unique(kinds[(ids > 0) & (kinds > 0)]):
            present = np.unique(ids[(ids > 0) & (kinds == kind)])
            pixels = [x[:, (ids == one) & (kinds == kind)].T for one in present]
            means = [one.mean(0) for one in pixels]
            pull = [
                np.mean([max(np.linalg.norm(mean - p) - delta_v, 0) ** 2 for p in of])
                for mean, of in zip(means, pixels, strict=True)
            ]
            push = [
                max(2 * delta_d - np.linalg.norm(a - b), 0) ** 2
                for i, a in enumerate(means)
                for j, b in enumerate(means)
                if i != j
            ]
            lengths = [np.linalg.norm(mean) for mean in means]
            of_classes.append([np.mean(pull), np.mean(push) if push else 0, np.mean(lengths)])
        if of_classes:
            totals += np.mean(of_classes, 0)
    return totals / len(labels)


@pytest.mark.parametrize("classes", [1, 2])
def test_terms_are_those_of_the_definition_weighted(classes):
    names = [f"kind {i}" for i in range(classes)]
    model = make(
        class_names=names,
        delta_v=0.02,
        delta_d=0.7,
        variance_weight=2.0,
        distance_weight=3.0,
        regularisation_weight=0.5,
        semantic_weight=0.25,
    )
    batch = random_batch(classes)
    maps = model(batch.image)
    found = model.losses_of(maps, batch)
    assert tuple(found) == NAMES
    coarse = (x[:, ::2, ::2].numpy() for x in (batch.labels, batch.semantic))
    expected = slow_terms(maps["embedding"].detach().numpy(), *coarse, 0.02, 0.7)
    assert min(expected) > 0
    for name, value, weight in zip(NAMES, expected, (2, 3, 0.5), strict=False):
        assert found[name].item() == pytest.approx(weight * value, rel=1e-4), name
    logits = maps["semantic"].detach().double().permute(0, 2, 3, 1)
    known = batch.semantic >= 0
    odds = logits.softmax(-1)[known].gather(1, batch.semantic[known][:, None])
    assert found["semantic"].item() == pytest.approx(0.25 * -odds.log().mean().item(), rel=1e-4)


def test_objects_of_different_classes_may_share_a_place():
    model = make(class_names=["a", "b"])
    labels = torch.tensor([[[1, 1, 2, 2]]]).repeat_interleave(2, 1)
    maps = {"embedding": torch.zeros(1, 3, 1, 2), "semantic": torch.zeros(1, 3, 2, 4)}
    image = torch.zeros(1, 3, 2, 4)
    apart = model.losses_of(maps, Batch(image, labels, labels))
    alike = model.losses_of(maps, Batch(image, labels, labels.clamp_max(1)))
    assert apart["distance"].item() == 0
    assert alike["distance"].item() == pytest.approx(9.0)  # (2 * 1.5)^2


def test_background_and_void_take_no_part_in_the_embedding():
    model, batch = make(class_names=["a", "b"]), random_batch()
    maps = {name: x.detach().requires_grad_() for name, x in model(batch.image).items()}
    terms = model.losses_of(maps, batch)
    (terms["variance"] + terms["distance"] + terms["regularisation"]).backward()
    gradient = maps["embedding"].grad.abs().sum(1)
    outside = batch.labels[:, ::2, ::2] <= 0
    assert outside.any()
    assert gradient[outside].max() == 0
    maps["semantic"].grad = None
    model.losses_of(maps, batch)["semantic"].backward()
    assert maps["semantic"].grad.abs().sum(1)[batch.semantic < 0].max() == 0


WHATEVER = {
    "no object": (lambda ids: ids * 0, 1),
    "void only": (lambda ids: ids * 0 - 1, 1),
    "one object": (lambda ids: ids * 0 + 1, 1),
    "two classes absent": (lambda ids: ids.clamp(0, 1), 3),
    "one pixel": (lambda ids: (torch.arange(ids.numel()) == 0).long().reshape(ids.shape), 1),
    "500 objects": (lambda ids: torch.arange(ids.numel()).reshape(ids.shape) // 4 % 500 + 1, 1),
}


@pytest.mark.parametrize("case", WHATEVER)
def test_gradients_are_finite_whatever_a_batch_holds(case):
    change, classes = WHATEVER[case]
    model = make(class_names=[f"kind {i}" for i in range(classes)])
    batch = random_batch()
    labels = change(batch.labels)
    terms = model.losses(Batch(batch.image, labels, labels.clamp(-1, 1)))
    total = sum(terms.values())
    total.backward()
    assert total.isfinite()
    for name, parameter in model.named_parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all(), name
    if not (labels > 0).any():
        assert terms["variance"] == terms["distance"] == terms["regularisation"] == 0


def test_semantic_training_has_no_embedding():
    model = make(task="semantic", class_names=["a", "b"])
    batch = random_batch()
    assert model.wanted_maps == ("semantic",)
    assert set(model(batch.image)) == {"semantic"}
    assert set(model.losses(Batch(batch.image, semantic=batch.semantic))) == {"semantic"}
