"""Validation of MATLAB 5 files before parsing, because SciPy's parser trusts their tags."""

from __future__ import annotations

import struct
import zlib

from congeal.data.memory import check_memory

__all__ = ["check_tags"]

_HEADER = 128  # bytes
_TYPES = {*range(1, 8), 9, *range(12, 19)}  # MAT-File Format, table 1-1
_MATRIX, _COMPRESSED = 14, 15
_MAX_DEPTH = 50  # nesting of cells and structs


def check_tags(content: bytes) -> None:
    """Check the tag of every data element of a MATLAB 5 file.

    An invalid type makes SciPy read outside its buffers. Files of version 4 have no tags and pass.
    Format: MathWorks, MAT-File Format, "Level 5 MAT-Files".

    Raises:
        ValueError: a tag has an unknown type, or a size beyond the end of the file.

    Example:
        >>> check_tags(bytes(128))
    """
    if len(content) < _HEADER or 0 in content[:4]:
        return
    order = "<" if content[126:128] == b"IM" else ">"
    _walk(memoryview(content)[_HEADER:], order, 0)


def _walk(content: memoryview, order: str, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise ValueError("elements are nested too deeply")
    position = 0
    while position + 8 <= len(content):
        kind, size = struct.unpack_from(f"{order}II", content, position)
        begin, small = position + 8, kind >> 16
        if small:  # small element format: up to four bytes of data within the tag
            kind, size, begin = kind & 0xFFFF, small, position + 4
        room = 4 if small else len(content) - begin
        if kind not in _TYPES or size > room:
            raise ValueError(f"invalid element of type {kind} and {size} bytes")
        if kind == _MATRIX:
            _walk(content[begin : begin + size], order, depth + 1)
        if kind == _COMPRESSED:
            _walk(_decompress(content[begin : begin + size]), order, depth + 1)
        padded = size if kind == _COMPRESSED else size + -size % 8
        position = position + 8 if small else begin + padded


def _decompress(content: memoryview) -> memoryview:
    """Decompress the element in a compressed one, limited by its stated size and by memory."""
    decompressor = zlib.decompressobj()
    head = decompressor.decompress(content, 8)
    if len(head) < 8:
        raise ValueError("a compressed element is truncated")
    stated = max(struct.unpack("<I", head[4:])[0], struct.unpack(">I", head[4:])[0])
    size = min(stated, 1100 * len(content))  # Deflate compresses by a factor of 1032 at most
    check_memory(2 * size, "a compressed variable")
    return memoryview(head + decompressor.decompress(decompressor.unconsumed_tail, size + 8))
