"""A method with two stages and a fitted part, which kills its own process where it is told to.

`TOY_KILL=verification:3` kills at the third step of that stage in this process, `finish:1` when
the memory is fitted on all training images. `TOY_BATCHES` names a file that takes the size of
each batch that reaches the losses.
"""

import os
import signal
from collections import Counter
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from skimage.measure import label
from torch import nn
from torch.nn import functional

from congeal.data.intensity import scale_intensity
from congeal.methods import MapPrediction, Method, Stage
from congeal.methods.sections import MethodSettings
from congeal.segmentation import Segmentation
from congeal.settings import Settings, setting

CALLS = Counter()


def maybe_die(place):
    CALLS[place] += 1
    if os.environ.get("TOY_KILL") == f"{place}:{CALLS[place]}":
        os.kill(os.getpid(), signal.SIGKILL)


def step(value, way):
    ahead = round(value + 0.1 * way, 1)
    return ahead if 0 < ahead < 1 else None


class Decoding(Settings):
    threshold: float = setting(0.5, "foreground from here", gt=0, lt=1, adjustable=True)


class TwoStageConfig(MethodSettings):
    decoding: Decoding = Decoding()


class TwoStage(Method):
    name, title, reference = "two-stage", "A map, its verification, and a memory", "tests"
    Config, tasks = TwoStageConfig, ("instances",)
    search_space: ClassVar = {"decoding.threshold": step}
    variable_buffers = ("memory.colours",)
    fitted_images = 2
    couples_batch = True

    def __init__(self, config=None, **settings):
        super().__init__(config, **settings)
        self.classify = nn.Conv2d(3, 2, 3, padding=1)
        self.verify = nn.Conv2d(2, 1, 1)
        self.memory = nn.Module()
        self.memory.register_buffer("colours", torch.zeros(0, 3))

    def stages(self):
        return (Stage("map", 0.5, ("classify",)), Stage("verification", 0.5, ("verify",)))

    def losses(self, batch, *, stage="map", progress=1.0, generator=None):
        maybe_die(stage)
        if "TOY_BATCHES" in os.environ:
            with Path(os.environ["TOY_BATCHES"]).open("a") as file:
                file.write(f"{len(batch)}\n")
        assert [one.requires_grad for one in (self.classify.bias, self.verify.bias)] in (
            [stage == "map", stage == "verification"],
            [True, True],  # nobody trains it
        )
        target, known = (batch.labels > 0).float(), (batch.labels >= 0).float()
        logits = self.classify(batch.image)
        if stage == "map":
            entropy = functional.cross_entropy(logits, target.long(), reduction="none")
            return {"map_entropy": (entropy * known).mean()}
        verified = self.verify(logits.detach())[:, 0]
        entropy = functional.binary_cross_entropy_with_logits(verified, target, weight=known)
        return {"verification_entropy": entropy, "size": 1e-3 * verified.pow(2).mean()}

    def finish(self, dataset, on_image=lambda done, total: None):
        found = []
        for number, sample in enumerate(dataset):
            pixels = scale_intensity(sample.image).flatten(1)
            labels = torch.from_numpy(sample.labels).flatten()
            found += [pixels[:, labels == k].mean(1) for k in labels.unique() if k > 0]
            on_image(number + 1, len(dataset))
        if len(dataset) > self.fitted_images:
            maybe_die("finish")
        self.memory.colours = torch.stack(found).to(self.memory.colours)

    def compute_maps(self, image, statistics=None):
        bounds = None if statistics is None else statistics.bounds
        pixels = scale_intensity(image, bounds=bounds).to(self.verify.bias)
        verified = self.verify(self.classify(pixels[None]))[0]
        return MapPrediction({"verified": verified, "pixels": pixels}, tuple(pixels.shape[1:]))

    def decode(self, maps, *, keep_embedding=False):
        sure = maps.maps["verified"][0].float().sigmoid().cpu().numpy()
        labels = label(sure > self.config.decoding.threshold)
        pixels = maps.maps["pixels"].float().cpu().numpy()
        colours = [pixels[:, labels == k].mean(1) for k in range(1, labels.max() + 1)]
        return Segmentation.from_labels(
            labels, [self._score(one) for one in colours], class_names=self.config.class_names
        )

    def _score(self, colour):
        """How near the colour is to one of the memory."""
        known = self.memory.colours.cpu().numpy()
        return np.exp(-np.linalg.norm(known - colour, axis=1).min()) if len(known) else 1.0
