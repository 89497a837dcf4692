"""Checkpoints: atomic writing, safe reading, and checks before a training is resumed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from torch import Tensor

from congeal.errors import CongealError
from congeal.files import atomic_path

__all__ = [
    "OPTIMIZER",
    "PREPARED",
    "RESERVE",
    "RUN",
    "SECONDS",
    "STAGE",
    "WholeCheckpoints",
    "require_fit",
    "require_same_run",
]

# Keys of a checkpoint beside those of Lightning.
SECONDS = "congeal_seconds"  # from the first to the last update step
PREPARED = "congeal_prepared"  # seconds before the first update step
RESERVE = "congeal_reserve"  # seconds kept for what follows the last update step
OPTIMIZER = "congeal_optimizer"  # name
STAGE = "congeal_stage"  # state of the stages
RUN = "congeal_run"  # data and settings, as plain values
ADVICE = "delete it to start the training again"


class WholeCheckpoints(TorchCheckpointIO):
    """Writes checkpoints atomically and reads tensors and plain values only.

    A checkpoint is written next to the previous one and then renamed. Lightning's own class writes
    to the system's temporary folder first and copies from there if that is on another disk; a
    kill or a full disk would then leave half a checkpoint.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "last.ckpt"
        >>> WholeCheckpoints().save_checkpoint({"congeal_seconds": 2.0, "state_dict": {}}, path)
        >>> WholeCheckpoints().load_checkpoint(path)["congeal_seconds"]
        2.0
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint.

        Raises:
            CongealError: the file cannot be written; the previous checkpoint is unchanged.
        """
        del storage_options
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            try:
                torch.save(checkpoint, file)
            except RuntimeError as error:  # PyTorch wraps the OSError of a full disk
                raise _os_error(error) from error

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint onto the CPU.

        Raises:
            CongealError: the file cannot be read, is cut short, or is no checkpoint of congeal.
        """
        del map_location, weights_only  # always the CPU, always tensors and plain values only
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
            raise CongealError(f"cannot read {path}: {error.strerror}") from error
        except Exception as error:
            raise CongealError(
                f"expected a checkpoint in {path}, got a file that is cut short or of another "
                f"kind; {ADVICE}"
            ) from error
        if not isinstance(content, dict) or SECONDS not in content:
            raise CongealError(f"expected a checkpoint of congeal in {path}; {ADVICE}")
        return content


def _os_error(error: BaseException) -> OSError:
    """The OSError in the context of an error, or a new one with the same message."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__context__
    return cause if cause is not None else OSError(str(error).splitlines()[0])


def require_fit(
    found: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    optimizers: tuple[str, str],
    variable: Collection[str] = (),
) -> None:
    """Check that a checkpoint is of the same network and optimiser.

    Args:
        found: tensors of the checkpoint by name.
        wanted: tensors of the model to train by name.
        optimizers: name of the optimiser in the checkpoint, and of the one to train with.
        variable: names of tensors whose shape may differ.

    Raises:
        CongealError: names, shapes or optimisers differ.

    Example:
        >>> require_fit({"a": torch.zeros(2)}, {"a": torch.ones(2)}, ("sgd", "sgd"))
    """
    differ = sorted(
        name
        for name in set(found) | set(wanted)
        if name not in found
        or name not in wanted
        or (name not in variable and found[name].shape != wanted[name].shape)
    )
    if differ:
        raise CongealError(
            "expected the settings of the training to resume, got a model that differs in "
            f"{len(differ)} tensors, such as {differ[0]}"
        )
    if optimizers[0] != optimizers[1]:
        raise CongealError(
            f"expected the optimizer of the training to resume, {optimizers[0]}, "
            f"got {optimizers[1]}"
        )


def require_same_run(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Check that a checkpoint is of a training with the same data and settings.

    Args:
        found: data and settings in the checkpoint by name; empty in files of earlier versions.
        wanted: data and settings of this training.

    Raises:
        CongealError: a value differs; up to three are named.

    Example:
        >>> require_same_run({"training.batch_size": 8}, {"training.batch_size": 4})
        Traceback (most recent call last):
        ...
        congeal.errors.CongealError: expected the data and settings of the training to resume: \
training.batch_size was 8, is 4; name another folder for another training
    """
    differ = [name for name in wanted if name in found and found[name] != wanted[name]]
    if differ:
        examples = ", ".join(f"{name} was {found[name]}, is {wanted[name]}" for name in differ[:3])
        raise CongealError(
            f"expected the data and settings of the training to resume: {examples}; "
            "name another folder for another training"
        )
