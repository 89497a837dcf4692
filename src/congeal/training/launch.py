"""Starting the processes of a training on one machine, and ending all of them with the first."""

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
LOST = 75  # exit code of a process that misses another one: not itself to blame
LAUNCHED = "CONGEAL_LAUNCHED"  # environment variable: the launcher says why all ended
GRACE = 10.0  # seconds for the others to notice that a process is gone
POLL = 0.1  # seconds


def devices_wanted(settings: Mapping[str, Any]) -> int:
    """Number of processes that settings ask for on one machine; 1 where they name several machines.

    Args:
        settings: by path, by name or by section, as of :func:`congeal.train`.

    Example:
        >>> devices_wanted({"training.devices": 2}), devices_wanted({"devices": 2, "nodes": 2})
        (2, 1)
    """
    asked = training_settings(settings, "devices", "nodes")
    config = TrainConfig.from_settings(asked)
    return config.devices if config.nodes == 1 else 1


def check_devices(count: int, device: str = "auto") -> None:
    """Refuse to start more processes than this machine has GPUs, or cores where it has none.

    Two processes start on any CPU: that is slow, but tells how a training in parts behaves.

    Args:
        count: of processes.
        device: of the training.

    Raises:
        CongealError: there are too many.

    Example:
        >>> check_devices(2, "cpu")
    """
    import torch

    gpus = 0 if device == "cpu" else torch.cuda.device_count()
    most, what = (gpus, "GPUs") if gpus else (max(2, os.cpu_count() or 1), "CPU processes")
    if count > most:
        raise CongealError(
            f"expected --devices (devices= in Python) of at most {most} {what} here, got {count}"
        )


def launch(words: Sequence[str], count: int, program: Sequence[str] = PROGRAM) -> int:
    """Run a command of congeal in several processes of this machine that train together.

    Ctrl-C and SIGTERM are passed on to all of them. When one fails, the others are ended.

    Args:
        words: the command, such as ``["train", "photos", "--devices", "2"]``.
        count: of processes.
        program: that takes the command.

    Returns:
        The exit code.

    Raises:
        CongealError: a process failed that is not the first, which speaks for itself.
    """
    with ExitStack() as stack:
        spoken = [stack.enter_context(tempfile.TemporaryFile("w+")) for _ in range(count)]
        port = _free_port()
        running = [
            _start([*program, *words], place, count, port, spoken[place]) for place in range(count)
        ]
        stack.callback(_end, running)
        with _Forwarding(running) as forwarding:
            guilty = _wait(running, forwarding)
        code = int(running[0].returncode)
        if guilty is None or (guilty == 0 and code > 0 and code != LOST):
            return 128 - code if code < 0 else code  # as a shell tells of a signal
        raise CongealError(_reason(guilty, running[guilty], spoken[guilty], count))


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _start(
    words: Sequence[str], place: int, count: int, port: int, spoken: IO[str]
) -> subprocess.Popen[bytes]:
    """Start one process; what others than the first say is kept for the end."""
    threads = max(1, (os.cpu_count() or 1) // count)
    environment = {
        "OMP_NUM_THREADS": str(threads),
        "TORCH_CPP_LOG_LEVEL": "ERROR",  # of warnings that only a programmer can act on
        **os.environ,
        LAUNCHED: "1",
        "RANK": str(place),
        "LOCAL_RANK": str(place),
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
        stderr=None if place == 0 else spoken,
        start_new_session=True,  # Ctrl-C comes by way of the launcher, once
    )


class _Forwarding:
    """Passes signals on to processes while it is in force."""

    NUMBERS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, running: Sequence[subprocess.Popen[bytes]]) -> None:
        self.running = running
        self.asked = False

    def __enter__(self) -> _Forwarding:
        self.before = {number: signal.signal(number, self._pass_on) for number in self.NUMBERS}
        return self

    def __exit__(self, *error: object) -> None:
        for number, usual in self.before.items():
            signal.signal(number, usual)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.asked = True
        for one in self.running:
            if one.poll() is None:
                one.send_signal(number)


def _wait(running: Sequence[subprocess.Popen[bytes]], forwarding: _Forwarding) -> int | None:
    """Wait for the end; the number of the process that failed first, unless all were stopped."""
    while True:
        codes = [one.poll() for one in running]
        failed = [place for place, code in enumerate(codes) if code]
        if None not in codes and (forwarding.asked or not failed):
            return None
        if failed and not forwarding.asked:
            _await_others(running)
            guilty = [place for place in failed if running[place].returncode != LOST]
            late = [place for place, one in enumerate(running) if one.returncode not in (0, LOST)]
            return (guilty or late or failed)[0]
        time.sleep(POLL)


def _await_others(running: Sequence[subprocess.Popen[bytes]]) -> None:
    """Let the others notice that one is gone, then end them; they keep their exit codes."""
    ends = time.monotonic() + GRACE
    while time.monotonic() < ends and any(one.poll() is None for one in running):
        time.sleep(POLL)
    left = [one for one in running if one.poll() is None]
    _end(left)
    for one in left:
        one.returncode = LOST


def _end(running: Sequence[subprocess.Popen[bytes]]) -> None:
    for one in running:
        if one.poll() is None:
            one.kill()
            one.wait()


def _reason(place: int, process: subprocess.Popen[bytes], spoken: IO[str], count: int) -> str:
    """Say in a line why a process failed."""
    code = process.returncode
    if code < 0:
        name = signal.Signals(-code).name
        memory = ", possibly out of memory" if code == -getattr(signal, "SIGKILL", 9) else ""
        return (
            f"process {place + 1} of {count} was killed by {name}{memory}; all have ended, "
            "--resume goes on from the last checkpoint"
        )
    spoken.seek(0)
    lines = spoken.read().strip().splitlines()
    if code == LOST:
        return f"process {place + 1} of {count} lost the others; --resume goes on from there"
    said = lines[-1].removeprefix("error: ") if lines else f"exit code {code}"
    return f"process {place + 1} of {count}: {said}"
