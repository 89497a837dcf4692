"""Why images were answered as they were: sheets of similar training segments, and a page.

Flow: image -> maps -> segments and their matches -> sheet (PNG) -> page (HTML).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from congeal.data.images import expand_images, read_image
from congeal.data.pixel_size import read_pixel_size
from congeal.data.resized import ResizedImage
from congeal.errors import CongealError
from congeal.figures.explanation import (
    Candidate,
    ExplainedSegment,
    draw_prototypes,
    explanation_sheet,
)
from congeal.figures.report import Report
from congeal.files import atomic_path
from congeal.methods.explanation import Explaining, Explanation, Match
from congeal.models.pixel_size import resize_factor
from congeal.prediction.single import Model, as_segmenter
from congeal.segmentation.resize import resize_labels

__all__ = ["FOLDER", "explain_files", "explain_image"]

FOLDER = "explanations"
"""Folder of the explanations, in that of the results."""

SEGMENTS = 8  # segments of an image that a sheet shows
MATCHES = 6  # nearest training segments that it shows of each
Pixels = NDArray[Any]


def explain_files(
    model: Model,
    inputs: Sequence[str | Path],
    output: str | Path,
    *,
    device: str = "auto",
    settings: dict[str, Any] | None = None,
    channels: Sequence[int] | None = None,
    pixel_size: float | None = None,
    on_file: Callable[[Path], None] = lambda path: None,
) -> Path:
    """Write for each image which training segments its segments are like.

    In the folder ``explanations`` of the output, which is written anew: ``NAME_explanation.png``,
    the map of segments ``NAME_segments.png`` (16 bit), ``prototypes.png``, a map of all training
    segments by class, and ``index.html`` with all of it and a table for each image.

    Args:
        model: a model that explains, by folder or name.
        inputs: images, folders of images, patterns.
        output: folder of the results.
        device: where a model given by path or name runs.
        settings: of the decoding, in place of those stored.
        channels: which channels of the images to take.
        pixel_size: micrometres per pixel; None: what the file of an image tells. Where the model
            stores the size of its training, images are resized to it for the network.
        on_file: called with each image once it is done.

    Returns:
        The page.

    Raises:
        CongealError: the model does not explain, or an image cannot be read.
    """
    explaining = _explaining(as_segmenter(model, device, settings), model)
    folder = Path(output) / FOLDER
    report = Report("Explanations", "What each segment is like in the training images")
    names = _class_names(explaining)
    for path in expand_images(inputs):
        image = read_image(path, channels)
        size = read_pixel_size(path) if pixel_size is None else pixel_size
        factor = resize_factor(explaining, size)
        sheet, segments, found = explain_image(explaining, image, path.name, factor)
        _save_segments(segments, folder / f"{path.stem}_segments.png")
        picture = _save(sheet, folder / f"{path.stem}_explanation.png")
        report.add_heading(path.name).add_image(picture, _caption(found))
        report.add_table(
            [_row(one, names) for one in found],
            "All segments: the largest of each class, then the others",
        )
        on_file(path)
    vectors, classes = explaining.training_vectors()
    figure = draw_prototypes(vectors.cpu().numpy(), classes.cpu().numpy(), names)
    report.add_heading("Training segments")
    report.add_image(_save(figure, folder / "prototypes.png"), "Coloured by class")
    return report.save(folder / "index.html")


def explain_image(
    model: Explaining, image: Pixels, title: str = "", factor: float = 1.0
) -> tuple[Figure, NDArray[np.int64], list[Explanation]]:
    """Explain one image.

    Args:
        model: that explains.
        image: ``(H, W[, C])``.
        title: of the sheet.
        factor: by how much the image is resized for the network, as of
            :func:`congeal.models.pixel_size.resize_factor`.

    Returns:
        The sheet, the map of segments ``(H, W)``, and what is known of each: first the largest of
        each class, then the others; within both the largest first, background last.

    Raises:
        CongealError: there is nothing to explain by.
    """
    shown = image if factor == 1 else ResizedImage(np.atleast_3d(image), factor).pixels()
    maps = model.predict_maps(shown)  # type: ignore[attr-defined]
    found, segments = model.explain(maps), model.segments(maps)
    if factor != 1:
        size = (int(image.shape[0]), int(image.shape[1]))
        segments = resize_labels(segments, size).astype(np.int64)
    areas = np.bincount(segments.ravel(), minlength=1 + max(one.segment for one in found))
    found = _each_class_first([one for one in found if areas[one.segment]], areas)
    rows = [_explained(model, one) for one in found[:SEGMENTS]]
    return explanation_sheet(image, segments, rows, title), segments, found


def _each_class_first(found: list[Explanation], areas: NDArray[np.int64]) -> list[Explanation]:
    """The largest of each class, then the others; within both the largest first."""
    ordered = sorted(found, key=lambda one: (one.class_id == 0, -areas[one.segment]))
    first = {one.class_id: one.segment for one in reversed(ordered)}
    return sorted(ordered, key=lambda one: first[one.class_id] != one.segment)


def _explaining(model: Any, where: Model) -> Explaining:
    if not isinstance(model, Explaining):
        raise CongealError(
            f"expected a model that answers by training segments for an explanation, {where} "
            "does not"
        )
    return model


def _class_names(model: Any) -> list[str]:
    return ["background", *model.config.class_names]


def _explained(model: Explaining, one: Explanation) -> ExplainedSegment:
    names = _class_names(model)
    candidates = [_candidate(model, match, names) for match in one.matches[:MATCHES]]
    caption = f"{one.segment}: {names[one.class_id]}, {one.share:.0%} of votes"
    return ExplainedSegment(one.segment, caption, one.class_id, candidates)


def _candidate(model: Explaining, match: Match, names: Sequence[str]) -> Candidate:
    name = Path(match.image).name
    short = name if len(name) <= 16 else f"…{name[-15:]}"
    caption = f"{names[match.class_id]} {match.similarity:.3f}\n{short}"
    return Candidate(model.training_picture(match.image), match.box, caption, match.class_id)


def _caption(found: Sequence[Explanation]) -> str:
    shown = min(len(found), SEGMENTS)
    return f"{shown} of {len(found)} segments, each with the training segments that are nearest"


def _row(one: Explanation, names: Sequence[str]) -> dict[str, Any]:
    first = one.matches[0]
    return {
        "segment": one.segment,
        "class": names[one.class_id],
        "share of votes": round(one.share, 3),
        "nearest": first.image,
        "its class": names[first.class_id],
        "similarity": round(first.similarity, 3),
    }


def _save(figure: Figure, path: Path) -> Path:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
    return path


def _save_segments(segments: NDArray[np.int64], path: Path) -> None:
    with atomic_path(path) as temporary:
        Image.fromarray(segments.astype(np.uint16)).save(temporary, format="PNG")
