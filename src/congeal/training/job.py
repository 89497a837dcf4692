"""One training: what it is made of, and how it ends."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.data import DataLoader

from congeal.data.batch import Batch
from congeal.data.sample import Dataset
from congeal.files import lock_folder, remove_parts
from congeal.methods.method import Method
from congeal.models.card import model_card
from congeal.models.config import CONFIG, read_config
from congeal.models.folder import load, save_model
from congeal.models.shipped import describe, locate
from congeal.processes import leave
from congeal.training.callbacks import Clock, History
from congeal.training.config import TrainConfig
from congeal.training.failures import one_line_errors
from congeal.training.folder import CHECKPOINTS, LOG, prepare
from congeal.training.machine import (
    choose_accelerator,
    choose_precision,
    choose_replicas,
    choose_workers,
    use_threads,
)
from congeal.training.module import Trainee
from congeal.training.plan import SCRATCH, Plan, store_plan
from congeal.training.progress import LiveProgress
from congeal.training.signals import StopSignals
from congeal.training.stream import DrawSampler, TrainStream, start_worker
from congeal.training.together import choose_plugins, choose_strategy
from congeal.training.tuning import store_tuned, tune_decoding
from congeal.training.validation import Validation, fitting_images

__all__ = ["Job"]

COMPARISONS = 8  # validations that a whole tuning takes as long as: its settings, one by one
LOOKS = 5  # validations that the time for tuning lasts for at least, by the images looked at
LEAST_TUNING = 0.2  # of its time that tuning has when all before it took longer than thought
Loader = DataLoader[Batch]
# What a resumed training may change: its length, and the machine it is on.
FREE = (
    "max_minutes",
    "epochs",
    "device",
    "devices",
    "nodes",
    "workers",
    "threads",
    "cache_gb",
    "overlays",
    "cpu_replicas",
    "half",
    "keep",
    "patience",
    "tuning_share",
    "validation_share",
    "validation_images",
)


class Job:
    """One training: what it is made of, and how it ends.

    Args:
        model: to be trained.
        plan: how; its settings of the training are complete.
        training: images to learn from.
        validation: images to score, or None.
        output: folder of the model.
        about: purpose (``what``) and ``licence`` for the card.
        born: time by the monotonic clock from which the minutes count; None: the first step.
    """

    def __init__(
        self,
        model: Method,
        plan: Plan,
        training: Dataset,
        validation: Dataset | None,
        output: Path,
        about: dict[str, str],
        born: float | None = None,
    ) -> None:
        config = plan.training
        if validation is None or not len(validation) or not model.search_space:
            config = config.model_copy(update={"tuning_share": 0.0})
        self.model = model.to(memory_format=torch.channels_last)
        self.training = training
        self.validation = validation
        self.output = output
        self.about = about
        self.plan = plan
        per_step = config.batch_size * config.accumulate * config.devices * config.nodes
        self._crops_per_step = per_step
        self.updates = config.steps_per_epoch or max(1, math.ceil(len(training) / per_step))
        total = None if config.epochs is None else config.epochs * self.updates
        run = _identity(model, config, training)
        self.trainee = Trainee(model, config, total, choose_replicas(config, model), run, born)
        self.config = self.trainee.settings  # with optimiser and rate
        self.history = History(output / LOG)
        self.clock = Clock()
        self.signals = StopSignals(self.clock)
        self.progress = LiveProgress()
        self.stream: TrainStream | None = None
        self.check = self._validation()
        self.parent = SCRATCH if plan.start is None else _parent(plan.start)
        self.check.on_image = self.progress.validating

    def run(self, resume: bool) -> None:
        """Train to the end, or until told to stop."""
        with one_line_errors(self.output):
            trainer = self._trainer()
        # Processes of one training share the folder; the first of them holds it.
        with lock_folder(self.output) if trainer.is_global_zero else nullcontext():
            with one_line_errors(self.output):
                self._fit(trainer, resume)
            leave()  # what is left to do is the first process's
            if trainer.is_global_zero and not self._was_finished():
                if self.config.keep == "last" or not (self.output / CONFIG).exists():
                    self._save(self.check.last)
                load(self.output)  # what is left behind is whole
                if not self.clock.asked:
                    self._finish()

    def _fit(self, trainer: lightning.Trainer, resume: bool) -> None:
        checkpoint = prepare(self.output, resume)
        if trainer.is_global_zero:
            for folder in (self.output, self.output / CHECKPOINTS):
                remove_parts(folder)
            if checkpoint is None:
                store_plan(self.plan, self.output)
        try:
            with self.signals, use_threads(self.config.threads):
                trainer.fit(self.trainee, datamodule=_Crops(self._loader), ckpt_path=checkpoint)
        finally:
            self.progress.close()
            self.trainee.close()
            if self.stream is not None:
                self.stream.reader.close()

    def _was_finished(self) -> bool:
        """Whether what is resumed had come to its end, fitting and tuning included."""
        if self.trainee.stepped is not None or not (self.output / CONFIG).exists():
            return False
        return bool(read_config(self.output).training.get("finished"))

    def _finish(self) -> None:
        """Fit what is not learnt, then tune the decoding, of the weights given back."""
        c = self.config
        model = load(self.output, device=c.device)
        model.config = self.model.config  # not those of an earlier tuning, when resumed
        with self.signals, use_threads(c.threads):
            with self.progress.status("fitting") as tell:
                model.finish(self.training, lambda done, total: tell(f"{done} of {total} images"))
            if self.clock.asked:
                return
            self._store(model, finished=not c.tuning_share)
            if c.tuning_share:
                self._tune(model)

    def _tune(self, model: Method) -> None:
        """Tune the decoding in the time that is left, on the images that validation looked at."""
        assert self.validation is not None
        with self.progress.tuning() as tell:
            found = tune_decoding(
                model,
                self.validation,
                limit=max(1, len(self.check.places)),
                stop=lambda: self.clock.asked,
                seconds=self._seconds_left(),
                on_try=tell,
            )
        data = f"{self.validation.name}, {self.validation.split}"
        config = read_config(self.output)
        training = {**config.training, "finished": not self.clock.asked}
        told = replace(config, training=training)
        same = found.images == len(self.check.places)  # predicted from what was stored
        store_tuned(model, told, found, data, self.output, validated=same)

    def _seconds_left(self) -> float:
        """What is left of the minutes for tuning, and a little where nothing is."""
        c = self.config
        if c.max_minutes is None:
            return math.inf
        whole = 60 * c.max_minutes
        left = whole - self.trainee.prepared - self.trainee.seconds
        return max(left, LEAST_TUNING * c.tuning_share * whole)

    def _keep_time(self) -> None:
        """Keep as much time as the last validation says that the end will take."""
        c, check = self.config, self.check
        if c.max_minutes is None or self.trainee.trainer.should_stop:
            return
        tuning = min(60 * c.max_minutes * c.tuning_share, COMPARISONS * check.cost)
        self.trainee.reserve = check.cost + check.fit_cost * len(self.training) + tuning

    def _store(self, model: Method, *, finished: bool) -> None:
        """Save a model that :meth:`Method.finish` has changed, and note whether it is complete."""
        config = read_config(self.output)
        training = {**config.training, "finished": finished}
        about = {"what": config.what, "licence": config.licence}
        card = model_card(
            model, training, config.metrics, description=config.what, licence=config.licence
        )
        save_model(
            model,
            self.output,
            card=card,
            training=training,
            metrics=config.metrics,
            half=self.config.half,
            **about,
        )

    def _validation(self) -> Validation:
        c = self.config
        return Validation(
            self.model.task,
            self.validation,
            fitted_on=fitting_images(self.training, self.model.fitted_images),
            images=c.validation_images,
            share=c.validation_share,
            crops=None if c.max_minutes else self._crops_per_step,
            seconds=self._seconds_of_validation(),
            patience=c.patience,
            overlays=self.output / "overlays" if c.overlays else None,
            history=self.history,
            save=self._save_if_better,
        )

    def _seconds_of_validation(self) -> float | None:
        """What one may take, so that tuning has time for several settings on as many images."""
        c = self.config
        if c.max_minutes is None:
            return None
        return 60 * c.max_minutes * (c.tuning_share / LOOKS or c.validation_share)

    def _trainer(self) -> lightning.Trainer:
        c = self.config
        keeper = ModelCheckpoint(
            self.output / CHECKPOINTS,
            filename="last",
            save_top_k=1,
            every_n_epochs=1,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )
        return lightning.Trainer(
            accelerator=choose_accelerator(c.device),
            devices=c.devices,
            num_nodes=c.nodes,
            precision=choose_precision(c),
            max_epochs=-1,  # the clock ends it
            accumulate_grad_batches=c.accumulate,
            gradient_clip_val=c.clip,
            callbacks=[self.clock, self.signals, self.check, self.history, self.progress, keeper],
            strategy=choose_strategy(c),
            plugins=choose_plugins(c),
            logger=TensorBoardLogger(self.output, name="tensorboard", version=""),
            use_distributed_sampler=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )

    def _loader(self) -> Loader:
        c = self.config
        workers = choose_workers(c)
        per_update = c.accumulate * c.batch_size
        trainee, trainer = self.trainee, self.trainee.trainer
        self.stream = TrainStream(
            self.model.prepare(self.training),
            c.augment(),
            seed=c.seed,
            cache_gb=c.cache_gb,
            scale=self.model.scale,
            min_object_area=self.model.min_object_area,
            object_sampling_power=c.object_sampling_power or 0.0,
            maps=self.model.wanted_maps,
            objects_only=self.model.task.target != "semantic",
            percentiles=self.model.percentiles,
            planes=self.model.planes,
            workers=workers,
            ahead=2 * c.batch_size,
            step=trainer.world_size,
        )
        sampler = DrawSampler(
            self.updates * per_update,
            trainer.global_rank,
            trainer.world_size,
            before=lambda: trainee.global_step * per_update,
        )
        return DataLoader(
            self.stream,
            batch_size=c.batch_size,
            sampler=sampler,
            num_workers=workers,
            persistent_workers=workers > 0,
            worker_init_fn=start_worker,
            collate_fn=Batch.collate,
            pin_memory=torch.cuda.is_available(),
        )

    def _save_if_better(self, scores: dict[str, float], better: bool) -> None:
        self.progress.scores = scores
        self._keep_time()
        if better and self.trainee.trainer.is_global_zero:
            self._save(scores)

    def _save(self, scores: dict[str, float]) -> None:
        training = {
            "data": f"{self.training.name}, {self.training.split}",
            "images": len(self.training),
            "start": self.parent,
            "minutes": round(self.trainee.spent / 60, 2),
            "steps": self.trainee.global_step,
            "date": datetime.now(UTC).date().isoformat(),
            **self.config.model_dump(mode="json"),
        }
        metrics = _validation_scores(scores)
        purpose, licence = self.about.get("what", ""), self.about.get("licence", "")
        card = model_card(self.model, training, metrics, description=purpose, licence=licence)
        save_model(
            self.model,
            self.output,
            card=card,
            training=training,
            metrics=metrics,
            half=self.config.half,
            **self.about,
        )


def _validation_scores(scores: dict[str, float]) -> dict[str, float]:
    """As the card names them."""
    return {f"validation {name}": v for name, v in scores.items() if not math.isnan(v)}


class _Crops(lightning.LightningDataModule):
    """Makes the loader once Lightning knows which of how many processes this is."""

    def __init__(self, make: Callable[[], Loader]) -> None:
        super().__init__()
        self.make = make

    def train_dataloader(self) -> Loader:
        """Make it."""
        return self.make()


def _parent(start: str) -> str:
    """The model that lent its weights, as the card names it."""
    return f"{Path(start).name} (weights {describe(locate(start)).fingerprint})"


def _identity(model: Method, config: TrainConfig, training: Dataset) -> dict[str, Any]:
    """What a resumed training has to have in common with the one before, as plain values."""
    kept = {name: value for name, value in config.flat().items() if name not in FREE}
    return {
        "data": training.name,
        "images": len(training),
        "names of the images": _digest(training.names()),
        "method": model.name,
        **model.config.flat(),
        **{f"training.{name}": value for name, value in kept.items()},
    }


def _digest(names: list[str]) -> str:
    """Tells lists of names apart; of names that are no UTF-8 too."""
    text = "\0".join(names).encode("utf-8", "surrogateescape")
    return hashlib.sha256(text).hexdigest()[:8]
