"""The pictures of the demo and the page that shows them."""

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

# Drawn images are about a hundred pixels wide: each pixel is shown as a square of so many, so that
# outlines are thin.
_ENLARGED = 4


@dataclass(frozen=True, eq=False)
class Shown:
    """A drawn image with what was found in it; the result keeps its embedding.

    Args:
        sample: the image with its true labels.
        result: the objects found.
    """

    sample: Sample
    result: Segmentation

    def pictures(self) -> list[tuple[str, RGB]]:
        """Draw image, embedding, objects and truth, each with its title."""
        image = _larger(to_display(self.sample.image))
        found, truth = self.result.labels, self.sample.labels
        true = _larger(number_alike(truth, found, matching(prediction=found, truth=truth)))
        drawn = [("image", image)]
        if self.result.embedding is not None:
            colours = embedding_rgb(self.result.embedding, self.result.labels > 0)
            drawn.append(("embedding as colour", _to_size(colours, image)))
        return [
            *drawn,
            ("objects found", overlay(image, _larger(found))),
            ("true", overlay(image, true)),
        ]


def save_pictures(
    folder: Path, sticks: Sequence[Shown], photographs: Sequence[SegmentedPhotograph]
) -> dict[str, Path]:
    """Write every picture of the page as a PNG and give the paths by name.

    Raises:
        CongealError: the folder cannot be written.
    """
    pictures = {
        f"sticks-{number}-{title.replace(' ', '-')}": picture
        for number, shown in enumerate(sticks, 1)
        for title, picture in shown.pictures()
    }
    for seen in photographs:
        pictures[f"{seen.photograph.name}-image"] = to_display(seen.image)
        pictures[f"{seen.photograph.name}-objects"] = seen.result.draw(seen.image)
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
    """Write the page of the demo, with all pictures inside it.

    Args:
        path: the HTML file.
        facts: what was done, for the table at the top.
        evaluation: scores on sticks that the training did not see.
        curves: title and file of each plot.
        sticks: some of those sticks.
        photographs: what the shipped model found; none when no model ships.

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
    page.add_text("Put images and masks (a number for every object) into a folder, then:")
    page.add_code(next_command())
    return page.save(path)


def next_command() -> str:
    """Say which commands to run on one's own folder."""
    return (
        "congeal train my_folder --output my_model    # my_folder/images and my_folder/masks\n"
        "congeal segment my_model my_images"
    )


def _add_sticks(
    page: Report, facts: dict[str, Any], evaluation: Evaluation, sticks: Sequence[Shown]
) -> None:
    page.add_heading("Sticks")
    page.add_text(
        "Sticks of one material are drawn over each other, so neither colour nor a border tells "
        "them apart where they cross. The model was trained on such drawings just now, and is "
        "scored on others. Pixels of one colour in the embedding point the same way. Below are "
        "some of those others, evenly from the worst to the best."
    )
    page.add_scores(_headline(evaluation))
    page.add_table([facts], "what was done")
    for shown, row in zip(sticks, _rows(evaluation, sticks), strict=True):
        found = {"true": row["true"], "found": row["tp@0.5"], "AP at .5": row["matching_ap@0.5"]}
        page.add_case(shown.sample.name, shown.pictures(), found)


def _headline(evaluation: Evaluation) -> dict[str, Any]:
    names = {
        "AP at IoU .5": "matching_ap@0.5",
        "AP at IoU .7": "matching_ap@0.7",
        "recall at .5": "recall@0.5",
        "precision at .5": "precision@0.5",
        "panoptic quality": "pq@0.5",
    }
    scores = {title: evaluation.metrics[name] for title, name in names.items()}
    return {**scores, "seconds an image": f"{evaluation.metrics['seconds_per_image']:.2f}"}


def _rows(evaluation: Evaluation, sticks: Sequence[Shown]) -> list[dict[str, Any]]:
    rows = {row["name"]: row for row in evaluation.per_image}
    return [rows[shown.sample.name] for shown in sticks]


def _add_photographs(page: Report, photographs: Sequence[SegmentedPhotograph]) -> None:
    page.add_heading("Photographs")
    if not photographs:
        page.add_text("No model ships with this copy of congeal, so none was tried on photographs.")
        return
    page.add_text("What the model that ships (nuclei) finds, without having seen any of these.")
    for seen in photographs:
        drawn = seen.result.draw(seen.image)
        pictures = [("image", to_display(seen.image)), ("objects found", drawn)]
        page.add_case(f"{seen.photograph.what}: {seen.verdict}", pictures)


def _larger(array: NDArray[Any]) -> NDArray[Any]:
    return array.repeat(_ENLARGED, 0).repeat(_ENLARGED, 1)


def _to_size(picture: RGB, like: RGB) -> RGB:
    height, width = like.shape[:2]
    resized = Image.fromarray(picture).resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(resized)


def _write(path: Path, picture: RGB) -> Path:
    with atomic_path(path) as temporary:
        Image.fromarray(picture).save(temporary)
    return path
