"""A method for the other two tasks: boundaries, and proposals at several thresholds."""

import numpy as np
import torch
from skimage.measure import label
from torch import nn
from torch.nn import functional

from congeal.data.intensity import scale_intensity
from congeal.methods import MapPrediction, Method
from congeal.methods.sections import MethodSettings
from congeal.segmentation import Segmentation


class Lines(Method):
    name, title, reference = "lines", "Boundaries and what they enclose", "tests"
    Config, tasks = MethodSettings, ("boundaries", "proposals")

    def __init__(self, config=None, **settings):
        super().__init__(config, **settings)
        self.edge = nn.Conv2d(3, 1, 3, padding=1)

    @property
    def wanted_maps(self):
        return ("boundaries", "location")

    def losses(self, batch, *, stage="training", progress=1.0, generator=None):
        assert batch.labels is None  # not wanted
        inside = (batch.location >= 0).all(1) & (batch.boundaries >= 0)
        entropy = functional.binary_cross_entropy_with_logits(
            self.edge(batch.image)[:, 0], batch.boundaries.clamp_min(0), weight=inside.float()
        )
        return {"entropy": entropy}

    def compute_maps(self, image, statistics=None):
        bounds = None if statistics is None else statistics.bounds
        pixels = scale_intensity(image, bounds=bounds).to(self.edge.bias)
        return MapPrediction({"edge": self.edge(pixels[None])[0]}, tuple(pixels.shape[1:]))

    def decode(self, maps, *, keep_embedding=False):
        boundary = torch.sigmoid(maps.maps["edge"][0].float()).cpu().numpy()
        if self.config.task == "boundaries":
            return Segmentation.from_maps(boundary=boundary)
        parts = [label(boundary < np.quantile(boundary, share)) for share in (0.5, 0.9)]
        masks = [part == k for part in parts for k in range(1, min(part.max(), 20) + 1)]
        return Segmentation.from_masks(np.reshape(masks, (-1, *maps.size)))
