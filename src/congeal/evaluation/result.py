"""What an evaluation found: scores, the file of them, and the page."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from congeal.evaluation.scores import COLUMNS, Scores
from congeal.files import atomic_path, write_json

__all__ = ["COLUMNS", "Evaluation"]


@dataclass(frozen=True)
class Evaluation(Scores):
    """The scores of a model on a dataset.

    Attributes:
        data: name of the dataset.
        split: which part of it.
        model: name or path of the model, or the name of its class.
        protocol: how it was measured, such as ``"matching"``.
        thresholds: IoU from which a predicted object counts as matched; empty for protocols other
            than matching.
        metrics: scores by name, such as ``"matching_ap@0.5"``, over all objects together, and
            ``images``, ``objects``, ``predicted`` and ``seconds_per_image``; the protocol says
            which. NaN where nothing can be said, null in ``evaluation.json``.
        per_image: name, scores, counts and seconds of each image, in the order of the data.
        examples: the worst images, worst first; not part of ``evaluation.json``.
        headline: name of the score to look at first.
        notes: what a reader of the scores should know, a line each.
        class_names: names of the classes by class id, where the protocol scores them one by one.
        curves: recall and precision by name, of the model at each threshold and of the annotators,
            where the protocol has such a curve.
        best: the best images that are not among the worst, best first; not in the file either.

    Example:
        >>> found = Evaluation("a", "test", "m", "matching", (), {"images": 0}, [])
        >>> found.title
        'm on a (test)'
    """

    def save(self, folder: str | Path, *, report: bool = True) -> Path:
        """Write ``evaluation.json`` and, unless told otherwise, ``report.html``.

        Returns:
            The folder.

        Raises:
            CongealError: the folder cannot be written.

        Example:
            >>> import tempfile
            >>> found = Evaluation("a", "test", "m", "matching", (), {"images": 0}, [])
            >>> folder = found.save(tempfile.mkdtemp(), report=False)
            >>> (folder / "evaluation.json").exists()
            True
        """
        folder = Path(folder)
        with ExitStack() as both:  # the scores and their page, or neither
            scores = both.enter_context(atomic_path(folder / "evaluation.json"))
            write_json(scores, self.to_dict())
            if report:
                from congeal.evaluation.page import make_page  # late: matplotlib takes its time

                page = both.enter_context(atomic_path(folder / "report.html"))
                make_page(self).save(page)
        return folder
