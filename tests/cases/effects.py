"""How a test shows that a setting has an effect, for settings that methods share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["INPUT", "METHOD", "NETWORK", "TRAINING", "Decoded", "Effect", "Elsewhere", "Trained"]


@dataclass(frozen=True)
class Trained:
    """Another value gives other weights after two steps.

    Attributes:
        value: to be compared with the one of the short training.
        base: settings of both trainings.
    """

    value: Any
    base: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Decoded:
    """Another value gives another result, of an image or of made-up maps; attributes as above."""

    value: Any
    base: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Elsewhere:
    """A test of its own shows it.

    Attributes:
        test: ``file::function``.
    """

    test: str


Effect = Trained | Decoded | Elsewhere

TIMM = {"network.encoder": "resnet10t"}
SGD = {"training.optimizer": "sgd"}
HERE = "tests/methods/test_settings_have_effect.py::"
LOOP = "tests/training/test_loop.py::"
TOGETHER = (
    "tests/training/test_together.py::test_what_was_started_is_compared_with_what_is_asked_for"
)

METHOD: dict[str, Effect] = {
    "task": Elsewhere(
        "tests/methods/test_contract.py::test_what_the_task_fills_is_there_and_is_saved"
    ),
    "class_names": Trained(("disc", "square", "star")),
}

INPUT: dict[str, Effect] = {
    "input.scale": Trained(0.5),
    "input.min_object_area": Trained(900.0),
    "input.gamma": Trained(0.5),
    "input.channels": Elsewhere(
        "tests/cli/test_channels.py::test_more_than_three_channels_are_trained_on_as_given"
    ),
    "input.pixel_size": Elsewhere(
        "tests/cli/test_pixel_size.py::test_objects_follow_the_size_of_a_pixel"
    ),
    "input.percentiles": Decoded((20.0, 60.0)),
}

NETWORK: dict[str, Effect] = {
    "network.encoder": Trained("resnet10t"),
    "network.pretrained": Elsewhere(
        "tests/cli/test_train_settings.py::"
        "test_a_pretrained_encoder_comes_from_the_installed_package"
    ),
    "network.encoder_weights": Elsewhere(HERE + "test_weights_of_the_encoder_come_from_a_file"),
    "network.output_stride": Trained(16, TIMM),
    "network.freeze_norm": Trained(True, TIMM),
    "network.encoder_levels": Trained(3, TIMM),
    "network.frozen_levels": Trained(2, TIMM),
    "network.decoder": Trained("wide"),
    "network.mean": Trained((0.5,)),
    "network.deviation": Trained((0.5,)),
}

TRAINING: dict[str, Effect] = {
    "max_minutes": Elsewhere(LOOP + "test_the_time_budget_ends_a_training"),
    "epochs": Trained(3),
    "steps_per_epoch": Trained(2),
    "batch_size": Trained(4),
    "accumulate": Trained(2),
    "crop": Trained(96),
    "learning_rate": Trained(0.01),
    "encoder_rate": Trained(0.1, TIMM),
    "optimizer": Trained("sgd"),
    "weight_decay": Trained(0.5),
    "power": Trained(2.0),
    "warmup": Trained(1),
    "clip": Trained(0.01, SGD),
    "precision": Trained("bf16-mixed"),
    "device": Elsewhere(LOOP + "test_a_device_that_is_not_there_is_told_in_one_line"),
    "devices": Elsewhere(TOGETHER),
    "nodes": Elsewhere(TOGETHER),
    "workers": Elsewhere(LOOP + "test_the_same_seed_gives_the_same_weights_with_workers_too"),
    "threads": Elsewhere(LOOP + "test_threads_are_as_asked_while_it_trains_and_then_as_before"),
    "cpu_replicas": Trained(2, {"training.batch_size": 4}),
    "seed": Trained(1),
    "augmentation": Trained("kong2018"),
    "rotation": Trained(10.0),
    "scale_range": Trained((1.0, 1.1)),
    "flip": Trained(False),
    "object_sampling_power": Trained(
        1.0, {"training.object_sampling_power": 0.0, "training.steps_per_epoch": 6}
    ),
    "patience": Elsewhere(LOOP + "test_a_training_without_gain_stops_early"),
    "validation_images": Elsewhere(HERE + "test_a_validation_looks_at_so_many_images"),
    "validation_share": Elsewhere(HERE + "test_validation_keeps_to_its_share_of_the_time"),
    "tuning_share": Elsewhere("tests/training/test_tuning.py::test_training_can_do_without_it"),
    "keep": Elsewhere(LOOP + "test_the_best_or_the_last_weights_are_kept"),
    "half": Elsewhere(LOOP + "test_weights_are_stored_in_half_the_space_when_asked"),
    "overlays": Elsewhere(LOOP + "test_pictures_are_left_out_when_not_wanted"),
    "cache_gb": Elsewhere(
        "tests/training/test_stream.py::test_images_are_read_once_where_memory_allows"
    ),
}
