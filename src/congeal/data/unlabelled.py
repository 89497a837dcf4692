"""Reader of a folder of images without masks, for unsupervised methods."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from congeal.data.images import image_files, read_image
from congeal.data.sample import Dataset, Sample
from congeal.data.split import split_folders
from congeal.errors import CongealError
from congeal.labels import VOID

__all__ = ["UnlabelledDataset", "find_images"]

# A folder with one of these is meant to have labels, so missing masks are an error.
ANNOTATION_NAMES = ("masks", "labels", "annotations", "classes.csv")


def find_images(root: Path) -> list[Path]:
    """List the images of a folder without annotations, or of its subfolder ``images``.

    Args:
        root: the folder.

    Returns:
        Image files; empty for a folder with annotations or without images.

    Example:
        >>> find_images(Path("nowhere"))
        []
    """
    home = root / "images" if (root / "images").is_dir() else root
    if not home.is_dir() or any((root / name).exists() for name in ANNOTATION_NAMES):
        return []
    inside = split_folders(home)
    return image_files(inside.get("train", home))


class UnlabelledDataset(Dataset):
    """Images of a folder without annotations; all labels are void.

    Args:
        root: folder of images, or its parent with a folder ``images``; of split folders only the
            training split is read.
        unlabelled_reason: error message for code that needs labels; None: a default.

    Raises:
        CongealError: the folder has no images.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> root = Path(tempfile.mkdtemp())
        >>> Image.new("L", (5, 4)).save(root / "a.png")
        >>> int(UnlabelledDataset(root)[0].labels.max())
        -1
    """

    protocol = "miou"

    def __init__(self, root: str | Path, unlabelled_reason: str = "") -> None:
        self.name, self.split = str(root), "train"
        default = f"expected masks for the images of {root}, found none"
        self.unlabelled_reason = unlabelled_reason or default
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
        """Names of the images, without suffix."""
        return [path.stem for path in self.files]
