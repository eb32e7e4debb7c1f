"""Planes of a Zarr v3 array, read straight from its files while they may still grow.

Source: https://zarr-specs.readthedocs.io/en/latest/v3/core/index.html and the codecs' pages there.

What is read is checked: a shard's index against its checksum, a chunk by its decoder. Where a writer was in between,
the file is read again.
"""

from __future__ import annotations

import math
import os
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

from ome_writers.errors import InvalidFileError, UnsupportedError
from ome_writers.storage.positional_io import read_at, read_fully
from ome_writers.storage.zarr.codec import decompress
from ome_writers.untrusted import (
    check_chunk_shape,
    check_count,
    check_memory,
    check_shape,
    open_regular,
    read_regular,
)
from ome_writers.views.live_document import LiveDocument

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Decoder = Callable[[bytes, int], bytes]
    """Returns what was encoded; more than so many bytes are refused."""

__all__ = ["TornError", "ZarrArray"]

_EMPTY = 2**64 - 1
_ATTEMPTS = 20
_PAUSE = 0.005  # seconds
_MAX_CHUNKS_PER_PLANE = 2**17  # each is a file to open
_MAX_CHUNKS_PER_SHARD = 2**24  # the index has 16 bytes for each
_OVERHEAD_BYTES = (
    2**20
)  # what codecs may add to a chunk that they cannot compress, with room to spare


class TornError(OSError):
    """A file does not hold what its format promises, however often it is read."""


class ZarrArray:
    """One array, seen plane by plane: ``array[t, c, z]`` is the plane (y, x).

    Parameters
    ----------
    folder
        The array's node: the folder of its ``zarr.json``.
    root
        The folder of the dataset, outside of which no file is opened.
    remember
        Bytes of decoded chunks to keep, where a chunk holds several planes; only for an array that nobody writes.

    Raises
    ------
    UnsupportedError
        If the array uses a codec, a chunk grid or a data type that is not known here.
    InvalidFileError
        If its document contradicts itself, or contains numbers that cannot be right.
    """

    def __init__(self, folder: Path, root: Path, remember: int = 0) -> None:
        self._document = LiveDocument(folder / "zarr.json", root)
        self._folder, self._root = folder, root
        self.dtype: np.dtype[np.generic] = np.dtype(np.uint8)
        try:
            self._read(self._document.read(), remember)
        except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
            if isinstance(error, InvalidFileError):
                raise
            what = f"{type(error).__name__}: {error}"
            raise InvalidFileError(f"{folder}/zarr.json is no valid array ({what}).") from error

    def _read(self, document: dict[str, Any], remember: int) -> None:
        folder = self._folder
        axes = len(check_shape(document["shape"], folder))
        grid = document["chunk_grid"]
        if grid["name"] != "regular":
            raise UnsupportedError(f"{folder}: the chunk grid {grid['name']!r} is not known here.")
        chunk = grid["configuration"]["chunk_shape"]
        self._chunk = check_chunk_shape(chunk, f"{folder}: a chunk", axes=axes)
        self._outer = self._chunk
        self._shard: _ShardIndex | None = None
        codecs = document["codecs"]
        if codecs[0]["name"] == "sharding_indexed" and len(codecs) == 1:
            sharding = codecs[0]["configuration"]
            inner = sharding["chunk_shape"]
            self._chunk = check_chunk_shape(inner, f"{folder}: an inner chunk", axes=axes)
            per_shard = [o // c for o, c in zip(self._outer, self._chunk, strict=True)]
            count = math.prod(per_shard)
            check_count(count, f"{folder}: the number of chunks in a shard", _MAX_CHUNKS_PER_SHARD)
            if not count:
                raise InvalidFileError(f"{folder}: a shard is smaller than the chunks in it.")
            self._shard = _ShardIndex(per_shard, sharding)
            codecs = sharding["codecs"]
        self.dtype, self._decoders = _pipeline(document["data_type"], codecs, folder)
        several = math.prod(self._chunk[:-2]) > 1
        bytes_of_one = check_memory(
            math.prod(self._chunk) * self.dtype.itemsize, f"{folder}: a chunk"
        )
        self._most_stored = 2 * bytes_of_one + _OVERHEAD_BYTES
        self._most_remembered = remember // bytes_of_one if several else 0
        self._remembered: OrderedDict[tuple[int, ...], NDArray[np.generic] | None] = OrderedDict()
        self._fill = _fill_value(document["fill_value"], self.dtype)
        encoding = document["chunk_key_encoding"]
        self._v2_keys = encoding["name"] == "v2"
        default = "." if self._v2_keys else "/"
        self._separator = encoding.get("configuration", {}).get("separator", default)
        if self._separator not in (".", "/"):
            raise InvalidFileError(f"{folder}: the separator of chunk keys is {self._separator!r}.")
        np.full(1, self._fill, self.dtype)  # raises if the fill value is none of this type
        _ = self.shape  # checks the memory that a plane takes

    @property
    def shape(self) -> tuple[int, ...]:
        """What the array shows now."""
        shape = check_shape(self._document.read().get("shape"), self._folder, axes=len(self._chunk))
        check_memory((*shape[-2:], self.dtype.itemsize), f"{self._folder}: a plane")
        tiles = math.prod(-(-n // c) for n, c in zip(shape[-2:], self._chunk[-2:], strict=True))
        check_count(
            tiles, f"{self._folder}: the number of chunks in a plane", _MAX_CHUNKS_PER_PLANE
        )
        return shape

    def __getitem__(self, index: tuple[int, ...]) -> NDArray[np.generic]:
        """Return the plane at `index`, one integer an axis before y and x.

        Raises
        ------
        TornError
            If a chunk cannot be read although it is there.
        """
        *_, height, width = self.shape
        cy, cx = self._chunk[-2:]
        out = np.full((height, width), self._fill, self.dtype.newbyteorder("="))
        cell = tuple(i // c for i, c in zip(index, self._chunk, strict=False))
        slot = tuple(i % c for i, c in zip(index, self._chunk, strict=False))
        for row in range(math.ceil(height / cy)):
            for column in range(math.ceil(width / cx)):
                chunk = self._remembered_chunk((*cell, row, column))
                if chunk is not None:
                    part = out[row * cy : (row + 1) * cy, column * cx : (column + 1) * cx]
                    part[...] = chunk[slot][: part.shape[0], : part.shape[1]]
        return out

    def _remembered_chunk(self, coordinate: tuple[int, ...]) -> NDArray[np.generic] | None:
        """Return a decoded chunk, the one of an earlier plane where it is still there."""
        if not self._most_remembered:
            return self._chunk_at(coordinate)
        try:
            chunk = self._remembered.pop(coordinate)
        except KeyError:  # not there, or another thread has it in hand
            chunk = self._chunk_at(coordinate)
        self._remembered[coordinate] = chunk  # the latest is the last
        while len(self._remembered) > self._most_remembered:
            self._remembered.popitem(last=False)
        return chunk

    def _chunk_at(self, coordinate: tuple[int, ...]) -> NDArray[np.generic] | None:
        """Return a decoded chunk; None when it was not written."""
        error: Exception | None = None
        for _ in range(_ATTEMPTS):
            try:
                stored = self._stored(coordinate)
                return None if stored is None else self._decode(stored)
            except InvalidFileError:
                raise
            except (OSError, ValueError, RuntimeError) as failure:  # what numcodecs' decoders raise
                error = failure
                time.sleep(_PAUSE)
        raise TornError(
            f"{self._folder}: chunk {coordinate} cannot be read: {type(error).__name__}: {error}."
        ) from error

    def _stored(self, coordinate: tuple[int, ...]) -> bytes | None:
        if self._shard is None:
            try:
                return read_regular(self._path(coordinate), self._most_stored, root=self._root)
            except (FileNotFoundError, NotADirectoryError):
                return None
        counts = self._shard.counts
        path = self._path([i // n for i, n in zip(coordinate, counts, strict=True)])
        try:
            fd = open_regular(path, root=self._root)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            return self._shard.read(fd, [i % n for i, n in zip(coordinate, counts, strict=True)])
        finally:
            os.close(fd)

    def _decode(self, stored: bytes) -> NDArray[np.generic]:
        for decode in self._decoders:
            stored = decode(stored, self._most_stored)
        return np.frombuffer(stored, self.dtype).reshape(self._chunk)

    def _path(self, coordinate: Sequence[int]) -> Path:
        key = self._separator.join(map(str, coordinate))
        return self._folder / key if self._v2_keys else self._folder / f"c{self._separator}{key}"


class _ShardIndex:
    """The table at one end of a shard: where each chunk lies."""

    def __init__(self, counts: Sequence[int], sharding: dict[str, Any]) -> None:
        self.counts = tuple(counts)
        names = [codec["name"] for codec in sharding["index_codecs"]]
        if names not in (["bytes"], ["bytes", "crc32c"]):
            raise UnsupportedError(f"A shard index stored with {names} is not known here.")
        self._checked = "crc32c" in names
        self._at_start = sharding.get("index_location", "end") == "start"
        self._bytes = 16 * math.prod(self.counts) + (4 if self._checked else 0)

    def read(self, fd: int, inner: Sequence[int]) -> bytes | None:
        """Return the stored chunk at `inner` of an open shard file; None when it was not written."""
        end = os.fstat(fd).st_size
        start = 0 if self._at_start else end - self._bytes
        if end < self._bytes:
            raise OSError("the file is shorter than its index")
        table = read_at(fd, self._bytes, start)
        if len(table) != self._bytes:
            raise OSError("the index is cut off")
        entries = _without_checksum(table) if self._checked else table
        number = int(np.ravel_multi_index(tuple(inner), self.counts))
        offset, size = np.frombuffer(entries, "<u8")[2 * number : 2 * number + 2].tolist()
        if offset == _EMPTY and size == _EMPTY:
            return None
        if offset + size > end:
            raise OSError("a chunk ends behind the end of the file")
        stored = read_fully(fd, size, offset)
        if len(stored) != size:
            raise OSError("a chunk is cut off")
        return stored


def _pipeline(
    data_type: Any, codecs: Sequence[dict[str, Any]], folder: Path
) -> tuple[np.dtype[np.generic], list[Decoder]]:
    """Return the dtype of the stored samples, and what undoes the codecs, last first."""
    try:
        dtype = np.dtype(data_type)
        if not isinstance(data_type, str) or dtype.kind not in "biufc":
            raise TypeError
    except (TypeError, ValueError, SyntaxError):
        raise UnsupportedError(
            f"{folder}: the data type {data_type!r} is not known here."
        ) from None
    first, *rest = codecs
    if first["name"] != "bytes":
        raise UnsupportedError(f"{folder}: the codec {first['name']!r} is not known here.")
    if first.get("configuration", {}).get("endian") == "big":
        dtype = dtype.newbyteorder(">")
    return dtype, [_decoder(codec["name"], folder) for codec in reversed(rest)]


def _decoder(name: str, folder: Path) -> Decoder:
    if name == "crc32c":
        return lambda stored, _: _without_checksum(stored)
    if name not in ("blosc", "zstd", "gzip"):
        raise UnsupportedError(f"{folder}: the codec {name!r} is not known here.")
    return lambda stored, most: decompress(name, stored, most)


def _without_checksum(stored: bytes) -> bytes:
    from google_crc32c import value

    content, checksum = stored[:-4], stored[-4:]
    if value(content).to_bytes(4, "little") != checksum:
        raise OSError("the checksum is wrong")
    return content


def _fill_value(value: Any, dtype: np.dtype[np.generic]) -> Any:
    if dtype.kind == "c":
        real, imaginary = (float(part) for part in value)
        return complex(real, imaginary)
    return (
        float(value)
        if dtype.kind == "f" and isinstance(value, str) and value[:2] != "0x"
        else value
    )
