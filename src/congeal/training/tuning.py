"""Tuning of the decoding settings on labelled images; the weights of the network stay fixed.

Flow: the network predicts the maps of each image once -> hill climbing over the method's
``search_space``, each candidate decoded from these maps and scored by the judge of the task ->
the best settings are stored in the model folder.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from congeal.clock import now
from congeal.data.check import quick_problems
from congeal.data.sample import Dataset, Sample
from congeal.errors import CongealError
from congeal.evaluation.comparison import Comparison
from congeal.methods.method import MapPrediction, Method
from congeal.models import shipped
from congeal.models.card import HEADING, model_card
from congeal.models.channels import open_for
from congeal.models.config import CONFIG, ModelConfig, read_config
from congeal.models.folder import load, save_model
from congeal.training.validation import MIN_IMAGES, evenly_spread, headline, judge_of

__all__ = ["Tuning", "store_tuned", "tune", "tune_decoding"]

UNCHANGED = "Tuning found nothing better than the settings above:"
CHANGED = "These settings replace those above:"
MIN_GAIN = 1e-3  # headline score; smaller gains are noise
POOR_SCORE = 0.5  # headline score below which the first round takes COARSE_STEPS at once
COARSE_STEPS = 3  # a better setting may lie several steps away, each without any gain
MAX_PIXELS = 2**24  # of all images; their maps stay in memory, about half a gigabyte
PREDICTION_SHARE = 0.5  # of the time; decoding them once takes about as long as predicting them

OnImage = Callable[[int, int], None]
OnTry = Callable[[int, int, float, str], None]


@dataclass(frozen=True)
class Tuning:
    """Result of tuning.

    Attributes:
        settings: changed settings by path; empty if none was better.
        before: scores with the original settings by name, such as ``matching_ap@0.5``.
        after: scores with the new settings on the same images, so biased upwards.
        images: number of images used.
        objects: number of objects in these images.
        tried: number of candidates compared, the original settings included.
        score: name of the score that candidates were compared by.

    Example:
        >>> Tuning({}, {"ap": 0.8}, {"ap": 0.8}, images=9, objects=99, tried=7).tried
        7
    """

    settings: dict[str, Any]
    before: dict[str, float]
    after: dict[str, float]
    images: int
    objects: int
    tried: int
    score: str = ""


def tune(
    model: str | Path,
    data: str | Path | Dataset,
    *,
    split: str = "val",
    output: str | Path | None = None,
    limit: int = 64,
    device: str = "auto",
    on_image: OnImage = lambda done, total: None,
    on_try: OnTry = lambda tried, total, best, score: None,
    on_note: Callable[[str], None] = lambda line: None,
) -> Tuning:
    """Tune the decoding settings of a model on labelled images and store them in its folder.

    The network predicts each image once. Hill climbing then changes one setting of the method's
    search space at a time and keeps a step that raises the headline score of the task by at least
    max(0.001, 2 / number of objects). Where the score is below 0.5, the first round takes three
    steps at once. ``congeal train`` tunes on the validation images when training ends.

    Args:
        model: model folder, or the name of a shipped model.
        data: a folder of ``images/`` and ``masks/``, a COCO file, a dataset name, or a Dataset.
        split: split of data given by name or path: ``"val"``, or ``"all"`` for a folder none of
            whose images were used for training.
        output: folder for the tuned model; None: change ``model`` itself.
        limit: maximum number of images, evenly spread over the split.
        device: ``"cpu"``, ``"cuda"``, ``"mps"`` or ``"auto"``.
        on_image: called with the number of images predicted so far and their total.
        on_try: called with the number of candidates compared, an estimate of the total, the best
            score so far, and its name, such as ``"mean AP at .5 and .7"``.
        on_note: called with each problem found in the data, before anything is predicted.

    Raises:
        CongealError: model or data cannot be opened, the images have no objects, the model is a
            shipped one and ``output`` is None, or the output folder is in use or not writable.

    Example:
        >>> import tempfile
        >>> from congeal.data import open_dataset
        >>> folder = tempfile.mkdtemp()
        >>> found = tune("nuclei", open_dataset("discs", count=2, size=64), output=folder)
        >>> found.images, (Path(folder) / "model.safetensors").exists()
        (2, True)
    """
    folder = shipped.locate(model)
    target = folder if output is None else Path(output)
    _check_target(folder, target)
    config = read_config(folder)
    tuned = load(folder, device=device)
    dataset = data if isinstance(data, Dataset) else open_for(folder, data, split)
    for line in quick_problems(dataset):
        on_note(line)
    tuning = tune_decoding(tuned, dataset, limit=limit, on_image=on_image, on_try=on_try)
    if not tuning.objects and tuned.task.fills == "objects":
        raise CongealError(f"expected objects in the images of {dataset.name}, found none")
    if tuning.settings or target != folder:
        card = shipped.describe(folder).card
        store_tuned(tuned, config, tuning, f"{dataset.name}, {dataset.split}", target, card)
    return tuning


def tune_decoding(
    model: Method,
    dataset: Dataset,
    *,
    limit: int = 64,
    stop: Callable[[], bool] = lambda: False,
    seconds: float = math.inf,
    on_image: OnImage = lambda done, total: None,
    on_try: OnTry = lambda tried, total, best, score: None,
) -> Tuning:
    """Tune the decoding settings of a model in memory.

    Args:
        model: changed in place to the best settings found.
        dataset: labelled images.
        limit: maximum number of images, evenly spread; fewer where they are very large.
        stop: called before each image and each candidate; True ends the search.
        seconds: time limit by :func:`congeal.clock.now`. Half of it is for predicting images, of
            which at least four are predicted; after the limit no new candidate is scored.
        on_image: as for :func:`tune`.
        on_try: as for :func:`tune`.

    Raises:
        CongealError: the dataset is empty, or ``limit`` is below 1.

    Example:
        >>> from congeal.data import open_dataset
        >>> from congeal.methods import find_method
        >>> model = find_method("rpe")(dimensions=4, coordinates="none")
        >>> tune_decoding(model, open_dataset("discs", count=2, size=64)).images
        2
    """
    if limit < 1:
        raise CongealError(f"limit: expected at least 1 image, got {limit}")
    if not len(dataset):
        raise CongealError(
            f"expected images in {dataset.name}, split {dataset.split}, found none; the split "
            '"all" has every image of a folder'
        )
    start = now()
    deadline = start + seconds
    prediction_deadline = start + PREDICTION_SHARE * seconds
    predicted = _predict(model, dataset, limit, stop, prediction_deadline, on_image)
    objects = sum(len(np.unique(s.labels[s.labels > 0])) for _, s in predicted)
    min_gain = max(MIN_GAIN, 2 / max(objects, 1))
    search = _Search(
        model, dataset, predicted, min_gain, lambda: stop() or now() > deadline, on_try
    )
    if objects or model.task.fills != "objects":
        search.climb()
    model.config = search.original
    model.configure(**search.settings)
    before = search.scores[()]
    after = search.scores[tuple(search.settings.items())]
    counts = (len(predicted), objects, len(search.scores))
    return Tuning(search.settings, before, after, *counts, score=model.task.score)


def store_tuned(
    model: Method,
    config: ModelConfig,
    tuning: Tuning,
    data: str,
    folder: Path,
    card: str | None = None,
    *,
    validated: bool = False,
) -> None:
    """Write a tuned model folder, with the facts and scores of the tuning added.

    Args:
        model: the model with its tuned settings.
        config: content of ``config.json`` before tuning.
        tuning: result of :func:`tune_decoding`.
        data: name and split of the images it was tuned on.
        folder: model folder to write.
        card: existing card to keep; its section on tuning is replaced. None: write a new card.
        validated: True if the images are those of the last validation. Otherwise the scores before
            tuning are stored as ``untuned``, beside those of validation.

    Raises:
        CongealError: the folder cannot be written.
    """
    used = {"data": data, "images": tuning.images, "objects": tuning.objects}
    facts = {**used, "compared by": model.task.score, **tuning.settings}
    training = {**config.training, "tuned": facts}
    earlier = {n: v for n, v in config.metrics.items() if n.partition(" ")[0] != "untuned"}
    scores = {
        **_scores("validation" if validated else "untuned", tuning.before),
        **_scores("tuned", tuning.after),
    }
    metrics = {**earlier, **scores}
    half = bool(config.training.get("half"))
    about = {"what": config.what, "licence": config.licence}
    if card is None:
        card = model_card(model, training, metrics, **about)
    else:
        line = CHANGED if tuning.settings else UNCHANGED
        card = _with_section(card, line, {**facts, **scores})
    save_model(model, folder, card=card, training=training, metrics=metrics, half=half, **about)


def _scores(stage: str, scores: Mapping[str, float]) -> dict[str, float]:
    """Scores that are not NaN, by the names of the card."""
    return {f"{stage} {name}": round(v, 4) for name, v in scores.items() if not math.isnan(v)}


def _with_section(card: str, line: str, facts: Mapping[str, object]) -> str:
    """The card with its section on tuning replaced, or added at the end."""
    kept = card.partition(f"\n{HEADING}\n")[0].rstrip()
    lines = [kept, "", HEADING, "", line, ""]
    return "\n".join([*lines, *(f"- {name}: {value}" for name, value in facts.items()), ""])


class _Search:
    """Hill climbing over decoding settings, one setting at a time, from stored predictions."""

    def __init__(
        self,
        model: Method,
        dataset: Dataset,
        predicted: list[tuple[MapPrediction, Sample]],
        min_gain: float,
        stop: Callable[[], bool],
        on_try: OnTry,
    ) -> None:
        self.model = model
        self.dataset = dataset
        self.original = model.config
        self.predicted = predicted
        self.min_gain = min_gain
        self.stop = stop
        self.on_try = on_try
        self.settings: dict[str, Any] = {}  # best so far, as changes to the original
        self.scores: dict[tuple[tuple[str, Any], ...], dict[str, float]] = {}  # by candidate
        self.remaining = 2 * len(model.search_space)  # estimate of candidates left in the round
        self.best = self.score({})
        self._report()

    def climb(self) -> None:
        """Repeat rounds until none improves the score, or ``stop`` returns True."""
        if self.best < POOR_SCORE:
            self._round(COARSE_STEPS)
        while self._round(1):
            pass

    def _round(self, steps: int) -> bool:
        """Climb along each setting in both directions; return whether any changed."""
        moved, space = False, list(self.model.search_space)
        for index, path in enumerate(space):
            self.remaining = 2 * (len(space) - index) - 1  # two directions, the first under way
            moved |= any(self._climb(path, direction, steps) for direction in (-1, 1))
        return moved

    def _report(self) -> None:
        tried = len(self.scores)
        self.on_try(tried, tried + self.remaining, max(self.best, 0.0), self.model.task.score)

    def score(self, settings: Mapping[str, Any]) -> float:
        """Headline score of the original settings with these changes; -1 where undefined."""
        key = tuple(sorted(settings.items()))
        if key not in self.scores:
            self.model.config = self.original
            self.model.configure(**settings)
            judge = judge_of(self.model.task, self.dataset)
            for maps, sample in self.predicted:
                judge.look(Comparison(sample, self.model.decode(maps), self.dataset))
            scores = judge.compute()
            self.scores[key] = {name: scores[name] for name in self.model.task.headline}
        score = headline(self.model.task, self.scores[key])
        return -1.0 if math.isnan(score) else score

    def _climb(self, path: str, direction: int, steps: int) -> bool:
        """Change one setting in one direction while that improves; return whether it changed."""
        moved = False
        while (value := self._next(path, direction, steps)) is not None and not self.stop():
            candidate = dict(sorted({**self.settings, path: value}.items()))
            score = self.score(candidate)
            improved = score >= self.best + self.min_gain
            if improved:
                self.settings, self.best, moved = candidate, score, True
            self._report()
            if not improved:
                break
        return moved

    def _next(self, path: str, direction: int, steps: int) -> Any:
        """Value ``steps`` steps away, or at the end of the range; None if already there."""
        step = self.model.search_space[path]
        value, found = self._current(path), None
        for _ in range(steps):
            value = step(value, direction)
            if value is None:
                break
            found = value
        return found

    def _current(self, path: str) -> Any:
        """Current value of a setting; for None the value that the method uses in its place."""
        if path in self.settings:
            return self.settings[path]
        self.model.config = self.original
        value = self.original.flat()[path]
        return self.model.effective(path) if value is None else value


def _predict(
    model: Method,
    dataset: Dataset,
    limit: int,
    stop: Callable[[], bool],
    deadline: float,
    on_image: OnImage,
) -> list[tuple[MapPrediction, Sample]]:
    """Maps and ground truth of each image, in the order of the dataset.

    Ends early after ``MAX_PIXELS``, when ``stop`` returns True, or at the deadline with at least
    ``MIN_IMAGES``. The images predicted by then are spread over the dataset.
    """
    predicted: dict[int, tuple[MapPrediction, Sample]] = {}
    pixels = 0
    indices = evenly_spread(len(dataset), limit)
    for index in (indices[position] for position in _coarse_to_fine(len(indices))):
        late = len(predicted) >= MIN_IMAGES and now() > deadline
        if predicted and (late or stop()):
            break
        sample = dataset[index]
        pixels += sample.labels.size
        if predicted and pixels > MAX_PIXELS:
            break
        predicted[index] = (model.predict_maps(sample.image), sample)
        on_image(len(predicted), len(indices))
    return [predicted[index] for index in sorted(predicted)]


def _coarse_to_fine(count: int) -> list[int]:
    """The numbers below ``count`` in bit-reversed order: each prefix is spread over all of them.

    Example:
        >>> _coarse_to_fine(8)
        [0, 4, 2, 6, 1, 5, 3, 7]
    """
    bits = max(count - 1, 1).bit_length()
    return sorted(range(count), key=lambda number: int(f"{number:0{bits}b}"[::-1], 2))


def _check_target(folder: Path, target: Path) -> None:
    if target.resolve().is_relative_to(shipped.SHIPPED.resolve()):
        raise CongealError(
            f"{folder.name} is shipped with congeal and cannot be changed; name a folder for the "
            "tuned model with --output (output= in Python)"
        )
    if target != folder and (target / CONFIG).exists():
        raise CongealError(f"{target} already holds a model; name another folder")
