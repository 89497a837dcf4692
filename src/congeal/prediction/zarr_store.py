"""A store of OME-Zarr that holds labels: written beside its place, with coarser copies."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from congeal.errors import CongealError
from congeal.prediction.provenance import OTHER_FOLDER, OVERWRITE_OR_MOVE

__all__ = ["CHUNK", "Levels", "refuse_to_replace", "write_store"]

CHUNK = 1024  # pixels of a side
COARSEST = 512  # pixels: no copy is smaller than half of it
NAME = "congeal"
OWN = {"zarr.json", "labels"}  # what a store of labels has in it


class Levels:
    """The arrays of a label image, each of half the height and width of the one before.

    Planes of a volume are as many in each. Copies hold every second pixel of a row and column.

    Args:
        group: of Zarr, where the arrays are made.
        shape: of the finest, ``(H, W)`` or ``(Z, H, W)``.
    """

    def __init__(self, group: Any, shape: Sequence[int]) -> None:
        self.arrays = [_array(group, 0, tuple(shape))]
        while max(shape[-2:]) > COARSEST:
            shape = (*shape[:-2], *(-(-side // 2) for side in shape[-2:]))
            self.arrays.append(_array(group, len(self.arrays), tuple(shape)))

    @property
    def finest(self) -> Any:
        """The array of full resolution."""
        return self.arrays[0]

    def coarsen(self) -> None:
        """Fill the coarser copies of an image from the finest."""
        for fine, coarse in zip(self.arrays, self.arrays[1:], strict=False):
            for top in range(0, coarse.shape[0], CHUNK):
                rows = fine[2 * top : 2 * (top + CHUNK) : 2]
                coarse[top : top + CHUNK] = rows[:, ::2]

    def set_plane(self, number: int, plane: Any) -> None:
        """Write a plane of a volume into all arrays."""
        for level, array in enumerate(self.arrays):
            array[number] = plane[:: 2**level, :: 2**level]

    def metadata(self, source: str, sides: Sequence[float | None]) -> dict[str, Any]:
        """What OME-Zarr tells of the label image.

        Args:
            source: of the image that was segmented.
            sides: micrometres of a pixel along each axis; None where not known.
        """
        count, names = len(self.finest.shape), "zyx"
        axes = [
            {"name": name, "type": "space", **({} if side is None else {"unit": "micrometer"})}
            for name, side in zip(names[-count:], sides, strict=True)
        ]
        steps = [1.0 if side is None else side for side in sides]
        datasets = [
            {
                "path": str(level),
                "coordinateTransformations": [
                    {"type": "scale", "scale": [*steps[:-2], *(s * 2**level for s in steps[-2:])]}
                ],
            }
            for level in range(len(self.arrays))
        ]
        return {
            "version": "0.5",
            "multiscales": [{"name": NAME, "axes": axes, "datasets": datasets}],
            "image-label": {"source": {"image": source}},
        }


def _array(group: Any, number: int, shape: tuple[int, ...]) -> Any:
    chunks = (*(1 for _ in shape[:-2]), *(min(side, CHUNK) for side in shape[-2:]))
    names = tuple("zyx"[-len(shape) :])
    return group.create_array(
        str(number), shape=shape, chunks=chunks, dtype="uint32", dimension_names=names
    )


def write_store(output: Path, fill: Callable[[Any], int]) -> int:
    """Write a store beside its place, and move it there when it is whole.

    Args:
        output: of the store; what is there is replaced.
        fill: writes the group of the label image, and gives the number of objects.

    Raises:
        CongealError: it cannot be written.
    """
    import zarr

    temporary = output.with_name(f".{output.name}.part")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        root = zarr.open_group(str(temporary), mode="w", zarr_format=3)
        root.attrs["ome"] = {"version": "0.5"}
        labels = root.create_group("labels")
        labels.attrs["ome"] = {"version": "0.5", "labels": [NAME]}
        count = fill(labels.create_group(NAME))
        shutil.rmtree(output, ignore_errors=True)
        os.replace(temporary, output)
    except OSError as error:
        raise CongealError(f"cannot write {output}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return count


def refuse_to_replace(output: Path, overwrite: bool) -> None:
    """Refuse to replace anything, unless asked to, and what is no store of labels in any case.

    Raises:
        CongealError: something is in the way.
    """
    if os.path.lexists(output) and not overwrite:
        raise CongealError(f"expected no file at {output}, there is one: {OVERWRITE_OR_MOVE}")
    strange = {path.name for path in output.iterdir()} - OWN if output.is_dir() else {output.name}
    labels = output / "labels"
    if labels.is_dir():
        strange |= {path.name for path in labels.iterdir()} - {NAME, "zarr.json"}
    if os.path.lexists(output) and strange:
        raise CongealError(
            f"expected labels of an earlier run in {output}, which --overwrite would remove with "
            f"all that is in it, found {min(strange)}: {OTHER_FOLDER}"
        )
