"""Checkpoints that are on the disk whole or not at all."""

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

SECONDS = "congeal_seconds"
PREPARED = "congeal_prepared"  # seconds of making ready
RESERVE = "congeal_reserve"  # seconds kept for what comes after the last step
OPTIMIZER = "congeal_optimizer"
STAGE = "congeal_stage"
RUN = "congeal_run"  # data and settings, as plain values
ADVICE = "remove it to train anew"


class WholeCheckpoints(TorchCheckpointIO):
    """Writes each checkpoint beside the last one and renames it; reads nothing but plain values.

    Lightning's own goes by way of the system's temporary folder, from where a file is copied when
    that is another disk: a kill, or a disk that fills, would leave half a checkpoint.

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
            CongealError: it cannot be written; the one there before is still whole.
        """
        del storage_options
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            try:
                torch.save(checkpoint, file)
            except RuntimeError as error:  # a full disk arrives as this, around the OSError
                raise _root(error) from error

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint, onto the CPU.

        Raises:
            CongealError: the file is cut short, or holds something else.
        """
        del map_location, weights_only  # nothing but tensors and plain values is ever read
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
            raise CongealError(f"cannot read {path}: {error.strerror}") from error
        except Exception as error:
            raise CongealError(
                f"expected a checkpoint in {path}, it is cut short or foreign; {ADVICE}"
            ) from error
        if not isinstance(content, dict) or SECONDS not in content:
            raise CongealError(f"expected a checkpoint of congeal in {path}; {ADVICE}")
        return content


def _root(error: BaseException) -> OSError:
    """The OSError that an error comes from, or one that says the same."""
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
    """Refuse a checkpoint of another model, or of another optimiser.

    Args:
        found: tensors of the checkpoint.
        wanted: tensors of the model to be trained.
        optimizers: name in the checkpoint, and name wanted.
        variable: names of tensors that may have another shape.

    Raises:
        CongealError: they differ.

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
            f"expected the settings of the training to resume, the model differs in {len(differ)} "
            f"tensors, such as {differ[0]}"
        )
    if optimizers[0] != optimizers[1]:
        raise CongealError(
            f"expected the settings of the training to resume, which has optimizer "
            f"{optimizers[0]}, got {optimizers[1]}"
        )


def require_same_run(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse to resume a training of other data or with other settings.

    Args:
        found: data and settings of the checkpoint, by name; empty for one of an earlier version.
        wanted: of this call.

    Raises:
        CongealError: a value differs; the first few are named.

    Example:
        >>> require_same_run({"training.batch_size": 8}, {"training.batch_size": 4})
        Traceback (most recent call last):
        ...
        congeal.errors.CongealError: expected the data and settings of the training to resume: \
training.batch_size was 8, is 4; name another folder for another training
    """
    differ = [name for name in wanted if name in found and found[name] != wanted[name]]
    if differ:
        some = ", ".join(f"{name} was {found[name]}, is {wanted[name]}" for name in differ[:3])
        raise CongealError(
            f"expected the data and settings of the training to resume: {some}; "
            "name another folder for another training"
        )
