"""Training a model on a folder, a named dataset, or any Dataset."""

from __future__ import annotations

import contextlib
import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.data import DataLoader

from congeal.data.registry import open_dataset
from congeal.data.sample import Dataset
from congeal.errors import CongealError
from congeal.methods.rpe import RPE
from congeal.models.config import CONFIG, read_config
from congeal.models.folder import load, save_model
from congeal.training.adapt import suggest_crop, suggest_crowding, suggest_settings
from congeal.training.callbacks import Clock, History, Validation
from congeal.training.card import model_card
from congeal.training.checkpoint import WholeCheckpoints
from congeal.training.config import TrainConfig, train_config
from congeal.training.failures import told_in_one_line
from congeal.training.machine import (
    choose_accelerator,
    choose_precision,
    choose_shares,
    choose_workers,
    is_on_cpu,
    use_threads,
)
from congeal.training.module import Trainee
from congeal.training.progress import LiveProgress
from congeal.training.signals import StopSignals
from congeal.training.stream import DrawSampler, TrainStream, start_worker
from congeal.training.tuning import store_tuned, tune_read_out

__all__ = ["train"]

Loader = DataLoader[tuple[torch.Tensor, torch.Tensor]]
CHECKPOINTS = "checkpoints"
LOG = "log.csv"


def train(
    model: RPE | None,
    data: str | Path | Dataset,
    *,
    output: str | Path,
    val: str | Path | Dataset | None = None,
    resume: bool = False,
    what: str = "",
    licence: str = "",
    **settings: Any,
) -> Path:
    """Train a model and leave it in a folder, with log, checkpoints and pictures beside it.

    The folder holds a usable model from the first validation on; a stop by Ctrl-C, or SIGTERM,
    ends the training after the step in hand and saves. After that, or a kill, the same call with
    ``resume=True`` goes on from the last checkpoint, which is written at the end of each epoch
    and after such a stop. When the length is given in epochs it ends with the same weights as an
    unbroken run.

    Args:
        model: what to train; None chooses settings by a look at the training images.
        data: a folder of ``images/`` and ``masks/``, a COCO file, a name, or a Dataset.
        output: folder for the model.
        val: validation images; None takes those that ``data`` sets aside.
        resume: go on from the last checkpoint in ``output``, if there is one.
        what: a line on what the model is for, for its card.
        licence: of the weights, for its card.
        settings: fields of :class:`congeal.training.TrainConfig`.

    Returns:
        The model folder.

    Raises:
        CongealError: data, settings or folder do not fit, each told in one line.

    Example:
        >>> import tempfile
        >>> folder = train(
        ...     RPE(dimensions=4, samples=64),
        ...     open_dataset("sticks", "train", count=2, size=96),
        ...     val=open_dataset("sticks", "val", count=1, size=96),
        ...     output=tempfile.mkdtemp(),
        ...     epochs=1,
        ...     batch_size=2,
        ...     crop=64,
        ... )
        >>> (folder / "model.safetensors").exists()
        True
    """
    config = train_config(settings)
    output = Path(output)
    training, validation = _open(data, val)
    with _quiet_lightning():
        lightning.seed_everything(config.seed, verbose=False)
        if model is None:
            model = RPE(**suggest_settings(training))
        config = _with_crowding(_with_crop(config, training, model), training, model)
        job = _Job(model, config, training, validation, output, what, licence)
        job.run(resume)
    return output


def _open(
    data: str | Path | Dataset, val: str | Path | Dataset | None
) -> tuple[Dataset, Dataset | None]:
    if isinstance(data, Dataset):
        training = data
        validation = open_dataset(val, "all") if isinstance(val, (str, Path)) else val
    else:
        training = open_dataset(data, "train")
        if val is None:
            validation = open_dataset(data, "val")
        else:
            validation = val if isinstance(val, Dataset) else open_dataset(val, "all")
    if not len(training):
        raise CongealError(f"expected training images in {data}, found none")
    return training, validation


def _with_crop(config: TrainConfig, training: Dataset, model: RPE) -> TrainConfig:
    """Choose the side of the crops, or refuse one that the network cannot halve as it does."""
    if config.crop is None:
        crop = suggest_crop(training, model, small=is_on_cpu(config.device))
        return config.model_copy(update={"crop": crop})
    if config.crop % model.divisor:
        raise CongealError(f"crop: expected a multiple of {model.divisor}, got {config.crop}")
    if config.crop == model.divisor and config.batch_size == 1:
        raise CongealError(
            f"crop: expected at least {2 * model.divisor} with batches of one, got {config.crop}"
        )
    return config


def _with_crowding(config: TrainConfig, training: Dataset, model: RPE) -> TrainConfig:
    if config.crowding is not None:
        return config
    chosen = suggest_crowding(training, model) if config.cache_gb else 0.0
    return config.model_copy(update={"crowding": chosen})


class _Job:
    """One training: what it is made of, and how it ends."""

    def __init__(
        self,
        model: RPE,
        config: TrainConfig,
        training: Dataset,
        validation: Dataset | None,
        output: Path,
        what: str,
        licence: str,
    ) -> None:
        if validation is None or not len(validation):
            config = config.model_copy(update={"tuning_share": 0.0})
        self.model = model.to(memory_format=torch.channels_last)
        self.training = training
        self.validation = validation
        self.output = output
        self.about = {"what": what, "licence": licence}
        per_step = config.batch_size * config.accumulate * config.devices * config.nodes
        self.updates = config.steps_per_epoch or max(1, math.ceil(len(training) / per_step))
        total = None if config.epochs is None else config.epochs * self.updates
        self.trainee = Trainee(model, config, total, choose_shares(config, model))
        self.config = self.trainee.settings  # with optimiser and rate
        self.history = History(output / LOG)
        self.clock = Clock()
        self.signals = StopSignals(self.clock)
        self.progress = LiveProgress()
        self.stream: TrainStream | None = None
        self.check = self._validation()

    def run(self, resume: bool) -> None:
        """Train to the end, or until told to stop."""
        with told_in_one_line(self.output):
            trainer = self._trainer()
            checkpoint = _prepare(self.output, resume)
            try:
                with self.signals, use_threads(self.config.threads):
                    trainer.fit(self.trainee, datamodule=_Crops(self._loader), ckpt_path=checkpoint)
            finally:
                self.progress.close()
                self.trainee.close()
                if self.stream is not None:
                    self.stream.reader.close()
        if trainer.is_global_zero and not self._was_finished():
            if self.config.keep == "last" or not (self.output / CONFIG).exists():
                self._save(self.check.last)
            load(self.output)  # what is left behind is whole
            if self.config.tuning_share and not self.clock.asked:
                self._tune()

    def _was_finished(self) -> bool:
        """Whether a training was resumed that had come to its end, tuning included."""
        if self.trainee.stepped is not None or not (self.output / CONFIG).exists():
            return False
        return "tuned" in read_config(self.output).training

    def _tune(self) -> None:
        """Tune the read-out of the weights given back, in the time that was kept for it.

        On the images that validation looked at: more would leave time for fewer settings.
        """
        c = self.config
        assert self.validation is not None
        share = math.inf if c.max_minutes is None else c.max_minutes * c.tuning_share
        ends = time.monotonic() + 60 * share
        model = load(self.output, device=c.device)
        model.config = self.model.config  # not those of an earlier tuning, when resumed
        with self.signals, use_threads(c.threads), self.progress.tuning() as tell:
            found = tune_read_out(
                model,
                self.validation,
                limit=c.validation_images,
                stop=lambda: self.clock.asked or time.monotonic() > ends,
                on_try=tell,
            )
        data = f"{self.validation.name}, {self.validation.split}"
        store_tuned(model, read_config(self.output), found, data, self.output)

    def _validation(self) -> Validation:
        c = self.config
        return Validation(
            self.validation,
            images=c.validation_images,
            share=c.validation_share,
            patience=c.patience,
            overlays=self.output / "overlays" if c.overlays else None,
            history=self.history,
            save=self._save_if_better,
        )

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
            plugins=[WholeCheckpoints()],
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
            self.training,
            c.augment(),
            seed=c.seed,
            cache_gb=c.cache_gb,
            zoom=self.model.config.zoom,
            magnify=self.model.config.magnify,
            crowding=c.crowding or 0.0,
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
            pin_memory=torch.cuda.is_available(),
        )

    def _save_if_better(self, scores: dict[str, float], better: bool) -> None:
        trainer = self.trainee.trainer
        trainer.congeal_scores = scores  # type: ignore[attr-defined]
        if better and trainer.is_global_zero:
            self._save(scores)

    def _save(self, scores: dict[str, float]) -> None:
        training = {
            "data": f"{self.training.name}, {self.training.split}",
            "images": len(self.training),
            "minutes": round(self.trainee.spent / 60, 2),
            "steps": self.trainee.global_step,
            "date": datetime.now(UTC).date().isoformat(),
            **self.config.model_dump(mode="json"),
        }
        metrics = {f"validation {name}": value for name, value in scores.items()}
        card = model_card(self.model, training, metrics, **self.about)
        save_model(
            self.model,
            self.output,
            card=card,
            training=training,
            metrics=metrics,
            half=self.config.half,
            **self.about,
        )


class _Crops(lightning.LightningDataModule):
    """Makes the loader once Lightning knows which of how many processes this is."""

    def __init__(self, make: Callable[[], Loader]) -> None:
        super().__init__()
        self.make = make

    def train_dataloader(self) -> Loader:
        """Make it."""
        return self.make()


def _last_checkpoint(output: Path, resume: bool) -> str | None:
    """Where to go on from, if anywhere; nothing that is in the folder may be lost.

    Raises:
        CongealError: the folder holds a training that is not to be resumed, or a finished model.
    """
    last = output / CHECKPOINTS / "last.ckpt"
    model = output / CONFIG
    if not resume and (last.exists() or model.exists()):
        raise CongealError(f"{output} holds a training already; resume it, or name another folder")
    if last.exists():
        return str(last)
    if model.exists() and not last.parent.exists():
        raise CongealError(
            f"{output} holds a model but no checkpoint to resume from; name another folder"
        )
    return None


def _prepare(output: Path, resume: bool) -> str | None:
    """Make the folder and find the checkpoint in it."""
    checkpoint = _last_checkpoint(output, resume)
    (output / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
    return checkpoint


@contextlib.contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Keep Lightning's own announcements out of the way; errors still come through."""
    loggers = [
        logging.getLogger(name) for name in ("lightning", "lightning.pytorch", "lightning.fabric")
    ]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
