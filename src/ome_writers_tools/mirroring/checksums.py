"""Checksums of files and objects, as S3 computes them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from ome_writers.toolkit import retry_while_open

# Larger files are sent in parts: slower to some servers, and a killed upload leaves the parts in the store.
SINGLE_REQUEST_BYTES = 512 * 2**20
_MIN_PART_BYTES = 16 * 2**20
_MAX_PARTS = 9000  # S3 allows 10,000
_BLOCK_BYTES = 2**22


class ObjectVersion(NamedTuple):
    """Size of an object, and the ETag that the store has computed, without quotation marks."""

    size: int
    etag: str


def part_bytes(size: int) -> int | None:
    """Return the size of the parts that a file is sent in; None if it is sent in one request."""
    if size <= SINGLE_REQUEST_BYTES:
        return None
    return max(_MIN_PART_BYTES, -(-size // _MAX_PARTS))


class Checksum:
    """The ETag that S3 computes for a content of `size` bytes.

    That is its MD5 checksum or, if it is sent in parts, the MD5 checksum of those of the parts, and their number.
    """

    def __init__(self, size: int) -> None:
        self._part = part_bytes(size)
        self._digests: list[bytes] = []
        self._begin_part()

    def _begin_part(self) -> None:
        self._current = _md5()
        self._rest = self._part

    def update(self, block: bytes) -> None:
        view = memoryview(block)
        while view:
            taken = view[: self._rest]
            self._current.update(taken)
            view = view[len(taken) :]
            if self._rest is not None:
                self._rest -= len(taken)
                if not self._rest:
                    self._digests.append(self._current.digest())
                    self._begin_part()

    def value(self) -> str:
        if self._part is None:
            return str(self._current.hexdigest())
        digests = list(self._digests)
        if self._rest != self._part:
            digests.append(self._current.digest())
        return f"{_md5(b''.join(digests)).hexdigest()}-{len(digests)}"


def checksum(blocks: Iterable[bytes], size: int) -> str:
    """Return the `Checksum` of a content of `size` bytes."""
    found = Checksum(size)
    for block in blocks:
        found.update(block)
    return found.value()


def file_checksum(path: Path) -> str:
    """Return the `checksum` of the content of a file."""
    with retry_while_open(lambda: path.open("rb")) as file:
        size = path.stat().st_size
        return checksum(iter(lambda: file.read(_BLOCK_BYTES), b""), size)


def _md5(content: bytes = b"") -> Any:
    return hashlib.md5(content, usedforsecurity=False)
