"""The result of an evaluation, which saves itself as JSON and as a report page."""

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
        split: name of the split.
        model: name or path of the model, or the name of its class.
        protocol: name of the protocol, such as ``"matching"``.
        thresholds: IoU thresholds of protocol ``"matching"``; empty for other protocols.
        metrics: scores by name, such as ``"matching_ap@0.5"``, over the whole dataset, and
            ``images``, ``objects``, ``predicted`` and ``seconds_per_image``. Undefined scores are
            NaN, and null in ``evaluation.json``.
        per_image: name, scores, counts and seconds of each image, in the order of the dataset.
        examples: the worst images, worst first; not in ``evaluation.json``.
        headline: name of the main score.
        notes: remarks on the validity of the scores, one line each.
        class_names: class names by class id, if the protocol scores classes.
        curves: points (recall, precision) by name, of the model at each threshold and of the
            annotators, if the protocol has a precision-recall curve.
        best: the best images that are not among the worst, best first; not in ``evaluation.json``.

    Example:
        >>> found = Evaluation("a", "test", "m", "matching", (), {"images": 0}, [])
        >>> found.title
        'm on a (test)'
    """

    def save(self, folder: str | Path, *, report: bool = True) -> Path:
        """Write ``evaluation.json`` and, with ``report``, ``report.html``.

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
        with ExitStack() as both:  # both files are written, or none
            scores = both.enter_context(atomic_path(folder / "evaluation.json"))
            write_json(scores, self.to_dict())
            if report:
                from congeal.evaluation.page import make_page  # imported late: matplotlib is slow

                page = both.enter_context(atomic_path(folder / "report.html"))
                make_page(self).save(page)
        return folder
