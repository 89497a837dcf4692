"""What may go wrong in SegSort, through whole trainings and predictions."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import congeal
from congeal.data.sample import Dataset, Sample
from congeal.models import load
from congeal.models.index import edit_index

SHORT = {
    "training.epochs": 1,
    "training.steps_per_epoch": 2,
    "training.batch_size": 2,
    "training.crop": 32,
    "training.threads": 1,
    "training.workers": 0,
    "training.device": "cpu",
    "training.precision": "32",
    "training.overlays": False,
    "network.dimensions": 4,
    "loss.samples": 64,
}


class Scenes(Dataset):
    """Images ``(H, W)`` with their maps of classes."""

    name, split, class_names = "scenes", "train", ("background", "road", "sky")

    def __init__(self, *pairs):
        self.pairs = pairs

    def __len__(self):
        return len(self.pairs)

    def names(self):
        return [f"s{index}" for index in range(len(self))]

    def __getitem__(self, index):
        image, classes = self.pairs[index]  # IndexError past the end
        return Sample(f"s{index}", image[..., None], classes.clip(0), semantic=classes)


def noise(size, classes=2, seed=0):
    rng = np.random.default_rng(seed)
    bands = np.arange(size[1]) * classes // size[1] + 1
    return rng.integers(0, 256, size, np.uint8), np.broadcast_to(bands, size).astype(np.int64)


def flat(kind, size=(32, 32)):
    return np.full(size, 90, np.uint8), np.full(size, kind, np.int64)


def trained(output, scenes, **settings):
    return congeal.train("segsort", scenes, output=output, start=None, **{**SHORT, **settings})


def is_finite(folder):
    weights = load_file(folder / "model.safetensors")
    return all(bool(w.isfinite().all()) for w in weights.values() if w.is_floating_point())


def test_empty_clusters_vanish_from_training_index_and_answer(tmp_path):
    """Where all pixels are alike and location does not count, 36 cells come to one cluster."""
    settings = {"loss.location_weight": 0.0, "loss.grid": 6, "network.mean": (0.5,)}
    folder = trained(tmp_path / "m", Scenes(flat(1), flat(2)), **settings)
    assert is_finite(folder)
    model = load(folder)
    assert [row.segments for row in model.indexed_images()] < [36, 36]
    model.network.forward = lambda image: {"embedding": torch.ones(len(image), 4, 16, 16)}
    assert (model.segments(model.predict_maps(flat(1)[0])) == 1).all()
    assert np.isfinite(model.segment(flat(1)[0]).probabilities).all()


def test_of_classes_that_look_alike_the_smallest_wins_every_time(tmp_path):
    """Equal images of two classes give equal prototypes, and as many votes to both."""
    folder = trained(tmp_path / "m", Scenes(flat(2), flat(1)), **{"loss.grid": 1, "decoding.k": 2})
    for _ in range(2):
        assert (load(folder).segment(flat(1)[0]).semantic == 1).all()


@pytest.mark.parametrize(("steps", "held"), [(1, 1), (2, 2), (4, 2)])
def test_the_memory_starts_empty_and_holds_at_most_two_batches(tmp_path, steps, held):
    scenes = Scenes(noise((32, 32)), noise((32, 32), seed=1))
    model = load(trained(tmp_path / "m", scenes, **{"training.steps_per_epoch": steps}))
    assert len(model.bank.sizes) == held
    assert set(model.bank.classes.tolist()) <= {1, 2}  # none of background, which nothing is
    assert bool((model.bank.prototypes.norm(dim=1) - 1).abs().max() < 1e-4)


def test_narrow_images_are_learnt_and_answered(tmp_path):
    sizes = [(1, 50), (50, 1), (3, 90), (7, 33)]
    scenes = Scenes(*(noise(size, min(2, size[1])) for size in sizes))
    folder = trained(tmp_path / "m", scenes)
    assert is_finite(folder)
    model = load(folder)
    assert all(row.segments for row in model.indexed_images())
    for image, _ in scenes.pairs:
        assert model.segment(image).semantic.shape == image.shape


def test_boxes_of_narrow_images_lie_where_their_classes_are(tmp_path):
    """Prototypes are of the pixels that their class is of, also where a side is odd and short."""
    image, classes = noise((3, 91))
    model = load(trained(tmp_path / "m", Scenes((image, classes))))
    found = zip(model.index.classes.tolist(), model.index.boxes.tolist(), strict=True)
    for kind, (_, left, _, right) in found:
        columns = np.flatnonzero((classes == kind).any(0)) / 91
        assert left >= columns.min() - 2 / 91
        assert right <= columns.max() + 3 / 91


@pytest.mark.parametrize("unsupervised", [False, True])
def test_kappa_100_in_half_precision_trains_and_answers(tmp_path, unsupervised):
    scenes = Scenes(noise((32, 32)), noise((32, 32), seed=1))
    settings = {"loss.concentration": 100.0, "training.precision": "bf16-mixed"}
    settings |= {"training.half": True, "loss.unsupervised": unsupervised}
    folder = trained(tmp_path / "m", scenes, **settings)
    assert is_finite(folder)
    found = load(folder).segment(scenes.pairs[0][0])
    assert np.isfinite(found.probabilities).all()
    assert set(np.unique(found.semantic)) <= {1, 2}


def test_without_its_only_image_a_model_knows_nothing(tmp_path):
    folder = trained(tmp_path / "m", Scenes(flat(1)), **{"decoding.k": 1})
    image = flat(1)[0]
    assert (load(folder).segment(image).semantic == 1).all()
    edit_index(folder, drop=["s0"])
    assert (load(folder).segment(image).semantic == 0).all()
