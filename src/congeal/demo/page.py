"""The pictures and the HTML page of the demo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from congeal.data.sample import Sample
from congeal.demo.photographs import SegmentedPhotograph
from congeal.evaluation.examples import number_alike
from congeal.evaluation.result import Evaluation
from congeal.figures.colour import overlay
from congeal.figures.display import embedding_rgb, to_display
from congeal.figures.report import Report
from congeal.files import atomic_path
from congeal.metrics.matching import matching
from congeal.segmentation.result import Segmentation

__all__ = ["Shown", "next_command", "save_pictures", "write_page"]

RGB = NDArray[np.uint8]

_ENLARGEMENT = 4  # of drawings, which are about 100 pixels wide, so that outlines look thin


@dataclass(frozen=True, eq=False)
class Shown:
    """A drawn image with its prediction.

    Args:
        sample: image and ground truth.
        result: prediction, with its embedding.
    """

    sample: Sample
    result: Segmentation

    def pictures(self) -> list[tuple[str, RGB]]:
        """Titles and pictures ``(H, W, 3)``: image, embedding, prediction, ground truth."""
        image = _enlarge(to_display(self.sample.image))
        predicted, truth = self.result.labels, self.sample.labels
        matched = matching(prediction=predicted, truth=truth)
        pictures = [("image", image)]
        if self.result.embedding is not None:
            colours = embedding_rgb(self.result.embedding, self.result.labels > 0)
            pictures.append(("embedding as colour", _resize(colours, image)))
        return [
            *pictures,
            ("objects found", overlay(image, _enlarge(predicted))),
            ("true", overlay(image, _enlarge(number_alike(truth, predicted, matched)))),
        ]


def save_pictures(
    folder: Path, sticks: Sequence[Shown], photographs: Sequence[SegmentedPhotograph]
) -> dict[str, Path]:
    """Write every picture of the page as a PNG file.

    Args:
        folder: output folder.
        sticks: drawings on the page.
        photographs: photographs on the page.

    Returns:
        Paths by name of the picture.

    Raises:
        CongealError: the folder cannot be written.
    """
    pictures = {
        f"sticks-{number}-{title.replace(' ', '-')}": picture
        for number, shown in enumerate(sticks, 1)
        for title, picture in shown.pictures()
    }
    for segmented in photographs:
        name = segmented.photograph.name
        pictures[f"{name}-image"] = to_display(segmented.image)
        pictures[f"{name}-objects"] = segmented.result.draw(segmented.image)
    return {name: _write(folder / f"{name}.png", picture) for name, picture in pictures.items()}


def write_page(
    path: Path,
    *,
    facts: dict[str, Any],
    evaluation: Evaluation,
    curves: Sequence[tuple[str, Path]],
    sticks: Sequence[Shown],
    photographs: Sequence[SegmentedPhotograph],
) -> Path:
    """Write the page of the demo as one HTML file with all pictures embedded.

    Args:
        path: HTML file.
        facts: names and values of the table at the top.
        evaluation: scores on the test drawings.
        curves: title and file of each plot.
        sticks: test drawings to show.
        photographs: photographs with the predictions of the shipped model; may be empty.

    Returns:
        The path of the page.

    Raises:
        CongealError: the page cannot be written.
    """
    page = Report("congeal demo", "sticks learned in minutes, and photographs")
    page.add_text(
        "congeal groups pixels into objects: a network gives every pixel a vector, mean shift "
        "lets the vectors congeal into a few directions, and each direction is an object."
    )
    _add_sticks(page, facts, evaluation, sticks)
    page.add_heading("Curves")
    for title, file in curves:
        page.add_image(file, title)
    _add_photographs(page, photographs)
    page.add_heading("Your own images")
    page.add_text("Put images and masks (label maps: a number per object) into a folder, then:")
    page.add_code(next_command())
    return page.save(path)


def next_command() -> str:
    """Commands to run on a folder of your own."""
    return (
        "congeal train my_folder --output my_model    # my_folder/images and my_folder/masks\n"
        "congeal segment my_model my_images"
    )


def _add_sticks(
    page: Report, facts: dict[str, Any], evaluation: Evaluation, sticks: Sequence[Shown]
) -> None:
    page.add_heading("Sticks")
    page.add_text(
        "Sticks of the same texture cross each other, so neither colour nor outlines separate "
        "them at the crossings. The model was trained on such drawings and is evaluated on "
        "others, of which some are shown, evenly from the worst to the best score. Pixels with "
        "similar embeddings have similar colours."
    )
    page.add_scores(_headline(evaluation))
    page.add_table([facts], "what was done")
    for shown, row in zip(sticks, _rows(evaluation, sticks), strict=True):
        scores = {"true": row["true"], "found": row["tp@0.5"], "AP at .5": row["matching_ap@0.5"]}
        page.add_case(shown.sample.name, shown.pictures(), scores)


def _headline(evaluation: Evaluation) -> dict[str, Any]:
    names = {
        "AP at IoU .5": "matching_ap@0.5",
        "AP at IoU .7": "matching_ap@0.7",
        "recall at .5": "recall@0.5",
        "precision at .5": "precision@0.5",
        "panoptic quality": "pq@0.5",
    }
    scores = {title: evaluation.metrics[name] for title, name in names.items()}
    return {**scores, "seconds per image": f"{evaluation.metrics['seconds_per_image']:.2f}"}


def _rows(evaluation: Evaluation, sticks: Sequence[Shown]) -> list[dict[str, Any]]:
    rows = {row["name"]: row for row in evaluation.per_image}
    return [rows[shown.sample.name] for shown in sticks]


def _add_photographs(page: Report, photographs: Sequence[SegmentedPhotograph]) -> None:
    page.add_heading("Photographs")
    if not photographs:
        page.add_text("Left out: this copy of congeal has no shipped model.")
        return
    page.add_text("Predictions of the shipped model (nuclei), which was not trained on these.")
    for segmented in photographs:
        drawn = segmented.result.draw(segmented.image)
        pictures = [("image", to_display(segmented.image)), ("objects found", drawn)]
        page.add_case(f"{segmented.photograph.what}: {segmented.verdict}", pictures)


def _enlarge(array: NDArray[Any]) -> NDArray[Any]:
    return array.repeat(_ENLARGEMENT, 0).repeat(_ENLARGEMENT, 1)


def _resize(picture: RGB, like: RGB) -> RGB:
    height, width = like.shape[:2]
    resized = Image.fromarray(picture).resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(resized)


def _write(path: Path, picture: RGB) -> Path:
    with atomic_path(path) as temporary:
        Image.fromarray(picture).save(temporary)
    return path
