"""Computing the tiles of the images of a run, and keeping those that are done.

A large image has its own folder in ``tiles`` until its results are written. A stopped run
continues from there, and several processes may share the work.
"""

from __future__ import annotations

import shutil
import tempfile
from bisect import bisect_right
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from congeal.data.resized import ResizedImage
from congeal.errors import CongealError
from congeal.methods.maps import ImageStatistics
from congeal.prediction.blocks import save_block, segment_block
from congeal.prediction.executors import Executor, Serial
from congeal.prediction.lazy_model import LazyModel
from congeal.prediction.ledger import Ledger, open_ledger
from congeal.prediction.seams import Seams
from congeal.prediction.stitching import stitch
from congeal.prediction.tiled import Tiling, restore_size, segment_whole
from congeal.prediction.tiles import TilePlan
from congeal.segmentation import Segmentation

__all__ = ["TILES", "TileSource", "TileWork", "parse_part"]

TILES = "tiles"  # folder in the output that holds finished tiles of unfinished images


@dataclass(frozen=True)
class TileSource:
    """Where the image of a set of tiles comes from.

    Attributes:
        name: of its results.
        read: gives `(H, W, C)`; called again in other processes.
        key: everything the tiles depend on; None for a model in memory, whose tiles are not kept.
        factor: by how much the image is resized for the model.
    """

    name: str
    read: Callable[[], Any]
    key: Mapping[str, Any] | None = None
    factor: float = 1.0

    def resized(self, image: Any) -> Any:
        """The image, resized by the factor."""
        return image if self.factor == 1 else ResizedImage(image, self.factor)

    def read_resized(self) -> Any:
        """Read the image and resize it."""
        return self.resized(self.read())


@dataclass(frozen=True)
class TileWork:
    """Computes the tiles of the images of a run.

    Args:
        folder: of all tiles.
        tiling: how images are cut.
        executor: of the tiles.
        part: ``(i, n)`` of a job array: compute part i of n, counted from 1, and no result.
        merge: compute no tile; all parts are done.
    """

    folder: Path
    tiling: Tiling = field(default_factory=Tiling)
    executor: Executor = field(default_factory=Serial)
    part: tuple[int, int] | None = None
    merge: bool = False

    def __post_init__(self) -> None:
        if self.part is not None and self.merge:
            raise CongealError(
                "expected --block or --merge (block= or merge= in Python), got both: --merge "
                "comes when all blocks are done"
            )

    def segment(
        self, model: LazyModel, image: NDArray[Any], source: TileSource
    ) -> tuple[Segmentation, Seams] | None:
        """Segment an image, whole or in tiles; None for a part of a job array.

        Raises:
            CongealError: tiles are missing for a merge, or computing them fails.
        """
        size, shown = (image.shape[0], image.shape[1]), source.resized(image)
        if self.tiling.is_whole(model.get(), shown.shape[:2]):
            return self._whole(model, shown, size)
        with self.ledger(model, shown, source) as ledger:
            if len(ledger.plan.blocks) == 1:
                return self._whole(model, shown, size)
            self.compute_all(model, [(shown, source, ledger)])
            if self.part:
                return None
            return restore_size(stitch(ledger.folder, ledger.plan), size)

    def forget(self, name: str) -> None:
        """Remove the tiles of an image whose results are written."""
        shutil.rmtree(self.folder / name, ignore_errors=True)
        with suppress(OSError):  # not empty: other images have tiles
            self.folder.rmdir()

    def _whole(
        self, model: LazyModel, shown: Any, size: tuple[int, int]
    ) -> tuple[Segmentation, Seams] | None:
        # An image that is not cut is not worth a part: the merge segments it.
        return None if self.part else segment_whole(model.get(), shown, size)

    @contextmanager
    def ledger(self, model: LazyModel, shown: Any, source: TileSource) -> Iterator[Ledger]:
        """Open the ledger of a resized image."""

        def prepare() -> tuple[TilePlan, ImageStatistics | None]:
            return self.tiling.prepare(model.get(), shown)

        if source.key is not None:
            home = self.folder / source.name
            yield open_ledger(home, source.key, prepare, begin=not self.merge)
            return
        if self.part is not None or self.merge:
            raise CongealError(
                "expected a model by its folder or name for block= and merge=, got one in memory"
            )
        with tempfile.TemporaryDirectory(prefix="congeal-") as folder:
            yield open_ledger(Path(folder), {}, prepare)

    def compute_all(
        self, model: LazyModel, items: Sequence[tuple[Any, TileSource, Ledger]]
    ) -> None:
        """Compute the tiles that are missing of one or several images, or those of this part.

        Args:
            model: the model.
            items: each image as it is shown, where it comes from, and its tiles.

        Raises:
            CongealError: tiles are missing for a merge, or computing them fails.
        """
        tasks, starts, wanted = [], [0], []
        for shown, source, ledger in items:
            wanted += [starts[-1] + one for one in self._missing(source, ledger)]
            starts.append(starts[-1] + len(ledger.plan.blocks))
            folder = ledger.folder.absolute()
            task = TileTask(model, source.read_resized, ledger.plan, ledger.statistics, folder)
            if isinstance(self.executor, Serial):
                task.__dict__["image"] = shown  # already read
            tasks.append(task)
        if self.part is not None:
            number, count = self.part
            wanted = [one for one in wanted if one % count == number - 1]
        done = self.executor.run(ManyTiles(tuple(tasks), tuple(starts)), wanted)
        try:
            for _ in done:
                pass
        finally:  # after Ctrl-C, drop what waits now, not when the generator is collected
            if isinstance(done, Generator):
                done.close()

    def _missing(self, source: TileSource, ledger: Ledger) -> list[int]:
        missing = ledger.missing()
        if self.merge and missing:
            raise CongealError(
                f"expected all {len(ledger.plan.blocks)} tiles of {source.name}, {len(missing)} "
                f"are missing in {ledger.folder}: run their --block again, or leave --merge out"
            )
        return missing


@dataclass(frozen=True)
class TileTask:
    """Computes the tile of a number and writes its file.

    Args:
        model: the model.
        read: gives the image.
        plan: of the tiles.
        statistics: of the whole image.
        folder: of the files.
    """

    model: LazyModel
    read: Callable[[], Any]
    plan: TilePlan
    statistics: ImageStatistics | None
    folder: Path

    @cached_property
    def image(self) -> Any:
        """The image, read once in a process."""
        return self.read()

    def __call__(self, number: int) -> int:
        """Compute a tile."""
        found = segment_block(self.model.get(), self.image, self.plan, number, self.statistics)
        save_block(self.folder, number, found)
        return number

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "image"}


@dataclass(frozen=True)
class ManyTiles:
    """Computes a tile of one of several images, whose tiles are numbered on.

    Args:
        tasks: of the images.
        starts: number of the first tile of each image, and one past the last of all.
    """

    tasks: tuple[TileTask, ...]
    starts: tuple[int, ...]

    def __call__(self, number: int) -> int:
        """Compute a tile."""
        place = bisect_right(self.starts, number) - 1
        self.tasks[place](number - self.starts[place])
        return number


def parse_part(text: str | None) -> tuple[int, int] | None:
    """Read ``i/n``, part i of n.

    Raises:
        CongealError: it is none.

    Example:
        >>> parse_part("3/8")
        (3, 8)
    """
    if text is None:
        return None
    number, _, count = text.partition("/")
    short = len(text) < 20  # int() refuses thousands of digits in its own way
    numbers = short and number.isdecimal() and count.isdecimal()
    if not (numbers and 1 <= int(number) <= int(count)):
        raise CongealError(f"expected --block as I/N, such as 1/8 to 8/8, got {text!r:.80}")
    return int(number), int(count)
