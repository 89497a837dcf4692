"""Small pictures in the formats of the published datasets."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from congeal.data.sample import Dataset
from congeal.errors import CongealError

SIZE = (6, 8)


@pytest.fixture
def photo() -> Callable[..., Path]:
    """`photo(path)` writes a picture of 6 x 8 pixels, JPEG or PNG by the ending."""

    def write(path: Path, size: tuple[int, int] = SIZE) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        return path

    return write


@pytest.fixture
def numbers() -> Callable[..., Path]:
    """`numbers(path, values)` writes a PNG of numbers, `palette=True` with colours for them."""

    def write(path: Path, values: np.ndarray, palette: bool = False) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.asarray(values)
        deep = np.uint16 if values.max() > 255 else np.uint8
        picture = Image.fromarray(values.astype(deep))
        if palette:
            picture = picture.convert("P")
            picture.putdata(values.ravel().tolist())
            picture.putpalette([(37 * i) % 256 for i in range(768)])
        picture.save(path)
        return path

    return write


@pytest.fixture
def refused() -> Callable[..., str]:
    """The one line with which reading all of a dataset fails."""

    def line(open_it: Callable[[], Dataset]) -> str:
        with pytest.raises(CongealError) as caught:
            list(open_it())
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return line


@pytest.fixture
def truncate() -> Callable[[Path], None]:
    """`truncate(path)` loses the last 28 bytes of a file: a small picture keeps its head."""

    def cut(path: Path) -> None:
        path.write_bytes(path.read_bytes()[:-28])

    return cut


@pytest.fixture
def memory() -> Callable[[int], AbstractContextManager[None]]:
    """`with memory(20):` fails when Python and NumPy take more than 20 MB within."""

    @contextmanager
    def limit(megabytes: int) -> Iterator[None]:
        tracemalloc.start()
        try:
            yield
            assert tracemalloc.get_traced_memory()[1] < megabytes * 2**20
        finally:
            tracemalloc.stop()

    return limit
