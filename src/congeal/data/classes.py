"""Names of classes, and the class of each object: ``classes.txt`` and ``classes.csv``."""

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

BACKGROUND = "background"
VOID_NAMES = ("void", "unlabelled", "unlabeled", "ignore")

_COLUMNS = ("image", "label", "class")
_NUMBERED = re.compile(r"(\d{1,9})\s*:\s*(.*)")


@dataclass(frozen=True)
class ClassRow:
    """A row of ``classes.csv``: the class of object ``label`` of an image, and where it says so."""

    image: str
    label: str
    name: str
    where: str


@dataclass(frozen=True)
class FolderClasses:
    """What a folder says about classes.

    Attributes:
        names: names by class id, the background first; empty without classes.
        zero_is_void: whether 0 in maps of classes is void instead of background.
        rows: class id by image file and label, from ``classes.csv``; None without that file.
        problems: rows that name no image, a line each.

    Example:
        >>> FolderClasses(("background", "cell")).names[1]
        'cell'
    """

    names: tuple[str, ...] = ()
    zero_is_void: bool = False
    rows: Mapping[Path, Mapping[str, int]] | None = None
    problems: list[str] = field(default_factory=list)


def read_class_names(path: Path) -> tuple[tuple[str, ...], bool]:
    r"""Read ``classes.txt``: one name a line, line 1 is class 1.

    A first line ``background`` or ``void`` names class 0 instead, and line 2 is class 1. The
    number of the class may stand before its name, ``1: cell``.

    Returns:
        The names by class id, the background first, and whether 0 is void.

    Raises:
        CongealError: the file cannot be read, names a class twice, or a number is not its line's.

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
        raise CongealError(f"expected names of classes in {path}, one a line, it is empty")
    first = _bare(written[0]).casefold()
    zero = first == BACKGROUND or first in VOID_NAMES
    names = [_name(line, k, path) for k, line in enumerate(written, start=0 if zero else 1)]
    names = names[1:] if zero else names
    _check_once(names, str(path))
    if BACKGROUND in (name.casefold() for name in names):
        raise CongealError(f"expected {BACKGROUND} in the first line of {path} only")
    return (BACKGROUND, *names), first in VOID_NAMES


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CongealError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise CongealError(f"expected text in UTF-8, {path} is none") from error


def _bare(line: str) -> str:
    numbered = _NUMBERED.fullmatch(line)
    return numbered[2] if numbered else line


def _name(line: str, number: int, path: Path) -> str:
    numbered = _NUMBERED.fullmatch(line)
    if numbered and int(numbered[1]) != number:
        raise CongealError(
            f"expected class {number} there, {path} has {line!r:.80}: line 1 is class 1, unless "
            f"the first line is {BACKGROUND} or {VOID_NAMES[0]}, which is class 0"
        )
    return _bare(line)


def same_names(names: Iterable[str]) -> tuple[str, str] | None:
    """Find two names that are the same but for case and spaces.

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


def _check_once(names: Iterable[str], where: str) -> None:
    twice = same_names(names)
    if twice is not None:
        raise CongealError(
            f"expected every class once, {where} has {twice[0]!r:.40} and {twice[1]!r:.40}"
        )


def order_classes(names: Iterable[str], where: str) -> tuple[str, ...]:
    """Order the names of classes naturally, behind the background.

    Raises:
        CongealError: two names differ by case or spaces only.

    Example:
        >>> order_classes(["type 10", "type 2", "type 2"], "classes.csv")
        ('background', 'type 2', 'type 10')
    """
    every = sorted({name for name in names if name.casefold() != BACKGROUND}, key=natural_key)
    _check_once(every, where)
    return (BACKGROUND, *every)


def read_class_rows(path: Path) -> list[ClassRow]:
    r"""Read ``classes.csv``, a table with the columns image, label and class.

    More columns do no harm; commas, semicolons and tabs may separate. A row with an empty class
    says that the object has none.

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
    mark = max(",;\t", key=head.count)
    titles = [title.strip().strip('"').casefold() for title in head.split(mark)]
    missing = [column for column in _COLUMNS if column not in titles]
    if missing:
        raise CongealError(
            f"expected the columns {', '.join(_COLUMNS)} in {path}, found no {missing[0]} in its "
            f"first line ({head!r:.60})"
        )
    places = [titles.index(column) for column in _COLUMNS]
    rows = []
    for number, cells in enumerate(_cells(lines[1:], mark, path), start=2):
        if any(cell.strip() for cell in cells):
            padded = [*cells, *[""] * len(titles)]
            image, label, name = (padded[place].strip() for place in places)
            rows.append(ClassRow(image, _key(label), name, f"row {number} of {path}"))
    return rows


def _cells(lines: Sequence[str], mark: str, path: Path) -> Iterator[list[str]]:
    try:
        yield from csv.reader(lines, delimiter=mark)
    except csv.Error as error:
        raise CongealError(f"expected a table of classes, {path} is damaged ({error})") from error


def _key(label: str) -> str:
    """One spelling of a number: ``3``, ``03`` and ``3.0`` are the same label."""
    try:
        number = float(label)
    except ValueError:
        return label
    return str(int(number)) if number.is_integer() else label


def classes_of_rows(
    rows: Sequence[ClassRow], images: Mapping[str, Sequence[Path]], names: Sequence[str]
) -> tuple[dict[Path, dict[str, int]], list[str]]:
    """Look up the image and the class of each row.

    Args:
        rows: of ``classes.csv``.
        images: image files by every name they may go by.
        names: names by class id.

    Returns:
        Class id by image file and label, and a line for each row that names no image.

    Raises:
        CongealError: no row names an image, a name fits several images, a class has no name in
            ``classes.txt``, or an object has two classes.

    Example:
        >>> rows = [ClassRow("a", "1", "disc", "row 2")]
        >>> classes_of_rows(rows, {"a": [Path("a.png")]}, ["background", "disc"])
        ({PosixPath('a.png'): {'1': 1}}, [])
    """
    found: dict[Path, dict[str, int]] = {}
    lost = []
    for row in rows:
        path = _image_of(row, images)
        if path is None:
            lost.append(f"{row.where} names an image that is not there: {row.image!r:.80}")
            continue
        number = _class_id(row, names)
        if found.setdefault(path, {}).setdefault(row.label, number) != number:
            raise CongealError(
                f"expected one class for object {row.label} of {path.name}, {row.where} gives "
                f"another ({row.name!r:.40})"
            )
    if rows and not found:
        raise CongealError(f"expected rows for the images, {lost[0]}, and so do all others")
    return found, lost


def _image_of(row: ClassRow, images: Mapping[str, Sequence[Path]]) -> Path | None:
    told = str(PurePosixPath(row.image.replace("\\", "/")))
    places = images.get(told) or images.get(str(PurePosixPath(told).with_suffix(""))) or ()
    if len(places) > 1:
        raise CongealError(
            f"expected the split before the name, such as train/{PurePosixPath(told).name}: "
            f"{row.where} names {told!r:.60}, which is {len(places)} images"
        )
    return places[0] if places else None


def _class_id(row: ClassRow, names: Sequence[str]) -> int:
    if not row.name:
        return -1
    if row.name not in names:
        raise CongealError(f"{row.where}: {unknown('class', row.name[:80], names[1:])}")
    return names.index(row.name) or -1


def paint_classes(labels: LabelMap, classes: LabelMap) -> LabelMap:
    """Give every pixel the class of its object: 0 background, -1 void and objects without class.

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
    """Count the objects of each class by reading samples, evenly spread when limited.

    Args:
        dataset: what to look at.
        limit: samples to read at most; all when None.

    Returns:
        Objects by name of their class, every class of the dataset in order; empty without classes.

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
    for index in _spread(len(dataset), limit):
        for number in _object_classes(dataset, index):
            if 0 < number < len(dataset.class_names):
                counts[dataset.class_names[number]] += 1
    return counts


def _object_classes(dataset: Dataset, index: int) -> list[int]:
    classes = dataset[index].classes
    return [] if classes is None else classes.tolist()


def _spread(total: int, limit: int | None) -> Iterator[int]:
    if limit is None or limit >= total:
        return iter(range(total))
    return (index * total // limit for index in range(limit))


def check_classes(training: Dataset, validation: Dataset, limit: int | None = 256) -> list[str]:
    """Compare the classes of training and validation before time is spent.

    Args:
        training: what a model learns from.
        validation: what it is judged on.
        limit: training samples to read at most for classes without any object; all when None.

    Returns:
        Notes, a line each: classes of the training set without any object, and classes that only
        one of the two has.

    Raises:
        CongealError: validation has a class that training does not name.

    Example:
        >>> from congeal.data.drawn import DrawnDataset
        >>> check_classes(DrawnDataset("discs"), DrawnDataset("discs", "val"))
        []
    """
    known, judged = training.class_names[1:], validation.class_names[1:]
    if not known and judged:
        return [f"{validation.name} has classes and {training.name} none: they are not learnt"]
    strange = [name for name in judged if name not in known]
    if strange:
        raise CongealError(
            f"expected the classes of {training.name} in {validation.name}, which has "
            f"{unknown('class', strange[0][:80], known)}"
        )
    counts = count_classes(training, limit)
    looked = len(training) if limit is None else min(limit, len(training))
    where = f"the {looked} training images looked at" if looked < len(training) else training.name
    empty = [name for name, number in counts.items() if not number]
    notes = [f"no object of {_some(empty)} in {where}: not learnt"] if empty else []
    if empty:
        needed = count_classes(validation, limit)
        missed = [name for name in empty if needed.get(name)]
        notes += [f"{validation.name} has objects of {_some(missed)}"] if missed else []
    if known and not judged:
        notes.append(f"{validation.name} has no classes: they are not validated")
    return notes


def _some(names: Sequence[str], shown: int = 5) -> str:
    more = f" and {len(names) - shown} more classes" if len(names) > shown else ""
    return ("class " if len(names) == 1 else "classes ") + ", ".join(names[:shown]) + more
