"""A folder of images without masks, for methods that learn from images alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from congeal.data.images import image_files, read_image
from congeal.data.sample import Dataset, Sample
from congeal.data.split import split_folders
from congeal.errors import CongealError
from congeal.labels import VOID

__all__ = ["UnlabelledDataset", "find_images"]

TRUTH = (
    "masks",
    "labels",
    "annotations",
    "classes.csv",
)  # a folder with these means to be labelled


def find_images(root: Path) -> list[Path]:
    """The images of a folder that holds images alone, or of its ``images``; none for other folders.

    Example:
        >>> find_images(Path("nowhere"))
        []
    """
    home = root / "images" if (root / "images").is_dir() else root
    if not home.is_dir() or any((root / name).exists() for name in TRUTH):
        return []
    inside = split_folders(home)
    return image_files(inside.get("train", home))


class UnlabelledDataset(Dataset):
    """Images of a folder; all of their pixels are void.

    Args:
        root: folder of images, or one with a folder ``images``; of that with splits, ``train``.
        lacks_truth: why there are no labels, as whoever needs them is told.

    Raises:
        CongealError: the folder holds no image.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> root = Path(tempfile.mkdtemp())
        >>> Image.new("L", (5, 4)).save(root / "a.png")
        >>> int(UnlabelledDataset(root)[0].labels.max())
        -1
    """

    protocol = "miou"

    def __init__(self, root: str | Path, lacks_truth: str = "") -> None:
        self.name, self.split = str(root), "train"
        self.lacks_truth = lacks_truth or f"expected masks for the images of {root}, found none"
        self.files = find_images(Path(root))
        if not self.files:
            raise CongealError(f"expected images in {root}, found none")

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Sample:
        path = self.files[index]
        image = read_image(path)
        return Sample(path.stem, image, np.full(image.shape[:2], VOID, np.int64), path)

    def names(self) -> list[str]:
        """Names of the images, without their endings."""
        return [path.stem for path in self.files]
