"""SegSort (Hwang et al., ICCV 2019): segments by k-means, classes by retrieval.

Training: vMF losses, then an index of all training segments. Prediction: vote of the nearest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from congeal.data.batch import Batch
from congeal.data.measures import TrainingSurvey
from congeal.data.rescale import rescale_image
from congeal.data.sample import Dataset, Sample
from congeal.errors import CongealError
from congeal.grouping.groups import Groups
from congeal.grouping.kmeans import SphericalKMeans
from congeal.grouping.retrieval import Neighbours, Retrieval
from congeal.losses.memory_bank import PrototypeBank
from congeal.losses.segments import segment_prototypes
from congeal.losses.vmf import vmf_loss, vmf_n_loss
from congeal.methods.explanation import Explanation, Match
from congeal.methods.image import apply_gamma, network_input
from congeal.methods.index import IndexedImage
from congeal.methods.maps import ImageStatistics, MapPrediction
from congeal.methods.method import Method
from congeal.methods.segsort.config import SegSortConfig
from congeal.methods.segsort.hierarchy import contours_of, image_gradient
from congeal.methods.segsort.oversegmentation import ContourSegments
from congeal.methods.segsort.prototypes import (
    INDEXED,
    ImageSegments,
    PrototypeIndex,
    encode_thumbnail,
)
from congeal.methods.segsort.search import SEARCH_SPACE
from congeal.methods.segsort.segments import boxes_of, class_map, cut_by_class, refine, rows_of
from congeal.methods.segsort.suggest import suggest_settings
from congeal.networks.encoders import register_moments
from congeal.networks.registry import build_network
from congeal.processes import gather_rows
from congeal.segmentation import Segmentation
from congeal.sphere import normalise

__all__ = ["SegSort"]


class SegSort(Method):
    """Segment sorting: segments by k-means, classes by similar training segments.

    The network predicts unit embeddings. In training, spherical k-means over embedding and position
    divides each image into segments; the vMF losses attract pixels to segments of their class and
    separate them from all others. :meth:`finish` stores the prototype of every training segment.
    Prediction assigns each segment the majority class of its k nearest prototypes.

    Example:
        >>> model = SegSort(dimensions=8)
        >>> result = model.segment(np.zeros((30, 50, 3), np.uint8))
        >>> result.shape, len(model.index)
        ((30, 50), 0)
    """

    name = "segsort"
    title = "SegSort"
    reference = "Hwang et al., ICCV 2019"
    Config = SegSortConfig
    tasks = ("semantic",)
    couples_batch = True
    search_space = SEARCH_SPACE
    variable_buffers = tuple(
        [f"index.{name}" for name in INDEXED]
        + [f"bank.{name}" for name in ("prototypes", "classes", "sizes")]
    )
    fitted_images = 64
    learns_unlabelled = True
    on_request: ClassVar[Mapping[str, str]] = {"boundary": "decoding.hierarchy"}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "fast": {},
        "paper": {
            "network.encoder": "resnet101",
            "network.pretrained": True,
            "network.pyramid_pooling": True,
            "network.dimensions": 32,
            "network.output_stride": 8,
            "network.stride": 8,
            "loss.grid": 5,
            "loss.iterations": 10,
            "loss.concentration": 10.0,
            "loss.memory": 2,
            "loss.samples": None,
            "decoding.k": 15,
            "training.batch_size": 8,
            "training.crop": 336,
            "training.optimizer": "sgd",
            "training.learning_rate": 2e-2,  # of the head; the encoder has a tenth
            "training.encoder_rate": 0.1,
            "training.weight_decay": 5e-4,
            "training.rotation": 0.0,
            "training.scale_range": (0.5, 2.0),
        },
    }

    config: SegSortConfig
    mean: Tensor
    deviation: Tensor

    def __init__(self, config: SegSortConfig | None = None, **settings: Any) -> None:
        super().__init__(config, **settings)
        c = self.config.network
        self.network = build_network(
            "encoder-decoder",
            self.config.input.input_channels,
            {"embedding": c.dimensions},
            decoder_stride=c.stride,
            decoder=c.decoder,
            pyramid_pooling=c.pyramid_pooling,
            encoder=c.encoder,
            **c.encoder_options,
        )
        register_moments(self, c.encoder, c.mean, c.deviation, self.config.input.input_channels)
        self.bank = PrototypeBank(self.config.loss.memory)
        self.index = PrototypeIndex(c.dimensions)

    @classmethod
    def suggest(cls, survey: TrainingSurvey) -> dict[str, Any]:
        """Choose grid, dimensions, k and memory from sizes and classes of the regions."""
        return suggest_settings(survey)

    @property
    def divisor(self) -> int:
        """Number that divides the sides of a training crop."""
        return self.network.divisor

    @property
    def wanted_maps(self) -> tuple[str, ...]:
        """``semantic`` and ``location``; ``labels`` (segments) for unsupervised training."""
        return ("labels",) if self.config.loss.unsupervised else ("semantic", "location")

    @property
    def needs_truth(self) -> bool:
        """Whether the losses need classes."""
        return not self.config.loss.unsupervised

    def prepare(self, dataset: Dataset) -> Dataset:
        """Add segments from contours as labels, for unsupervised training."""
        c = self.config.loss
        if not c.unsupervised:
            return dataset
        return ContourSegments(dataset, c.contours, c.contour_threshold, self.scale)

    def encoder_parameters(self) -> Iterable[nn.Parameter]:
        """Parameters that learn at the rate of the encoder."""
        encoder = self.network.get_submodule("encoder")
        return encoder.parameters()

    def forward(self, image: Tensor) -> Tensor:
        """``(B, 3, H, W)`` in [0, 1] to unit embeddings ``(B, D, ceil(H / s), ceil(W / s))``."""
        image = apply_gamma(image, self.config.input.gamma)
        shown = (image - self.mean) / self.deviation
        return normalise(self.network(shown)["embedding"], dim=1)

    def losses(
        self,
        batch: Batch,
        *,
        stage: str = "training",
        progress: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """The term ``segments``: vMF-N loss with the memory bank, or vMF loss if unsupervised.

        In training mode the segments of the batch are added to the bank.
        """
        del stage, progress
        c, stride = self.config.loss, self.config.network.stride
        embedding = self(batch.image)
        truth = batch.get(self.wanted_maps[0])[:, ::stride, ::stride]
        options: dict[str, Any] = {
            "concentration": c.concentration,
            "samples": c.samples,
            "reduction": "pixels",
            "generator": generator,
        }
        if c.unsupervised:
            return {"segments": vmf_loss(embedding, truth, **options)}
        place = batch.get("location")[:, :, ::stride, ::stride]
        clusters = self._clusters(embedding.detach(), truth >= 0, place)
        loss = vmf_n_loss(embedding, clusters, truth, bank=self.bank, **options)
        if self.training:
            now = segment_prototypes(embedding.detach(), clusters, truth)
            self.bank.push(*gather_rows(now.prototypes, now.classes)[0])  # equal in all processes
        return {"segments": loss}

    def _clusters(self, embedding: Tensor, known: Tensor, place: Tensor) -> Tensor:
        """Segments ``(B, h, w)``, 1..K in each image, 0 on void."""
        kmeans = self._kmeans(self.config.loss.grid)
        images = zip(embedding, known, place, strict=True)
        found = [kmeans.group(one, mask, location=at).labels for one, mask, at in images]
        return torch.stack(found)

    def _kmeans(self, grid: int) -> SphericalKMeans:
        c = self.config.loss
        return SphericalKMeans(grid, c.iterations, c.location_weight)

    def finish(
        self, dataset: Dataset, on_image: Callable[[int, int], None] = lambda done, total: None
    ) -> None:
        """Rebuild the index from the segments of these images; empty if they have no classes."""
        known = self.needs_truth or (dataset.class_names and not dataset.unlabelled_reason)
        found = list(self._segments_of(dataset, on_image)) if known else []
        self.index.clear()
        self.index.add(found)

    def indexed_images(self) -> list[IndexedImage]:
        """The images of the index, in the order they were added."""
        return self.index.rows()

    def index_images(
        self, dataset: Dataset, on_image: Callable[[int, int], None] = lambda done, total: None
    ) -> int:
        """Add images to the index, or replace those of the same name; returns their number.

        Classes are matched by name; new classes get the next ids.
        """
        numbers = self._class_numbers(dataset.class_names[1:])
        found = [
            one._replace(classes=numbers.to(one.classes.device)[one.classes])
            for one in self._segments_of(dataset, on_image)
        ]
        self.index.add(found)
        return len(found)

    def _class_numbers(self, names: tuple[str, ...]) -> Tensor:
        """Class ids of the model, by class id of a dataset, ``(C + 1,)``."""
        if not names:  # background and foreground only
            return torch.arange(2)
        unnamed = not len(self.index) and self.config.class_names == ("object",)
        own = [] if unnamed else list(self.config.class_names)
        own += [name for name in names if name not in own]
        self.config = self.config.updated({"class_names": tuple(own)})
        return torch.tensor([0, *(own.index(name) + 1 for name in names)])

    def forget_image(self, name: str) -> int:
        """Remove an image from the index; returns the number of segments removed."""
        return self.index.drop(name)

    def _segments_of(
        self, dataset: Dataset, on_image: Callable[[int, int], None]
    ) -> Iterator[ImageSegments]:
        for done, sample in enumerate(dataset):
            on_image(done, len(dataset))
            yield self._image_segments(sample)
        on_image(len(dataset), len(dataset))

    def _image_segments(self, sample: Sample) -> ImageSegments:
        """Segments of a training image, split by class, without void."""
        maps = self.predict_maps(sample.image)
        embedding = maps.maps["embedding"]
        at = [
            rows_of(*axis, maps.stride)
            for axis in zip(maps.size, maps.extra["shown"], embedding.shape[1:], strict=True)
        ]
        truth = torch.from_numpy(class_map(sample))[at[0]][:, at[1]].to(embedding.device)
        clusters = self._kmeans(self.config.loss.grid).group(embedding, truth >= 0).labels
        cut, classes = cut_by_class(clusters, truth)
        found = segment_prototypes(embedding[None], cut[None])
        boxes, picture = boxes_of(cut, len(classes)), encode_thumbnail(sample.image)
        return ImageSegments(sample.name, found.prototypes, classes, boxes, picture)

    def compute_maps(
        self, image: NDArray[Any], statistics: ImageStatistics | None = None
    ) -> MapPrediction:
        """The embedding of one image of any size.

        Raises:
            CongealError: the array is not an image.
        """
        c = self.config.input
        pixels = network_input(image, c, None if statistics is None else statistics.bounds)
        shown = rescale_image(pixels, c.scale)
        device = next(self.parameters()).device
        embedding = self(shown[None].to(device, memory_format=torch.channels_last))[0]
        height, width = pixels.shape[1:]
        extra: dict[str, Any] = {"shown": (shown.shape[1], shown.shape[2])}
        if self.config.decoding.hierarchy:
            extra["gradient"] = image_gradient(image)
        stride = int(self.config.network.stride)
        return MapPrediction({"embedding": embedding}, (height, width), stride, extra=extra)

    def effective(self, path: str) -> int:
        """``loss.grid``, used if ``decoding.cells`` is None."""
        if path != "decoding.cells":
            raise CongealError(f"{self.name} has no value for {path} that is left open")
        return self.config.loss.grid

    @torch.inference_mode()
    def decode(self, maps: MapPrediction, *, keep_embedding: bool = False) -> Segmentation:
        """Divide the image into segments; the nearest prototypes vote on their classes.

        Probabilities are shares of votes. With an empty index all pixels are background. With
        ``decoding.hierarchy`` the result has contours.

        Raises:
            CongealError: ``decoding.hierarchy`` is set, but was not when the maps were predicted.
        """
        contours = contours_of(maps) if self.config.decoding.hierarchy else None
        embedding = maps.maps["embedding"]
        kept = embedding.float().cpu().numpy() if keep_embedding else None
        names = self.config.class_names
        if not len(self.index):
            blank = np.zeros((len(names) + 1, *maps.size), np.float32)
            blank[0] = 1
            return Segmentation.from_maps(None, blank, None, names, kept, contours)
        groups, labels = self._cut(maps)
        _, classes, share = self._vote(groups)
        pixels = labels - 1
        semantic, votes = classes[pixels].cpu().numpy(), share[:, pixels].cpu().numpy()
        return Segmentation.from_maps(semantic, votes, None, names, kept, contours)

    def _cut(self, maps: MapPrediction) -> tuple[Groups, Tensor]:
        """Segments of an image, and segment map ``(H, W)`` at full resolution, 1..K."""
        embedding = maps.maps["embedding"].float()
        c = self.config
        groups = self._kmeans(c.decoding.cells or c.loss.grid).group(embedding)
        labels = refine(
            groups.labels,
            embedding,
            maps.size,
            shown=maps.extra["shown"],
            stride=maps.stride,
            location_weight=c.loss.location_weight,
        )
        return groups, labels

    def _vote(self, groups: Groups) -> tuple[Neighbours, Tensor, Tensor]:
        """Nearest prototypes, classes ``(K,)``, and share of votes of each class ``(C, K)``."""
        index = self.index
        bank = Retrieval(index.prototypes, index.classes, self.config.decoding.k)
        near = bank.neighbours(groups.prototypes)
        classes, _ = bank.vote(near)
        count = max(len(self.config.class_names), int(index.classes.max())) + 1
        votes = functional.one_hot(index.classes[near.index], count).float()  # (K, k, C)
        return near, classes, votes.mean(1).T

    @torch.inference_mode()
    def segments(self, maps: MapPrediction) -> NDArray[np.int64]:
        """Segment map ``(H, W)``, with labels 1..K as in :meth:`explain`."""
        return self._cut(maps)[1].cpu().numpy()

    @torch.inference_mode()
    def explain(self, maps: MapPrediction) -> list[Explanation]:
        """List for each segment of an image the training segments that voted on its class.

        Segments without a pixel at full resolution are omitted.

        Args:
            maps: result of :meth:`predict_maps`.

        Raises:
            CongealError: the index is empty.
        """
        if not len(self.index):
            raise CongealError("expected an index of training images to explain by, it is empty")
        groups, labels = self._cut(maps)
        near, classes, share = self._vote(groups)
        boxes = boxes_of(labels, len(groups)).tolist()
        won = share.gather(0, classes[None])[0].tolist()
        found = zip(near.index.cpu(), near.similarity.cpu(), strict=True)
        matches = [self._matches(places, similarity) for places, similarity in found]
        areas = torch.bincount(labels.flatten(), minlength=len(groups) + 1)[1:]
        return [
            Explanation(k + 1, int(classes[k]), won[k], tuple(boxes[k]), matches[k])
            for k in areas.nonzero()[:, 0].tolist()
        ]

    def training_picture(self, name: str) -> NDArray[np.uint8] | None:
        """Thumbnail ``(h, w, 3)`` of an image of the index; None if there is none."""
        return self.index.picture(name)

    def training_vectors(self) -> tuple[Tensor, Tensor]:
        """Prototypes ``(M, D)`` of all training segments, and their classes ``(M,)``."""
        return self.index.prototypes, self.index.classes

    def _matches(self, places: Tensor, similarity: Tensor) -> tuple[Match, ...]:
        index, names = self.index, self.index.names
        return tuple(
            Match(
                names[int(index.images[place])],
                int(index.classes[place]),
                float(likeness),
                tuple(index.boxes[place].tolist()),
            )
            for place, likeness in zip(places.tolist(), similarity.tolist(), strict=True)
        )
