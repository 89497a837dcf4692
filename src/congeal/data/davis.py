"""Reader of DAVIS: videos with every object annotated in every frame."""

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
    """Frames of DAVIS 2017, or of DAVIS 2016 if only its lists exist.

    Objects keep their numbers throughout a video. The value 255 is void in 2017, and the single
    annotated object in 2016. A frame is named ``VIDEO__NUMBER``.

    Args:
        root: the folder with ``JPEGImages``, ``Annotations`` and ``ImageSets``.
        split: ``"train"``, ``"val"`` or ``"all"``.
        seed: of the hash split; not used where the split lists exist.
        name: of the dataset; None: its path.

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
        self.has_void = (self.root / "ImageSets" / "2017").is_dir()

    @classmethod
    def find(cls, path: Path) -> Path | None:
        """The folder with ``JPEGImages``, ``Annotations`` and ``ImageSets``."""
        return first_folder(path, ("", "DAVIS"), ("JPEGImages", "Annotations", "ImageSets"))

    @classmethod
    def list_pairs(cls, home: Path) -> dict[str, list[Pair]]:
        """All frames of the videos in the split lists."""
        size = next((s for s in _SIZES if (home / "JPEGImages" / s).is_dir()), "")
        years = (home / "ImageSets" / year for year in ("2017", "2016", size))
        lists = next((folder for folder in years if (folder / "train.txt").is_file()), home)
        parts = {part: lists / f"{part}.txt" for part in ("train", "val")}
        return {
            part: [pair for video in _videos(path) for pair in _frames(home, size, video)]
            for part, path in parts.items()
            if path.is_file()
        }

    def read(self, pair: Pair) -> Sample:
        """Read a frame and its object labels."""
        image, labels = read_image(pair.image), read_labels(pair.mask)
        check_sizes(image.shape[:2], pair.image, labels.shape, pair.mask)
        labels[labels == 255] = -1 if self.has_void else 1
        return Sample(pair.name, image, labels, pair.image)


def _videos(path: Path) -> list[str]:
    """The videos of a list, which names videos (2017) or all their frames (2016)."""
    words = [line.split()[0] for line in read_list(path)]
    videos = [PurePosixPath(word).parent.name if "/" in word else word for word in words]
    return list(dict.fromkeys(videos))


def _frames(home: Path, size: str, video: str) -> list[Pair]:
    images, masks = home / "JPEGImages" / size / video, home / "Annotations" / size / video
    if not images.is_dir():  # reading this frame raises an error that names the file
        return [Pair(f"{video}__00000", images / "00000.jpg", masks / "00000.png")]
    files = image_files(images)
    return [Pair(f"{video}__{path.stem}", path, masks / f"{path.stem}.png") for path in files]
