"""Tags of MATLAB files: what SciPy writes passes, what would lead its parser astray does not."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from congeal.data.matlab_tags import check_tags


def saved(compress: bool, **content: Any) -> bytes:
    stream = io.BytesIO()
    savemat(stream, content, do_compression=compress)
    return stream.getvalue()


@pytest.mark.parametrize("compress", [True, False])
def test_what_scipy_writes_passes(compress: bool) -> None:
    cells = np.empty(2, object)
    cells[:] = [np.eye(300), "text"]
    check_tags(saved(compress, a=np.eye(9), b={"c": {"d": cells}}, e="text", f=np.zeros((0, 3))))


def test_a_type_that_does_not_exist_is_refused() -> None:
    content = bytearray(saved(False, a=np.eye(9)))
    place = content.rindex(struct.pack("<II", 9, 648))
    content[place] = 204
    with pytest.raises(ValueError, match="type 204"):
        check_tags(bytes(content))
    content[place : place + 8] = struct.pack("<II", 9, 6480)
    with pytest.raises(ValueError, match="6480 bytes"):
        check_tags(bytes(content))


def test_a_compressed_variable_is_not_unpacked_beyond_what_it_tells(memory) -> None:
    content = bytearray(saved(True, a=np.zeros((3000, 3000))))
    with memory(200):
        check_tags(bytes(content))
    with pytest.raises(ValueError, match="truncated"):
        check_tags(bytes(content[:128]) + struct.pack("<II", 15, 8) + bytes(content[136:144])[:8])
