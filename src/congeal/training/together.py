"""Several processes in one training: how many there are, and how they come together."""

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
    """Settings of the training that are given, whichever way they are named.

    Args:
        settings: by path, by name or by section, as of :func:`congeal.train`.
        names: of those that are wanted.

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
    """Meet the other processes, if there are any; gives whether this one speaks and writes.

    Args:
        settings: of the training, for its device.

    Raises:
        CongealError: another process is gone.
    """
    with lost_processes():
        join(str(training_settings(settings, "device").get("device", "auto")))
        try:
            yield rank() == 0
        finally:
            leave()


def settle_processes(config: TrainConfig) -> TrainConfig:
    """Fill in devices and nodes by the processes that were started.

    Raises:
        CongealError: others were asked for.
    """
    asked, there = config.devices * config.nodes, world_size()
    if asked > 1 and there == 1:
        nodes = f"--nnodes {config.nodes} " if config.nodes > 1 else ""
        raise CongealError(
            f"expected {asked} processes (devices {config.devices}, nodes {config.nodes}), this "
            f"one was started alone; start it by torchrun {nodes}--nproc-per-node {config.devices}"
        )
    here = local_world_size()
    found = (here, there // here)
    if asked > 1 and found != (config.devices, config.nodes):
        raise CongealError(
            f"expected processes on devices {config.devices} and nodes {config.nodes}, got "
            f"{found[0]} on each of {found[1]}"
        )
    return config.model_copy(update={"devices": found[0], "nodes": found[1]})


def choose_strategy(config: TrainConfig) -> Strategy | str:
    """DDP has to look for parameters that a stage, or a batch without objects, leaves out.

    Buffers are alike in all processes: batch norm and memory are of the whole batch.
    """
    if config.devices * config.nodes == 1:
        return "auto"
    return DDPStrategy(find_unused_parameters=True, broadcast_buffers=False)


def choose_plugins(config: TrainConfig) -> list[Any]:
    """How checkpoints are written, and who the processes are: as torchrun tells it."""
    several = config.devices * config.nodes > 1
    return [WholeCheckpoints(), *([TorchElasticEnvironment()] if several else [])]
