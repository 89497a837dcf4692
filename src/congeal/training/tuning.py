"""Decoding settings tuned on labelled images; the weights of the network stay as they are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
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
from congeal.models.card import TUNED_HEADING, model_card
from congeal.models.channels import open_for
from congeal.models.config import CONFIG, ModelConfig, read_config
from congeal.models.folder import load, save_model
from congeal.training.validation import evenly_spread, headline, judge_of

__all__ = ["Tuning", "store_tuned", "tune", "tune_decoding"]

NOTHING = "Nothing better was found than the settings above:"
LEAST_GAIN = 1e-3  # below it a step is not worth leaving a setting for
POOR = 0.5  # headline score below which a better setting may lie many steps away
LEAP = 3  # steps at once, to begin with where the score is poor
PIXELS = 2**24  # of all images together; their maps stay in memory, half a gigabyte

OnImage = Callable[[int, int], None]
OnTry = Callable[[int, int, float, str], None]


@dataclass(frozen=True)
class Tuning:
    """What tuning found.

    Attributes:
        settings: those that changed, by path; empty when nothing was better.
        before: scores on the images with the settings as they were, such as ``matching_ap@0.5``.
        after: scores with the settings found, on the same images, which flatters them a little.
        images: how many were looked at.
        objects: in these images.
        tried: settings compared.
        score: what they were compared by.

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
    """Tune the decoding of a model on labelled images and store the settings with it.

    Nothing is trained: the network runs once on each image, then the settings of the method's
    search space climb, one at a time, to the best headline score of the model's task, first by
    three steps at once where that is under 0.5. A step has to gain two objects at least.
    ``congeal train`` does it at its end, on validation images.

    Args:
        model: folder of a model, or the name of a shipped one.
        data: a folder of ``images/`` and ``masks/``, a COCO file, a name, or a Dataset.
        split: part of data opened by name or path: ``"val"``, or ``"all"`` for a folder of which
            the model has seen no image.
        output: folder for the tuned model; None changes the model's own.
        limit: at most so many images, evenly spread.
        device: ``"cpu"``, ``"cuda"``, ``"mps"`` or ``"auto"``.
        on_image: called with the number of images the network has run on, and their count.
        on_try: called with the number of settings compared, about how many it will be, the best
            score so far, and what it is called, such as ``"mean AP at .5 and .7"``.
        on_note: called with what looks wrong in the data, a line each, before time is spent.

    Raises:
        CongealError: model or data cannot be opened, there are no objects, the model is a shipped
            one and no ``output`` is given, or the folder holds something else or cannot be written.

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
    found = tune_decoding(tuned, dataset, limit=limit, on_image=on_image, on_try=on_try)
    if not found.objects and tuned.task.output == "objects":
        raise CongealError(f"expected objects in the images of {dataset.name}, found none")
    if found.settings or target != folder:
        card = shipped.describe(folder).card
        store_tuned(tuned, config, found, f"{dataset.name}, {dataset.split}", target, card)
    return found


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
    """Tune the decoding of a model in memory, in place.

    Args:
        model: is left with the best settings found.
        dataset: of labelled images.
        limit: at most so many of them, evenly spread; fewer where they are very large.
        stop: asked before each image and comparison; true ends the search with the best so far.
        seconds: from now, after which no comparison is begun; all images are looked at even so.
        on_image: as for :func:`tune`.
        on_try: as for :func:`tune`.

    Raises:
        CongealError: there are no images, or ``limit`` is not positive.

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
            f"expected images in {dataset.name}, split {dataset.split}, found none; all of a "
            'folder are in the split "all"'
        )
    ends = now() + seconds
    predicted = list(_predict(model, dataset, limit, stop, on_image))
    objects = sum(len(np.unique(s.labels[s.labels > 0])) for _, s in predicted)
    gain = max(LEAST_GAIN, 2 / max(objects, 1))
    search = _Search(model, dataset, predicted, gain, lambda: stop() or _is_past(ends), on_try)
    if objects or model.task.output != "objects":
        search.climb()
    model.config = search.start
    model.configure(**search.settings)
    before = search.seen[()]
    after = search.seen[tuple(search.settings.items())]
    counts = (len(predicted), objects, len(search.seen))
    return Tuning(search.settings, before, after, *counts, score=model.task.score)


def store_tuned(
    model: Method,
    config: ModelConfig,
    found: Tuning,
    data: str,
    folder: Path,
    card: str | None = None,
    *,
    validated: bool = False,
) -> None:
    """Write a tuned model: what was known of it, and what tuning changed.

    Args:
        model: as it is to be stored.
        config: what ``config.json`` said of it before.
        found: by tuning.
        data: name and split of the images it was tuned on.
        folder: of the model.
        card: what people wrote about the model, kept with a section on the tuning at its end;
            None writes a new one.
        validated: whether the images are those of the last validation; else the scores before the
            tuning are named apart from those of validation.
    """
    seen = {"data": data, "images": found.images, "objects": found.objects}
    told = {**seen, "compared by": model.task.score, **found.settings}
    training = {**config.training, "tuned": told}
    earlier = {n: v for n, v in config.metrics.items() if n.partition(" ")[0] != "untuned"}
    scores = {
        **_scores("validation" if validated else "untuned", found.before),
        **_scores("tuned", found.after),
    }
    metrics = {**earlier, **scores}
    half = bool(config.training.get("half"))
    about = {"what": config.what, "licence": config.licence}
    if card is None:
        card = model_card(model, training, metrics, description=config.what, licence=config.licence)
    else:
        line = "Settings named here hold, not those above:" if found.settings else NOTHING
        card = _with_section(card, line, {**told, **scores})
    save_model(model, folder, card=card, training=training, metrics=metrics, half=half, **about)


def _scores(stage: str, scores: Mapping[str, float]) -> dict[str, float]:
    """Scores that are defined, as the card names them."""
    return {f"{stage} {name}": round(v, 4) for name, v in scores.items() if not math.isnan(v)}


def _with_section(card: str, line: str, facts: Mapping[str, object]) -> str:
    """The card, its section on tuning written anew."""
    kept = card.partition(f"\n{TUNED_HEADING}\n")[0].rstrip()
    lines = [kept, "", TUNED_HEADING, "", line, ""]
    return "\n".join([*lines, *(f"- {name}: {value}" for name, value in facts.items()), ""])


def _is_past(moment: float) -> bool:
    return now() > moment


class _Search:
    """Hill climbing, a setting at a time, over maps that were predicted once."""

    def __init__(
        self,
        model: Method,
        dataset: Dataset,
        predicted: list[tuple[MapPrediction, Sample]],
        least_gain: float,
        stop: Callable[[], bool],
        on_try: OnTry,
    ) -> None:
        self.model = model
        self.dataset = dataset
        self.start = model.config
        self.predicted = predicted
        self.least_gain = least_gain
        self.stop = stop
        self.on_try = on_try
        self.settings: dict[str, Any] = {}
        self.seen: dict[tuple[tuple[str, Any], ...], dict[str, float]] = {}
        self.ahead = 2 * len(model.search_space)  # comparisons to come in this round, about
        self.best = self.score({})
        self._tell()

    def climb(self) -> None:
        """Go on until no setting gets better by a step, or it is time to stop."""
        if self.best < POOR:
            self._round(LEAP)
        while self._round(1):
            pass

    def _round(self, steps: int) -> bool:
        """Move each setting by so many steps at once while it pays; whether any did."""
        moved, space = False, list(self.model.search_space)
        for place, path in enumerate(space):
            self.ahead = 2 * (len(space) - place) - 1  # a move each way, this one done
            moved |= any(self._climb(path, way, steps) for way in (-1, 1))
        return moved

    def _tell(self) -> None:
        tried = len(self.seen)
        self.on_try(tried, tried + self.ahead, max(self.best, 0.0), self.model.task.score)

    def score(self, settings: Mapping[str, Any]) -> float:
        """Headline score with these settings over those of the start."""
        key = tuple(sorted(settings.items()))
        if key not in self.seen:
            self.model.config = self.start
            self.model.configure(**settings)
            judge = judge_of(self.model.task, self.dataset)
            for maps, sample in self.predicted:
                judge.update(Comparison(sample, self.model.decode(maps), self.dataset))
            scores = judge.compute()
            self.seen[key] = {name: scores[name] for name in self.model.task.headline}
        score = headline(self.model.task, self.seen[key])
        return -1.0 if math.isnan(score) else score

    def _climb(self, path: str, way: int, steps: int) -> bool:
        moved = False
        while (ahead := self._ahead(path, way, steps)) is not None and not self.stop():
            trial = dict(sorted({**self.settings, path: ahead}.items()))
            score = self.score(trial)
            pays = score >= self.best + self.least_gain
            if pays:
                self.settings, self.best, moved = trial, score, True
            self._tell()
            if not pays:
                break
        return moved

    def _ahead(self, path: str, way: int, steps: int) -> Any:
        """The value so many steps away, fewer at the end of its range; None where there is none."""
        value = None
        for _ in range(steps):
            ahead = self.model.search_space[path](
                self._value(path) if value is None else value, way
            )
            if ahead is None:
                break
            value = ahead
        return value

    def _value(self, path: str) -> Any:
        """The value in force; where a setting is open, what the method takes for it."""
        if path in self.settings:
            return self.settings[path]
        self.model.config = self.start
        value = self.start.flat()[path]
        return self.model.effective(path) if value is None else value


def _predict(
    model: Method, dataset: Dataset, limit: int, stop: Callable[[], bool], on_image: OnImage
) -> Iterator[tuple[MapPrediction, Sample]]:
    """Maps of each image, beside the truth."""
    pixels = 0
    places = evenly_spread(len(dataset), limit)
    for done, place in enumerate(places):
        sample = dataset[place]
        pixels += sample.labels.size
        if place and (pixels > PIXELS or stop()):
            return
        yield model.predict_maps(sample.image), sample
        on_image(done + 1, len(places))


def _check_target(folder: Path, target: Path) -> None:
    if target.resolve().is_relative_to(shipped.SHIPPED.resolve()):
        raise CongealError(
            f"{folder.name} came with congeal and is left as it is; name a folder for the tuned "
            "model with output"
        )
    if target != folder and (target / CONFIG).exists():
        raise CongealError(f"{target} holds a model already; name another folder")
