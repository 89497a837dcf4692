"""What every method has of its settings: their values, their changes, and its model folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import nn

from congeal.errors import CongealError, unknown
from congeal.methods.sections import MethodSettings
from congeal.tasks import TASKS, Task

__all__ = ["Configured"]


class Configured(nn.Module):
    """A module that is built from typed settings, some of which may change after training.

    The base of :class:`congeal.methods.Method`, which describes arguments and attributes.
    """

    name: ClassVar[str]
    Config: ClassVar[type[MethodSettings]]
    tasks: ClassVar[tuple[str, ...]]
    variable_buffers: ClassVar[tuple[str, ...]] = ()
    on_request: ClassVar[Mapping[str, str]] = {}

    config: Any

    def __init__(self, config: MethodSettings | None = None, **settings: Any) -> None:
        super().__init__()
        base = config if config is not None else self.default_config()
        if not isinstance(base, self.Config):
            kind = type(base).__name__
            raise CongealError(
                f"expected settings of {self.name} ({self.Config.__name__}), got {kind}"
            )
        self.config = base.updated(settings)
        if self.config.task not in self.tasks:
            raise CongealError(
                f"expected a task of {type(self).__name__} ({', '.join(self.tasks)}), "
                f"got {self.config.task!r}"
            )

    def __repr__(self) -> str:
        """Class, task and number of parameters, in place of the list of layers."""
        count = sum(parameter.numel() for parameter in self.parameters())
        return f"{type(self).__name__}({self.config.task}, {count:,} parameters)"

    @classmethod
    def default_config(cls) -> MethodSettings:
        """Default settings, for the first of the method's tasks."""
        return cls.Config(task=cls.tasks[0])  # type: ignore[arg-type]

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Build the model from the settings of a model folder, without pretrained weights.

        Args:
            settings: by section or by path.

        Raises:
            CongealError: a setting is unknown or out of range.
        """
        return cls(cls.default_config().updated({**settings}).updated(cls._without_weights()))

    @classmethod
    def _without_weights(cls) -> dict[str, Any]:
        """Settings that switch off the loading of encoder weights; the model folder has them."""
        values = {"network.pretrained": False, "network.encoder_weights": None}
        return {path: value for path, value in values.items() if path in cls.Config.leaves()}

    @property
    def task(self) -> Task:
        """The task of the model."""
        return TASKS[self.config.task]

    @property
    def settings(self) -> dict[str, Any]:
        """All settings by section as JSON values; a path of encoder weights as its file name."""
        dumped: dict[str, Any] = self.config.model_dump(mode="json")
        network = dumped.get("network", {})
        if network.get("encoder_weights"):
            network["encoder_weights"] = Path(network["encoder_weights"]).name
        return dumped

    @property
    def scale(self) -> float:
        """Relative size at which images enter the network, in training and prediction."""
        return float(self.config.input.scale) if "input.scale" in self.Config.leaves() else 1.0

    @property
    def min_object_area(self) -> float:
        """Images with a smaller median object are enlarged, in training too; px, 0: never."""
        has_setting = "input.min_object_area" in self.Config.leaves()
        return float(self.config.input.min_object_area) if has_setting else 0.0

    @property
    def percentiles(self) -> tuple[float, float]:
        """Percentiles of the intensities that become 0 and 1, in training and prediction."""
        has_setting = "input.percentiles" in self.Config.leaves()
        return self.config.input.percentiles if has_setting else (1.0, 99.8)

    @property
    def channels(self) -> tuple[int, ...] | None:
        """Image channels that the network uses, in this order; None: gray or RGB."""
        has_setting = "input.channels" in self.Config.leaves()
        return self.config.input.channels if has_setting else None

    @property
    def input_channels(self) -> int | None:
        """Number of channels of the network's input; None: any number."""
        has_setting = "input.channels" in self.Config.leaves()
        return int(self.config.input.input_channels) if has_setting else None

    def configure(self, **settings: Any) -> Self:
        """Change settings that are adjustable after training, in place.

        Args:
            settings: by path or by name.

        Returns:
            The model itself.

        Raises:
            CongealError: a setting is unknown, out of range, or fixed by the training.
        """
        adjustable = {path for path, leaf in self.Config.leaves().items() if leaf.adjustable}
        changed = {self.Config.path_of(name): value for name, value in settings.items()}
        for path in changed:
            if not any(path == leaf or path.startswith(leaf + ".") for leaf in adjustable):
                raise unknown("setting that may change after training", path, adjustable)
        self.config = self.config.updated(changed)
        return self

    def request(self, *maps: str) -> Self:
        """Switch on maps of :attr:`on_request` in results, in place; other names are ignored.

        Args:
            maps: names of maps.

        Returns:
            The model itself.
        """
        wanted = {path: True for name, path in self.on_request.items() if name in maps}
        return self.configure(**wanted)

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Load weights; buffers of variable size are resized to the loaded ones first.

        PyTorch also calls it if the method is a submodule, as in a checkpoint of a training.
        """
        for name in self.variable_buffers:
            if prefix + name in state_dict:
                path, _, last = name.rpartition(".")
                owner = self.get_submodule(path)
                like = getattr(owner, last)
                stored = state_dict[prefix + name]
                setattr(owner, last, torch.empty_like(stored, dtype=like.dtype, device=like.device))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
