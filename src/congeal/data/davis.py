"""DAVIS: films with every object marked in every frame."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import ClassVar

from congeal.data.images import image_files, read_image, read_labels
from congeal.data.pairs import Pair, check_sizes
from congeal.data.sample import Sample
from congeal.data.standard import StandardDataset, first_folder, read_list

__all__ = ["DavisDataset"]

_SIZES = ("480p", "Full-Resolution", "1080p")


class DavisDataset(StandardDataset):
    """Frames of DAVIS 2017, or of 2016 where its lists are the only ones.

    Objects keep their numbers throughout a film. In 2017 255 is void; in 2016, where one object
    is marked, it is that object. A frame is named ``FILM__NUMBER``.

    Args:
        root: the folder with ``JPEGImages``, ``Annotations`` and ``ImageSets``.
        split: ``"train"``, ``"val"`` or ``"all"``.
        seed: not used where the lists are there.
        name: what to call the dataset; its path when None.

    Raises:
        CongealError: the folder does not hold the dataset, or a file cannot be used.

    Example:
        >>> DavisDataset.protocol
        'davis'
    """

    layout: ClassVar[str] = "DAVIS (JPEGImages, Annotations and ImageSets)"
    protocol = "davis"
    other_protocols = ("matching",)

    def __init__(
        self, root: str | Path, split: str = "all", *, seed: int = 0, name: str | None = None
    ) -> None:
        super().__init__(root, split, seed=seed, name=name)
        self.many = (self.root / "ImageSets" / "2017").is_dir()

    @classmethod
    def find(cls, path: Path) -> Path | None:
        """The folder of the three, ``DAVIS`` in the archive."""
        return first_folder(path, ("", "DAVIS"), ("JPEGImages", "Annotations", "ImageSets"))

    @classmethod
    def list_pairs(cls, home: Path) -> dict[str, list[Pair]]:
        """All frames of the films that the lists name."""
        size = next((s for s in _SIZES if (home / "JPEGImages" / s).is_dir()), "")
        years = (home / "ImageSets" / year for year in ("2017", "2016", size))
        lists = next((folder for folder in years if (folder / "train.txt").is_file()), home)
        parts = {part: lists / f"{part}.txt" for part in ("train", "val")}
        return {
            part: [pair for film in _films(path) for pair in _frames(home, size, film)]
            for part, path in parts.items()
            if path.is_file()
        }

    def read(self, pair: Pair) -> Sample:
        """Read a frame and its objects."""
        image, labels = read_image(pair.image), read_labels(pair.mask)
        check_sizes(image.shape[:2], pair.image, labels.shape, pair.mask)
        labels[labels == 255] = -1 if self.many else 1
        return Sample(pair.name, image, labels, pair.image)


def _films(path: Path) -> list[str]:
    """The films of a list; that of 2016 names every frame of them."""
    words = [line.split()[0] for line in read_list(path)]
    films = [PurePosixPath(word).parent.name if "/" in word else word for word in words]
    return list(dict.fromkeys(films))


def _frames(home: Path, size: str, film: str) -> list[Pair]:
    images, masks = home / "JPEGImages" / size / film, home / "Annotations" / size / film
    if not images.is_dir():  # told when the frame is asked for
        return [Pair(f"{film}__00000", images / "00000.jpg", masks / "00000.png")]
    files = image_files(images)
    return [Pair(f"{film}__{path.stem}", path, masks / f"{path.stem}.png") for path in files]
