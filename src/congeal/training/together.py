"""Distributed training: number of processes, connection, and Lightning's strategy for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.strategies import DDPStrategy, Strategy

from congeal.errors import CongealError
from congeal.processes import join, leave, local_world_size, rank, world_size
from congeal.training.checkpoint import WholeCheckpoints
from congeal.training.config import TrainConfig
from congeal.training.failures import lost_processes

__all__ = ["choose_plugins", "choose_strategy", "settle_processes", "together", "training_settings"]


def training_settings(settings: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Select given training settings, in any of the ways to name them.

    Args:
        settings: settings as passed to :func:`congeal.train`: by path, by name or by section.
        names: names of the settings to select.

    Returns:
        Values by name; settings that are missing or None are left out.

    Example:
        >>> training_settings({"training": {"devices": 2}, "training.nodes": 3}, "devices", "nodes")
        {'devices': 2, 'nodes': 3}
    """
    section = settings.get("training")
    found = dict(section) if isinstance(section, Mapping) else {}
    for name in names:
        for key in (name, f"training.{name}"):
            found[name] = settings.get(key, found.get(name))
    return {name: found[name] for name in names if found.get(name) is not None}


@contextmanager
def together(settings: Mapping[str, Any]) -> Iterator[bool]:
    """Connect to the other processes; yields True in the process that prints and writes (rank 0).

    Args:
        settings: settings of the training, for its device.

    Raises:
        CongealError: another process has ended.
    """
    with lost_processes():
        join(str(training_settings(settings, "device").get("device", "auto")))
        try:
            yield rank() == 0
        finally:
            leave()


def settle_processes(config: TrainConfig) -> TrainConfig:
    """Set devices and nodes to those of the processes that were started.

    Args:
        config: settings of the training.

    Raises:
        CongealError: the settings ask for other numbers of devices or nodes.
    """
    wanted, started = config.devices * config.nodes, world_size()
    if wanted > 1 and started == 1:
        option = f"--nnodes {config.nodes} " if config.nodes > 1 else ""
        raise CongealError(
            f"expected {wanted} processes (devices {config.devices}, nodes {config.nodes}), got "
            f"one; start them with torchrun {option}--nproc-per-node {config.devices}"
        )
    devices = local_world_size()
    nodes = started // devices
    if wanted > 1 and (devices, nodes) != (config.devices, config.nodes):
        raise CongealError(
            f"expected {config.devices} processes on each of {config.nodes} nodes, got "
            f"{devices} on each of {nodes}"
        )
    return config.model_copy(update={"devices": devices, "nodes": nodes})


def choose_strategy(config: TrainConfig) -> Strategy | str:
    """Lightning's strategy: DDP for several processes.

    ``find_unused_parameters``: a stage, or a batch without objects, uses some parameters only.
    ``broadcast_buffers`` is off: batch norm and memory bank are the same in all processes already.
    """
    if config.devices * config.nodes == 1:
        return "auto"
    return DDPStrategy(find_unused_parameters=True, broadcast_buffers=False)


def choose_plugins(config: TrainConfig) -> list[Any]:
    """Lightning's plugins: atomic checkpoints, and ranks from the variables of torchrun."""
    several = config.devices * config.nodes > 1
    return [WholeCheckpoints(), *([TorchElasticEnvironment()] if several else [])]
