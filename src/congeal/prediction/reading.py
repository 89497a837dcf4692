"""How the images of a run are read: channels, stacks, and the size of a pixel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from congeal.data.decode import count_pages
from congeal.data.images import Picture, read_picture, read_pictures
from congeal.data.pixel_size import read_pixel_size, read_plane_distance
from congeal.data.sample import Pixels
from congeal.errors import CongealError
from congeal.segmentation.planes import PlaneStitcher
from congeal.segmentation.scale import Scale
from congeal.segmentation.volume import VoxelSize

__all__ = ["STACKS", "Page", "Pages", "Reading", "list_pages", "read_page"]

STACKS = ("error", "planes", "time", "volume")
"""What to do with a file of several pages: refuse it, take each as an image, or all as a volume."""

_LETTERS = {"planes": "z", "time": "t"}


@dataclass(frozen=True)
class Reading:
    """How to read the images of a run.

    Args:
        channels: which channels to take, from 0, in this order; None: those of gray or RGB.
        stack: a name of :data:`STACKS`.
        pixel_size: micrometres per pixel; what each file tells when None.
        units: of tables, ``"px"`` or ``"um"``.
        stitch: overlap (IoU) from which objects of neighbouring planes of a volume are joined.
        plane_distance: micrometres between the planes of a volume; what each file tells when None.

    Raises:
        CongealError: one of them makes no sense.

    Example:
        >>> Reading(channels=(0, 2)).facts()
        {'channels': [0, 2]}
    """

    channels: tuple[int, ...] | None = None
    stack: str = "error"
    pixel_size: float | None = None
    units: str = "px"
    stitch: float = 0.25
    plane_distance: float | None = None

    def __post_init__(self) -> None:
        chosen = self.channels
        if chosen is not None and not (chosen and all(channel >= 0 for channel in chosen)):
            raise CongealError(
                f"expected channels from 0 up for --channels (channels= in Python), got "
                f"{list(chosen)!r:.80}"
            )
        if self.stack not in STACKS:
            raise CongealError(
                f"expected {', '.join(STACKS[:-1])} or {STACKS[-1]} for --stack (stack= in "
                f"Python), got {self.stack!r:.80}"
            )
        scale = Scale(1 if self.pixel_size is None else self.pixel_size, self.units)
        VoxelSize(scale, 1 if self.plane_distance is None else self.plane_distance)
        PlaneStitcher(self.stitch)

    def facts(self) -> dict[str, Any]:
        """The values that are not default, for the record."""
        usual = Reading()
        names = ("stack", "pixel_size", "units", "stitch", "plane_distance")
        told = {name: getattr(self, name) for name in names}
        facts = {name: value for name, value in told.items() if value != getattr(usual, name)}
        return facts if self.channels is None else {"channels": list(self.channels), **facts}

    def scale(self, path: Path) -> Scale:
        """Give the size of a pixel of a file.

        Raises:
            CongealError: the table is to be in micrometres, and the file tells no size.
        """
        size = read_pixel_size(path) if self.pixel_size is None else self.pixel_size
        try:
            return Scale(size, self.units)
        except CongealError as error:
            raise CongealError(f"{path}: {error}") from error

    def voxel_size(self, path: Path) -> VoxelSize:
        """Give the size of a voxel of a file.

        Raises:
            CongealError: the table is to be in micrometres, and the file does not tell both sizes.
        """
        scale, far = self.scale(path), self.plane_distance
        try:
            return VoxelSize(scale, read_plane_distance(path) if far is None else far)
        except CongealError as error:
            raise CongealError(f"{path}: {error}") from error


@dataclass(frozen=True)
class Page:
    """One image of a run: a file, or a page of one.

    Attributes:
        file: the file.
        number: of the page, from 0; None where the file is one image.
    """

    file: Path
    number: int | None = None


def list_pages(files: Sequence[Path], stack: str = "error") -> dict[Path, Page]:
    """List the images of files by name.

    A page of ``scan.tif`` is called ``scan_z001.tif`` (``planes``) or ``scan_t001.tif``
    (``time``), numbered from 1 as in ImageJ.

    Raises:
        CongealError: a file has the name that a page would have.

    Example:
        >>> list_pages([Path("cell.png")], "planes")
        {PosixPath('cell.png'): Page(file=PosixPath('cell.png'), number=None)}
    """
    pages: dict[Path, Page] = {}
    for file in files:
        count = count_pages(file) if stack in _LETTERS else 1
        if count == 1:
            pages[file] = Page(file)
            continue
        digits = max(3, len(str(count)))
        for number in range(count):
            tail = f"_{_LETTERS[stack]}{number + 1:0{digits}d}"
            named = file.with_name(f"{file.stem}{tail}{file.suffix}")
            if named.exists():
                raise CongealError(
                    f"{named} is there, and page {number + 1} of {file} would be called so: "
                    "rename one"
                )
            pages[named] = Page(file, number)
    return pages


def read_page(page: Page, channels: Sequence[int] | None = None) -> Pixels:
    """Read an image `(H, W, C)` by itself, as another process does.

    Raises:
        CongealError: as of :func:`congeal.data.read_image`.
    """
    if page.number is None:
        return read_picture(page.file, channels).pixels
    return read_pictures(page.file, channels)[page.number].pixels


@dataclass
class Pages:
    """Reads the images of a run, and counts what was left out, such as alpha channels.

    Args:
        of: the images by name.
        reading: how to read them.
    """

    of: dict[Path, Page]
    reading: Reading
    left_out: Counter[str] = field(default_factory=Counter)
    _opened: tuple[Path, Sequence[Picture]] | None = None

    def file(self, named: Path) -> Path:
        """Give the file that an image is in."""
        return self.of[named].file

    def read(self, named: Path) -> Picture:
        """Read an image; a file of several pages stays open until another one is read.

        Raises:
            CongealError: as of :func:`congeal.data.read_image`.
        """
        page, channels = self.of[named], self.reading.channels
        if page.number is None:
            picture = read_picture(page.file, channels)
        else:
            if self._opened is None or self._opened[0] != page.file:
                self._opened = page.file, read_pictures(page.file, channels)
            picture = self._opened[1][page.number]
        if picture.note:
            self.left_out[picture.note] += 1
        return picture

    def planes(self, named: Path) -> Iterator[NDArray[Any]]:
        """Read the planes of a volume one after another.

        Raises:
            CongealError: as of :func:`congeal.data.read_image`.
        """
        for number, picture in enumerate(read_pictures(self.file(named), self.reading.channels)):
            if number == 0 and picture.note:
                self.left_out[picture.note] += 1
            yield picture.pixels

    def notes(self) -> list[str]:
        """Notes on what was left out, a line for each kind."""
        return [
            f"{note} of {count} image{'s' * (count > 1)}" for note, count in self.left_out.items()
        ]
