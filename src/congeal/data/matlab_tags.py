"""Checking a MATLAB 5 file before it is parsed: SciPy's parser trusts the tags in it."""

from __future__ import annotations

import struct
import zlib

from congeal.data.memory import check_memory

__all__ = ["check_tags"]

_HEADER = 128  # bytes
_TYPES = {*range(1, 8), 9, *range(12, 19)}  # MAT-File Format, table 1-1
_MATRIX, _COMPRESSED = 14, 15
_DEEPEST = 50  # nesting of cells and structs


def check_tags(content: bytes) -> None:
    """Walk through the data elements of a MATLAB 5 file and check the tag of each.

    A type that does not exist makes SciPy read memory that is not its own. Files of version 4,
    which have no tags, pass (MathWorks, MAT-File Format, "Level 5 MAT-Files").

    Raises:
        ValueError: a tag is of no known type, or tells of more bytes than there are.

    Example:
        >>> check_tags(bytes(128))
    """
    if len(content) < _HEADER or 0 in content[:4]:
        return
    order = "<" if content[126:128] == b"IM" else ">"
    _walk(memoryview(content)[_HEADER:], order, 0)


def _walk(content: memoryview, order: str, depth: int) -> None:
    if depth > _DEEPEST:
        raise ValueError("elements are nested too deeply")
    place = 0
    while place + 8 <= len(content):
        kind, size = struct.unpack_from(f"{order}II", content, place)
        begin, small = place + 8, kind >> 16
        if small:  # up to four bytes of data within the tag
            kind, size, begin = kind & 0xFFFF, small, place + 4
        room = 4 if small else len(content) - begin
        if kind not in _TYPES or size > room:
            raise ValueError(f"an element of type {kind} and {size} bytes")
        if kind == _MATRIX:
            _walk(content[begin : begin + size], order, depth + 1)
        if kind == _COMPRESSED:
            _walk(_inflated(content[begin : begin + size]), order, depth + 1)
        filled = size if kind == _COMPRESSED else size + -size % 8
        place = place + 8 if small else begin + filled


def _inflated(content: memoryview) -> memoryview:
    """Unpack the one element in a compressed one, no more than its own tag and memory allow."""
    unpacker = zlib.decompressobj()
    head = unpacker.decompress(content, 8)
    if len(head) < 8:
        raise ValueError("a compressed element is cut off")
    most = max(struct.unpack("<I", head[4:])[0], struct.unpack(">I", head[4:])[0])
    size = min(most, 1100 * len(content))  # Deflate shortens to a thousandth at most
    check_memory(2 * size, "a compressed variable")
    return memoryview(head + unpacker.decompress(unpacker.unconsumed_tail, size + 8))
