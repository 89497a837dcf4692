"""Editing the prototype index of a saved model: images are added or removed without training."""

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
    """Remove and add images of a model's index, and list the images it then has.

    The folder is written only if there is something to change, and atomically.

    Args:
        where: model folder, or the name of a shipped model.
        add: datasets whose images are added; they replace images of the same name.
        drop: names of images to remove, before images are added.
        split: split of the datasets.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"`` or ``"auto"``.
        on_image: called with the number of images of a dataset done and their total.

    Returns:
        A row for each image of the index.

    Raises:
        CongealError: the model has no index, is a shipped one that cannot be changed, or has no
            image of a name to remove.

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
        raise CongealError(f"expected a model with an index of images, {model.name} has none")
    if add or drop:
        if folder.resolve().is_relative_to(shipped.SHIPPED.resolve()):
            raise CongealError(f"{folder.name} is shipped with congeal and cannot be changed")
        for name in drop:
            model.forget_image(name)
        for data in add:
            model.index_images(open_for(model, data, split), on_image)
        _store(model, folder, add, drop)
    return model.indexed_images()


def _store(model: Method, folder: Path, add: Sequence[str], drop: Sequence[str]) -> None:
    """Save the model with the same card, and record the change in its training facts."""
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
