"""Methods without a network, whose map is the first channel of the image."""

import torch
from torch import nn

from congeal.methods.method import MapPrediction, Method

__all__ = ["Untrained"]


class Untrained(Method):
    """Learns nothing; a subclass decodes the image itself."""

    tasks = ("instances",)

    def __init__(self, config=None, **settings) -> None:
        super().__init__(config, **settings)
        self.unused = nn.Parameter(torch.zeros(1))

    def losses(self, batch, *, stage="training", progress=1.0, generator=None):
        return {"unused": self.unused.square().sum()}

    def compute_maps(self, image, statistics=None):
        return MapPrediction({"image": torch.from_numpy(image[..., 0].copy())}, image.shape[:2])
