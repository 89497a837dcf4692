"""Class names and classes of objects: ``classes.txt``, ``classes.csv`` and checks of classes."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from congeal.data.images import natural_key
from congeal.data.sample import Dataset, LabelMap
from congeal.errors import CongealError, unknown

__all__ = [
    "ClassRow",
    "FolderClasses",
    "check_classes",
    "classes_of_rows",
    "count_classes",
    "order_classes",
    "paint_classes",
    "read_class_names",
    "read_class_rows",
    "same_names",
]

BACKGROUND_NAME = "background"
VOID_NAMES = ("void", "unlabelled", "unlabeled", "ignore")

_COLUMNS = ("image", "label", "class")
_NUMBERED = re.compile(r"(\d{1,9})\s*:\s*(.*)")


@dataclass(frozen=True)
class ClassRow:
    """A row of ``classes.csv``.

    Attributes:
        image: name of the image, with or without folders and ending.
        label: number of the object in its label map, or name of its mask file.
        name: class name; empty for an object without class.
        where: row and file, for error messages.
    """

    image: str
    label: str
    name: str
    where: str


@dataclass(frozen=True)
class FolderClasses:
    """Classes of a user's folder.

    Attributes:
        names: class names by class id, background first; empty without classes.
        zero_is_void: whether 0 in semantic maps is void instead of background.
        rows: class id by image file and label, from ``classes.csv``; None without that file.
        problems: rows that match no image, one line each.

    Example:
        >>> FolderClasses(("background", "cell")).names[1]
        'cell'
    """

    names: tuple[str, ...] = ()
    zero_is_void: bool = False
    rows: Mapping[Path, Mapping[str, int]] | None = None
    problems: list[str] = field(default_factory=list)


def read_class_names(path: Path) -> tuple[tuple[str, ...], bool]:
    r"""Read ``classes.txt``: one class name per line, line 1 is class 1.

    If the first line is ``background`` or ``void``, it names class 0, and line 2 is class 1. A name
    may be preceded by its class id, ``1: cell``.

    Returns:
        Class names by class id, background first, and whether 0 is void.

    Raises:
        CongealError: the file cannot be read, has a duplicate name, or an id that does not match
            its line.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "classes.txt"
        >>> _ = path.write_text("disc\nsquare\n")
        >>> read_class_names(path)
        (('background', 'disc', 'square'), False)
    """
    lines = [line.strip() for line in _text(path).splitlines()]
    written = [line for line in lines if line]
    if not written:
        raise CongealError(f"expected class names, one per line, in {path}, got an empty file")
    first = _without_id(written[0]).casefold()
    zero = first == BACKGROUND_NAME or first in VOID_NAMES
    names = [_name(line, k, path) for k, line in enumerate(written, start=0 if zero else 1)]
    names = names[1:] if zero else names
    _check_unique(names, str(path))
    if BACKGROUND_NAME in (name.casefold() for name in names):
        raise CongealError(f"expected {BACKGROUND_NAME} only in the first line of {path}")
    return (BACKGROUND_NAME, *names), first in VOID_NAMES


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CongealError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise CongealError(f"expected UTF-8 text, {path} is not") from error


def _without_id(line: str) -> str:
    numbered = _NUMBERED.fullmatch(line)
    return numbered[2] if numbered else line


def _name(line: str, number: int, path: Path) -> str:
    numbered = _NUMBERED.fullmatch(line)
    if numbered and int(numbered[1]) != number:
        raise CongealError(
            f"expected class id {number}, got {line!r:.80} in {path}: line 1 is class 1, or class "
            f"0 if it is {BACKGROUND_NAME} or {VOID_NAMES[0]}"
        )
    return _without_id(line)


def same_names(names: Iterable[str]) -> tuple[str, str] | None:
    """Find two names that differ only in case and white space; None without such a pair.

    Example:
        >>> same_names(["cell", "nucleus", "Cell "])
        ('cell', 'Cell ')
    """
    seen: dict[str, str] = {}
    for name in names:
        key = " ".join(name.split()).casefold()
        if key in seen:
            return seen[key], name
        seen[key] = name
    return None


def _check_unique(names: Iterable[str], where: str) -> None:
    pair = same_names(names)
    if pair is not None:
        raise CongealError(
            f"expected every class once, {where} has {pair[0]!r:.40} and {pair[1]!r:.40}"
        )


def order_classes(names: Iterable[str], where: str) -> tuple[str, ...]:
    """Sort class names in natural order, after the background.

    Raises:
        CongealError: two names differ only in case or white space.

    Example:
        >>> order_classes(["type 10", "type 2", "type 2"], "classes.csv")
        ('background', 'type 2', 'type 10')
    """
    every = sorted({name for name in names if name.casefold() != BACKGROUND_NAME}, key=natural_key)
    _check_unique(every, where)
    return (BACKGROUND_NAME, *every)


def read_class_rows(path: Path) -> list[ClassRow]:
    r"""Read ``classes.csv``, a table with columns image, label and class.

    Other columns are ignored; separators are commas, semicolons or tabs. An empty class means that
    the object has no class.

    Raises:
        CongealError: the file cannot be read, or a column is missing.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "classes.csv"
        >>> _ = path.write_text("image,label,class\na.png,3,disc\n")
        >>> [(row.image, row.label, row.name) for row in read_class_rows(path)]
        [('a.png', '3', 'disc')]
    """
    lines = _text(path).splitlines()
    head = lines[0] if lines else ""
    separator = max(",;\t", key=head.count)
    titles = [title.strip().strip('"').casefold() for title in head.split(separator)]
    missing = [column for column in _COLUMNS if column not in titles]
    if missing:
        raise CongealError(
            f"expected the columns {', '.join(_COLUMNS)} in {path}, found no {missing[0]} in the "
            f"header line ({head!r:.60})"
        )
    positions = [titles.index(column) for column in _COLUMNS]
    rows = []
    for number, cells in enumerate(_cells(lines[1:], separator, path), start=2):
        if any(cell.strip() for cell in cells):
            padded = [*cells, *[""] * len(titles)]
            image, label, name = (padded[position].strip() for position in positions)
            rows.append(ClassRow(image, _label_key(label), name, f"row {number} of {path}"))
    return rows


def _cells(lines: Sequence[str], separator: str, path: Path) -> Iterator[list[str]]:
    try:
        yield from csv.reader(lines, delimiter=separator)
    except csv.Error as error:
        raise CongealError(f"expected a table of classes, {path} is damaged ({error})") from error


def _label_key(label: str) -> str:
    """Normalise a number: ``3``, ``03`` and ``3.0`` are the same label."""
    try:
        number = float(label)
    except ValueError:
        return label
    return str(int(number)) if number.is_integer() else label


def classes_of_rows(
    rows: Sequence[ClassRow], images: Mapping[str, Sequence[Path]], names: Sequence[str]
) -> tuple[dict[Path, dict[str, int]], list[str]]:
    """Resolve image and class of each row of ``classes.csv``.

    Args:
        rows: the rows.
        images: image files by each accepted name.
        names: class names by class id.

    Returns:
        Class id by image file and label, and one line per row that matches no image.

    Raises:
        CongealError: no row matches an image, a name matches several images, a class is missing in
            ``classes.txt``, or an object has two classes.

    Example:
        >>> rows = [ClassRow("a", "1", "disc", "row 2")]
        >>> classes_of_rows(rows, {"a": [Path("a.png")]}, ["background", "disc"])
        ({PosixPath('a.png'): {'1': 1}}, [])
    """
    found: dict[Path, dict[str, int]] = {}
    unmatched = []
    for row in rows:
        path = _image_of(row, images)
        if path is None:
            unmatched.append(f"{row.where} names an image that does not exist: {row.image!r:.80}")
            continue
        number = _class_id(row, names)
        if found.setdefault(path, {}).setdefault(row.label, number) != number:
            raise CongealError(
                f"expected one class for object {row.label} of {path.name}, {row.where} gives "
                f"another ({row.name!r:.40})"
            )
    if rows and not found:
        raise CongealError(f"expected rows for the images, {unmatched[0]}, and so do all others")
    return found, unmatched


def _image_of(row: ClassRow, images: Mapping[str, Sequence[Path]]) -> Path | None:
    name = str(PurePosixPath(row.image.replace("\\", "/")))
    paths = images.get(name) or images.get(str(PurePosixPath(name).with_suffix(""))) or ()
    if len(paths) > 1:
        raise CongealError(
            f"expected an unambiguous image name, such as train/{PurePosixPath(name).name}: "
            f"{row.where} has {name!r:.60}, which matches {len(paths)} images"
        )
    return paths[0] if paths else None


def _class_id(row: ClassRow, names: Sequence[str]) -> int:
    if not row.name:
        return -1
    if row.name not in names:
        raise CongealError(f"{row.where}: {unknown('class', row.name[:80], names[1:])}")
    return names.index(row.name) or -1


def paint_classes(labels: LabelMap, classes: LabelMap) -> LabelMap:
    """Build a semantic map from objects: 0 background, -1 void and objects without class.

    Args:
        labels: objects 1..K, `(H, W)`.
        classes: class of each object, `(K,)`.

    Example:
        >>> paint_classes(np.array([[0, 1, 2, -1]]), np.array([5, -1])).tolist()
        [[0, 5, -1, -1]]
    """
    by_number = np.concatenate([[0], classes])
    painted: LabelMap = np.where(labels < 0, -1, by_number[np.maximum(labels, 0)])
    return painted


def count_classes(dataset: Dataset, limit: int | None = None) -> dict[str, int]:
    """Count the objects of each class, in all samples or in evenly spaced ones.

    Args:
        dataset: the dataset.
        limit: maximum number of samples to read; None: all.

    Returns:
        Number of objects by class name, for all classes in order; empty without classes.

    Raises:
        CongealError: a sample cannot be read.

    Example:
        >>> from congeal.data.drawn import DrawnDataset
        >>> count_classes(DrawnDataset("discs", "val"), limit=1)
        {}
    """
    counts = dict.fromkeys(dataset.class_names[1:], 0)
    if not counts:
        return counts
    for index in _spaced_indices(len(dataset), limit):
        for number in _object_classes(dataset, index):
            if 0 < number < len(dataset.class_names):
                counts[dataset.class_names[number]] += 1
    return counts


def _object_classes(dataset: Dataset, index: int) -> list[int]:
    classes = dataset[index].classes
    return [] if classes is None else classes.tolist()


def _spaced_indices(total: int, limit: int | None) -> Iterator[int]:
    if limit is None or limit >= total:
        return iter(range(total))
    return (index * total // limit for index in range(limit))


def check_classes(training: Dataset, validation: Dataset, limit: int | None = 256) -> list[str]:
    """Compare the classes of training and validation data before training.

    Args:
        training: the training data.
        validation: the validation data.
        limit: maximum number of samples to read per dataset; None: all.

    Returns:
        Notes, one line each: training classes without any object, and classes that only one of the
        two datasets has.

    Raises:
        CongealError: a validation class is missing among the training classes.

    Example:
        >>> from congeal.data.drawn import DrawnDataset
        >>> check_classes(DrawnDataset("discs"), DrawnDataset("discs", "val"))
        []
    """
    train, val = training.class_names[1:], validation.class_names[1:]
    if not train and val:
        return [f"{validation.name} has classes and {training.name} none: they are not learnt"]
    missing = [name for name in val if name not in train]
    if missing:
        raise CongealError(
            f"expected the classes of {training.name} in {validation.name}, which has "
            f"{unknown('class', missing[0][:80], train)}"
        )
    counts = count_classes(training, limit)
    read = len(training) if limit is None else min(limit, len(training))
    where = f"the {read} training images read" if read < len(training) else training.name
    empty = [name for name, number in counts.items() if not number]
    notes = [f"no object of {_name_classes(empty)} in {where}: not learnt"] if empty else []
    if empty:
        val_counts = count_classes(validation, limit)
        missed = [name for name in empty if val_counts.get(name)]
        notes += [f"{validation.name} has objects of {_name_classes(missed)}"] if missed else []
    if train and not val:
        notes.append(f"{validation.name} has no classes: they are not validated")
    return notes


def _name_classes(names: Sequence[str], shown: int = 5) -> str:
    more = f" and {len(names) - shown} more classes" if len(names) > shown else ""
    return ("class " if len(names) == 1 else "classes ") + ", ".join(names[:shown]) + more
