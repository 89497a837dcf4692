"""Launcher of a distributed training on one machine: one process per device, ended together."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from types import FrameType
from typing import IO, Any

from congeal.errors import CongealError
from congeal.training.config import TrainConfig
from congeal.training.together import training_settings

__all__ = ["LAUNCHED", "LOST", "check_devices", "devices_wanted", "launch"]

PROGRAM = (sys.executable, "-m", "congeal.cli")
LOST = 75  # exit code of a process that ended because another one did
LAUNCHED = "CONGEAL_LAUNCHED"  # environment variable, set for processes of this launcher
GRACE = 10.0  # seconds for the other processes to end by themselves after one failed
POLL = 0.1  # seconds between two checks of the processes


def devices_wanted(settings: Mapping[str, Any]) -> int:
    """Number of processes to launch on this machine; 1 for several nodes, which torchrun launches.

    Args:
        settings: settings as passed to :func:`congeal.train`: by path, by name or by section.

    Example:
        >>> devices_wanted({"training.devices": 2}), devices_wanted({"devices": 2, "nodes": 2})
        (2, 1)
    """
    config = TrainConfig.from_settings(training_settings(settings, "devices", "nodes"))
    return config.devices if config.nodes == 1 else 1


def check_devices(count: int, device: str = "auto") -> None:
    """Check that the machine has a GPU for each process, or a core for each without GPUs.

    Two processes are allowed on any CPU, to try a distributed training out.

    Args:
        count: number of processes.
        device: device of the training.

    Raises:
        CongealError: there are too few GPUs or cores.

    Example:
        >>> check_devices(2, "cpu")
    """
    import torch

    gpus = 0 if device == "cpu" else torch.cuda.device_count()
    limit, what = (gpus, "GPUs") if gpus else (max(2, os.cpu_count() or 1), "CPU processes")
    if count > limit:
        raise CongealError(
            f"expected --devices (devices= in Python) of at most {limit} {what} here, got {count}"
        )


def launch(words: Sequence[str], count: int, program: Sequence[str] = PROGRAM) -> int:
    """Run a command of congeal in several processes that train together on this machine.

    Ctrl-C and SIGTERM are forwarded to all processes. When one fails, the others are ended.

    Args:
        words: arguments of the command, such as ``["train", "photos", "--devices", "2"]``.
        count: number of processes.
        program: program that takes the arguments.

    Returns:
        Exit code of the first process, which prints its own errors; 128 + n for signal n.

    Raises:
        CongealError: another process failed; the message has its last line.
    """
    with ExitStack() as stack:
        outputs = [stack.enter_context(tempfile.TemporaryFile("w+")) for _ in range(count)]
        port = _free_port()
        running = [
            _start([*program, *words], rank, count, port, outputs[rank]) for rank in range(count)
        ]
        stack.callback(_end, running)
        with _Forwarding(running) as forwarding:
            failed = _wait(running, forwarding)
        code = int(running[0].returncode)
        if failed is None or (failed == 0 and code > 0 and code != LOST):
            return 128 - code if code < 0 else code
        raise CongealError(_reason(failed, running[failed], outputs[failed], count))


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _start(
    words: Sequence[str], rank: int, count: int, port: int, output: IO[str]
) -> subprocess.Popen[bytes]:
    """Start one process; stderr of all ranks but 0 goes to a file, for the error message."""
    threads = max(1, (os.cpu_count() or 1) // count)
    environment = {
        "OMP_NUM_THREADS": str(threads),
        "TORCH_CPP_LOG_LEVEL": "ERROR",  # users cannot act on the warnings
        **os.environ,
        LAUNCHED: "1",
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "GROUP_RANK": "0",
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    return subprocess.Popen(
        words,
        env=environment,
        stdin=subprocess.DEVNULL,
        stderr=None if rank == 0 else output,
        start_new_session=True,  # so that Ctrl-C arrives once, from the launcher
    )


class _Forwarding:
    """Context that forwards SIGINT and SIGTERM to processes."""

    NUMBERS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, running: Sequence[subprocess.Popen[bytes]]) -> None:
        self.running = running
        self.signalled = False  # a signal was forwarded

    def __enter__(self) -> _Forwarding:
        self.before = {number: signal.signal(number, self._forward) for number in self.NUMBERS}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _forward(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.signalled = True
        for process in self.running:
            if process.poll() is None:
                process.send_signal(number)


def _wait(running: Sequence[subprocess.Popen[bytes]], forwarding: _Forwarding) -> int | None:
    """Wait until all processes end; return the rank of the one that failed first.

    None: all succeeded, or a signal was forwarded. A process that only lost another one (LOST) is
    returned last, because it did not fail by itself.
    """
    while True:
        codes = [process.poll() for process in running]
        failed = [rank for rank, code in enumerate(codes) if code]
        if None not in codes and (forwarding.signalled or not failed):
            return None
        if failed and not forwarding.signalled:
            _await_others(running)
            first = [rank for rank in failed if running[rank].returncode != LOST]
            later = [r for r, process in enumerate(running) if process.returncode not in (0, LOST)]
            return (first or later or failed)[0]
        time.sleep(POLL)


def _await_others(running: Sequence[subprocess.Popen[bytes]]) -> None:
    """Give the other processes GRACE seconds to end; kill those left and set their code to LOST."""
    deadline = time.monotonic() + GRACE
    while time.monotonic() < deadline and any(process.poll() is None for process in running):
        time.sleep(POLL)
    left = [process for process in running if process.poll() is None]
    _end(left)
    for process in left:
        process.returncode = LOST


def _end(running: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in running:
        if process.poll() is None:
            process.kill()
            process.wait()


def _reason(rank: int, process: subprocess.Popen[bytes], output: IO[str], count: int) -> str:
    """Error message of one line for a process that failed."""
    code = process.returncode
    if code < 0:
        name = signal.Signals(-code).name
        memory = ", possibly out of memory" if code == -getattr(signal, "SIGKILL", 9) else ""
        return (
            f"process {rank + 1} of {count} was killed by {name}{memory}; all have ended, "
            "--resume continues from the last checkpoint"
        )
    output.seek(0)
    lines = output.read().strip().splitlines()
    if code == LOST:
        return (
            f"process {rank + 1} of {count} lost its connection to the others; --resume continues "
            "from the last checkpoint"
        )
    message = lines[-1].removeprefix("error: ") if lines else f"exit code {code}"
    return f"process {rank + 1} of {count}: {message}"
