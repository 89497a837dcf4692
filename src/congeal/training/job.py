"""One training run: its parts, saving of the model, and what follows the last update step.

Flow: Lightning trainer fits the :class:`Trainee` -> best weights are stored -> the method fits
what is not learnt by gradient -> the decoding settings are tuned -> the model folder is complete.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

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
from congeal.training.failures import one_line_errors
from congeal.training.folder import CHECKPOINTS, LOG, prepare
from congeal.training.identity import training_identity
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

TUNING_COST = 8  # time of a complete tuning, in validations
VALIDATIONS_PER_TUNING = 5  # minimum; limits the images of a validation by the time for tuning
MIN_TUNING_SHARE = 0.2  # of the time planned for tuning, when the training ran late
Loader = DataLoader[Batch]


class Job:
    """One training run.

    Args:
        model: method to train.
        plan: all settings; those of the training are complete.
        training: training images.
        validation: validation images, or None.
        output: model folder to write.
        about: purpose (``what``) and ``licence`` for the card.
        start_time: time by :func:`congeal.clock.now` at which the training minutes begin; None:
            at the first update step.

    Raises:
        CongealError: settings do not fit the machine or the method (``cpu_replicas``).
    """

    def __init__(
        self,
        model: Method,
        plan: Plan,
        training: Dataset,
        validation: Dataset | None,
        output: Path,
        about: dict[str, str],
        start_time: float | None = None,
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
        run = training_identity(model, config, training)
        replicas = choose_replicas(config, model)
        self.trainee = Trainee(model, config, total, replicas, run, start_time)
        self.config = self.trainee.settings  # with optimiser and learning rate filled in
        self.history = History(output / LOG)
        self.clock = Clock()
        self.signals = StopSignals(self.clock)
        self.progress = LiveProgress()
        self.stream: TrainStream | None = None
        self.validator = self._validator()
        self.start_model = SCRATCH if plan.start is None else _describe_start(plan.start)
        self.validator.on_image = self.progress.validating

    def run(self, resume: bool) -> None:
        """Train to the end, or until a signal asks to stop.

        Args:
            resume: continue from the last checkpoint in the output folder.

        Raises:
            CongealError: the folder is in use or not writable, the checkpoint does not fit, or
                the training failed for want of memory or disk space.
        """
        with one_line_errors(self.output):
            trainer = self._trainer()
        # All processes of a training share the folder; the first one locks it.
        with lock_folder(self.output) if trainer.is_global_zero else nullcontext():
            with one_line_errors(self.output):
                self._fit(trainer, resume)
            leave()  # the first process alone does the rest
            if trainer.is_global_zero and not self._was_finished():
                if self.config.keep == "last" or not (self.output / CONFIG).exists():
                    self._save(self.validator.last)
                load(self.output)  # fails here if the stored model is damaged
                if not self.clock.stop_requested:
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
        """True if the resumed training was already complete, fitting and tuning included."""
        if self.trainee.last_step_time is not None or not (self.output / CONFIG).exists():
            return False
        return bool(read_config(self.output).training.get("finished"))

    def _finish(self) -> None:
        """Fit what is not learnt by gradient, then tune the decoding, with the stored weights."""
        c = self.config
        model = load(self.output, device=c.device)
        model.config = self.model.config  # a resumed training must not tune from tuned settings
        with self.signals, use_threads(c.threads):
            with self.progress.status("fitting") as show:
                model.finish(self.training, lambda done, total: show(f"{done} of {total} images"))
            if self.clock.stop_requested:
                return
            self._store(model, finished=not c.tuning_share)
            if c.tuning_share:
                self._tune(model)

    def _tune(self, model: Method) -> None:
        """Tune the decoding in the time left, on the images of the last validation."""
        assert self.validation is not None
        with self.progress.tuning() as show:
            tuning = tune_decoding(
                model,
                self.validation,
                limit=max(1, len(self.validator.indices)),
                stop=lambda: self.clock.stop_requested,
                seconds=self._seconds_left(),
                on_try=show,
            )
        data = f"{self.validation.name}, {self.validation.split}"
        config = read_config(self.output)
        training = {**config.training, "finished": not self.clock.stop_requested}
        config = replace(config, training=training)
        validated = tuning.images == len(self.validator.indices)
        store_tuned(model, config, tuning, data, self.output, validated=validated)

    def _seconds_left(self) -> float:
        """Seconds left for tuning; a part of the planned time where the training ran late."""
        c = self.config
        if c.max_minutes is None:
            return math.inf
        total = 60 * c.max_minutes
        left = total - self.trainee.prepared - self.trainee.seconds
        return max(left, MIN_TUNING_SHARE * c.tuning_share * total)

    def _update_reserve(self) -> None:
        """Reserve time for what follows the last step, from the cost of the last validation."""
        c, validator = self.config, self.validator
        if c.max_minutes is None or self.trainee.trainer.should_stop:
            return
        tuning = min(60 * c.max_minutes * c.tuning_share, TUNING_COST * validator.cost)
        fitting = validator.fit_cost * len(self.training)
        self.trainee.reserve = validator.cost + fitting + tuning

    def _store(self, model: Method, *, finished: bool) -> None:
        """Save the model after :meth:`Method.finish`, with the mark of a complete training."""
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

    def _validator(self) -> Validation:
        c = self.config
        return Validation(
            self.model.task,
            self.validation,
            fitted_on=fitting_images(self.training, self.model.fitted_images),
            images=c.validation_images,
            share=c.validation_share,
            crops=None if c.max_minutes else self._crops_per_step,
            seconds=self._validation_seconds(),
            patience=c.patience,
            overlays=self.output / "overlays" if c.overlays else None,
            history=self.history,
            save=self._save_if_better,
        )

    def _validation_seconds(self) -> float | None:
        """Time limit of a validation: tuning then affords several candidates on its images."""
        c = self.config
        if c.max_minutes is None:
            return None
        share = c.tuning_share / VALIDATIONS_PER_TUNING or c.validation_share
        return 60 * c.max_minutes * share

    def _trainer(self) -> lightning.Trainer:
        c = self.config
        checkpoints = ModelCheckpoint(
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
            max_epochs=-1,  # the callback Clock ends the training
            accumulate_grad_batches=c.accumulate,
            gradient_clip_val=c.clip,
            callbacks=[
                self.clock,
                self.signals,
                self.validator,
                self.history,
                self.progress,
                checkpoints,
            ],
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
            input_channels=self.model.input_channels,
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
        self._update_reserve()
        if better and self.trainee.trainer.is_global_zero:
            self._save(scores)

    def _save(self, scores: dict[str, float]) -> None:
        training = {
            "data": f"{self.training.name}, {self.training.split}",
            "images": len(self.training),
            "start": self.start_model,
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
    """Scores that are not NaN, by the names of the card."""
    return {f"validation {name}": v for name, v in scores.items() if not math.isnan(v)}


class _Crops(lightning.LightningDataModule):
    """Builds the data loader after Lightning has set the rank and the number of processes."""

    def __init__(self, build: Callable[[], Loader]) -> None:
        super().__init__()
        self.build = build

    def train_dataloader(self) -> Loader:
        """The loader of training batches."""
        return self.build()


def _describe_start(start: str) -> str:
    """Name and fingerprint of the start model, for the card."""
    return f"{Path(start).name} (weights {describe(locate(start)).fingerprint})"
