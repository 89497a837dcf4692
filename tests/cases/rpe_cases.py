"""Small models of RPE, labels, and the outputs that tell them perfectly."""

import numpy as np
import torch
from torch import nn

from congeal.data.batch import Batch
from congeal.methods.method import MapPrediction
from congeal.methods.rpe import RPE
from congeal.networks import EmbeddingOutput

TINY = {"dimensions": 4, "samples": 64}
# An untrained model that calls everything foreground and keeps the smallest object.
EAGER = {**TINY, "foreground_threshold": 1e-6, "min_area": 0}


def make(seed=0, **settings):
    torch.manual_seed(seed)
    return RPE(**{**TINY, **settings})


def speckled(height, width, channels=3, dtype=np.uint8):
    rng = np.random.default_rng(height * 1000 + width)
    return rng.integers(0, 200, (height, width, channels)).astype(dtype)


def scene(background=0):
    """Labels (16, 24): two bars and a square, and what a perfect network says of them."""
    labels = np.full((16, 24), background, np.int64)
    labels[2:6], labels[8:14, 2:8], labels[8:14, 12:22] = 1, 2, 3
    return labels


def perfect(labels, stride=2, classes=(0, 1, 1, 1), count=1):
    """The output that tells exactly these labels: a direction for each, classes by `classes`."""
    coarse = torch.from_numpy(labels[::stride, ::stride])
    embedding = nn.functional.one_hot(coarse, 4).permute(2, 0, 1)[None].float()
    kind = torch.tensor(classes)[torch.from_numpy(labels)]
    semantic = 20.0 * nn.functional.one_hot(kind, count + 1).permute(2, 0, 1)[None]
    return EmbeddingOutput(embedding, semantic, torch.full((1, 1, *labels.shape), -20.0))


def decode(model, output, size):
    """What a model makes of each image of an output."""
    stride = model.config.network.stride
    return [
        model.decode(MapPrediction(dict(zip(output.maps(), parts, strict=True)), size, stride))
        for parts in zip(*output.maps().values(), strict=True)
    ]


def batch_of(labels, semantic=None):
    """A batch of arbitrary images with these labels; objects are of class 1 unless said."""
    seed = torch.Generator().manual_seed(0)
    image = torch.rand(len(labels), 3, *labels.shape[1:], generator=seed)
    return Batch(
        image, labels=labels, semantic=labels.clamp(max=1) if semantic is None else semantic
    )


VOID, EMPTY = torch.full((2, 32, 32), -1), torch.zeros(2, 32, 32, dtype=torch.int64)
OBJECTS = torch.from_numpy(np.kron([[1, 2], [-1, 0]], np.ones((16, 16), int))).expand(2, 32, 32)
