"""Changing the index of a saved model, without training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from congeal.errors import CongealError
from congeal.methods.index import Indexed, IndexedImage
from congeal.methods.method import Method
from congeal.models import shipped
from congeal.models.channels import open_for
from congeal.models.config import CARD, read_config
from congeal.models.folder import load, save_model

__all__ = ["edit_index"]


def edit_index(
    where: str | Path,
    *,
    add: Sequence[str] = (),
    drop: Sequence[str] = (),
    split: str = "all",
    device: str = "cpu",
    on_image: Callable[[int, int], None] = lambda done, total: None,
) -> list[IndexedImage]:
    """List the images of a model's index, after others were added or taken out.

    The folder is written anew only if something was to change, and whole or not at all.

    Args:
        where: folder of a model, or the name of a shipped one.
        add: datasets whose images are added, in place of those of the same name.
        drop: names of images to forget; done first.
        split: part of the datasets.
        device: where to compute.
        on_image: called with the number of images of a dataset done and their count.

    Raises:
        CongealError: the model keeps no index, came with congeal, or has no image of that name.

    Example:
        >>> import tempfile
        >>> from congeal.methods import find_method
        >>> model = find_method("segsort")(dimensions=4)
        >>> folder = save_model(model, tempfile.mkdtemp(), card="")
        >>> [row.name for row in edit_index(folder, add=["shapes:two"], split="val")][:2]
        ['val-00000', 'val-00001']
    """
    folder = shipped.locate(where)
    model = load(folder, device=device)
    if not isinstance(model, Indexed):
        raise CongealError(f"expected a model with an index of images, {model.name} keeps none")
    if add or drop:
        if folder.resolve().is_relative_to(shipped.SHIPPED.resolve()):
            raise CongealError(f"{folder.name} came with congeal and is left as it is")
        for name in drop:
            model.forget_image(name)
        for data in add:
            model.index_images(open_for(model, data, split), on_image)
        _store(model, folder, add, drop)
    return model.indexed_images()


def _store(model: Method, folder: Path, add: Sequence[str], drop: Sequence[str]) -> None:
    """Put the model in the place of that of the folder, with the same card."""
    config = read_config(folder)
    before = config.training.get("index", {})
    changes = {
        "added": [*before.get("added", ()), *add],
        "dropped": [*before.get("dropped", ()), *drop],
    }
    card = folder / CARD
    save_model(
        model,
        folder,
        card=card.read_text(encoding="utf-8") if card.is_file() else "",
        training={**config.training, "index": changes},
        metrics=config.metrics,
        half=bool(config.training.get("half")),
        what=config.what,
        licence=config.licence,
    )
