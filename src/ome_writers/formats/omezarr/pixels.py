"""Pixels of an OME-Zarr on disk, read directly from its files, which may still be written.

Source: https://zarr-specs.readthedocs.io/en/latest/v3/core/index.html and the codecs' pages there.

Shard indexes are checked against their checksum, chunks by their decoder. If a check fails because a writer changed the
file meanwhile, the file is read again.
"""

# Longer than 300 lines: metadata, chunks, shards and the cache of one reader.
from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ome_writers.codecs import CRC32C, Decoder, find_zarr_codec
from ome_writers.dataset import DatasetSpec
from ome_writers.errors import InvalidFileError, MovedFileError, TornChunkError, UnsupportedError
from ome_writers.formats.omezarr.node_metadata import (
    ArrayMetadata,
    array_metadata_file,
    parse_array_metadata,
)
from ome_writers.formats.omezarr.parse import parse_with_plan, recorded_progress
from ome_writers.formats.omezarr.zarr_python import open_with_zarr_python
from ome_writers.storage.zarr import ChunkEncoding, ChunkFile, ShardIndexFormat
from ome_writers.untrusted import (
    Location,
    check_count,
    check_memory,
    check_shape,
    locate,
    member,
    read_json,
)

_MAX_READ_RETRIES = 20
_RETRY_INTERVAL_S = 0.005
_MAX_CHUNKS_PER_PLANE = 2**17  # each is one file to open
_MAX_KEPT_INDEXES = 256
_MAX_KEPT_INDEX_BYTES = 2**20
_MAX_CODEC_OVERHEAD_BYTES = 2**20  # of chunks that cannot be compressed


class ZarrPixels:
    """The images of an OME-Zarr; implements `OpenPixels`. Status and shapes are read again after each flush.

    `cache_bytes` is for decoded chunks, see `ZarrArray`.

    Raises UnsupportedError if it is not an OME-Zarr 0.4 to 0.6.
    """

    def __init__(self, path: Path, cache_bytes: int = 0) -> None:
        self._spec, self.plan = parse_with_plan(path)
        name = ".zattrs" if self._spec.version == "0.4" else "zarr.json"
        self._root = CachedJsonFile(path / name, path)
        self._own: dict[str, Any] | None = None  # the attributes that `_spec` contains
        self._parsed_now = True  # whether `spec` has not been called yet
        self._cache_bytes = cache_bytes // len(self._spec.images)

    def spec(self) -> DatasetSpec:
        parsed_now, self._parsed_now = self._parsed_now, False
        if self._spec.status is None or parsed_now:
            return self._spec
        own = self._own_attributes()
        if own is not self._own:
            self._spec = replace(self._spec, **recorded_progress(own))
            self._own = own
        return self._spec

    def array(self, image: int, level: int) -> Any:
        key = self._spec.images[image].levels[level].key
        return open_array(self._spec.path, key, self._cache_bytes)

    def extents(self) -> Mapping[str, Any]:
        if self._spec.status is None:
            return {}
        extents = self._own_attributes().get("extents")
        return extents if isinstance(extents, dict) else {}

    def _own_attributes(self) -> dict[str, Any]:
        """Return the current attributes of the root group in our namespace."""
        content = self._root.read()
        attributes = content.get("attributes", content).get("ome_writers")
        return attributes if isinstance(attributes, dict) else {}


open_pixels = ZarrPixels


def open_array(root: Path, key: str, cache_bytes: int) -> Any:
    """Open an array with `ZarrArray`, or with zarr-python (if installed) where that does not support it."""
    folder = member(root, key) if key else root
    try:
        return ZarrArray(folder, root, cache_bytes)
    except InvalidFileError:
        raise
    except UnsupportedError:
        try:
            return open_with_zarr_python(folder, root)
        except ImportError:
            pass
        raise


class ZarrArray:
    """An array read plane by plane: ``array[t, c, z]`` is the plane (y, x).

    No file outside of `root` is opened. `cache_bytes` is for decoded chunks of several planes, of arrays that are not
    being written.

    Raises UnsupportedError if the codec, chunk grid or data type is not supported; InvalidFileError if the array
    metadata are inconsistent or contain invalid numbers.
    """

    def __init__(self, folder: Path, root: Path, cache_bytes: int = 0) -> None:
        self._metadata = CachedJsonFile(array_metadata_file(folder), root)
        self._folder, self._root = folder, root
        self._at: Any = locate(root, folder.relative_to(root).as_posix())  # a dataclass
        # the metadata whose shape was checked, and the shape
        self._checked: tuple[dict[str, Any] | None, tuple[int, ...]] = None, ()
        self.dtype: np.dtype[np.generic] = np.dtype(np.uint8)
        try:
            self._open(parse_array_metadata(self._metadata.read(), folder), cache_bytes)
        except InvalidFileError:
            raise
        except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
            what = f"{type(error).__name__}: {error}"
            raise InvalidFileError(
                f"{self._metadata.path} is not valid array metadata: {what}."
            ) from error

    def _open(self, metadata: ArrayMetadata, cache_bytes: int) -> None:
        folder = self._folder
        if metadata.shard_codecs:
            names = [codec["name"] for codec in metadata.shard_codecs]
            raise UnsupportedError(f"{folder}: the codecs {names} of shards are not supported.")
        self._chunk = metadata.chunks
        index = _index_format(metadata, folder) if metadata.shards else None
        self.dtype, decoders = _pipeline(metadata.data_type, metadata.codecs, folder)
        nbytes = check_memory(math.prod(self._chunk) * self.dtype.itemsize, f"{folder}: a chunk")
        limit = 2 * nbytes + _MAX_CODEC_OVERHEAD_BYTES
        self._encoding = ChunkEncoding(
            self._chunk, self.dtype, metadata.chunks_per_shard, index, decoders, limit, limit
        )
        # whether chunks are stored as they are in memory, but for their checksum
        self._has_checksum = decoders[:1] == [CRC32C.decode]
        self._is_raw = len(decoders) == self._has_checksum and self.dtype.isnative
        several_planes = math.prod(self._chunk[:-2]) > 1
        self._max_cached_chunks = cache_bytes // nbytes if several_planes else 0
        self._remote_indexes: dict[Location, tuple[int, NDArray[np.uint64]]] = {}
        self._cache: OrderedDict[tuple[int, ...], NDArray[np.generic] | None] = OrderedDict()
        self._fill = fill = metadata.fill_value
        if self.dtype.kind == "c":
            real, imaginary = map(float, fill)
            self._fill = complex(real, imaginary)
        elif self.dtype.kind == "f" and isinstance(fill, str) and fill[:2] != "0x":
            self._fill = float(fill)
        self._v2_keys, self._separator = metadata.v2_keys, metadata.separator
        np.full(1, self._fill, self.dtype)  # raises if the fill value does not have this data type
        _ = self.shape  # checks the memory needed for a plane

    @property
    def shape(self) -> tuple[int, ...]:
        metadata, (checked, shape) = self._metadata.read(), self._checked
        if metadata is checked:
            return shape
        shape = check_shape(metadata.get("shape"), self._folder, axes=len(self._chunk))
        check_memory((*shape[-2:], self.dtype.itemsize), f"{self._folder}: a plane")
        tiles = math.prod(-(-n // c) for n, c in zip(shape[-2:], self._chunk[-2:], strict=True))
        check_count(
            tiles, f"{self._folder}: the number of chunks in a plane", _MAX_CHUNKS_PER_PLANE
        )
        self._checked = metadata, shape
        return shape

    def read(
        self, index: tuple[int, ...], out: NDArray[np.generic] | None = None
    ) -> NDArray[np.generic]:
        """Return the plane at `index`, one integer per axis before y and x.

        `out` is an earlier plane of this array, whose memory may be used.

        Raises TornChunkError if a chunk exists but cannot be read.
        """
        *_, height, width = self.shape
        cy, cx = self._chunk[-2:]
        plane: NDArray[np.generic]
        if out is not None and out.shape == (height, width):
            plane = out
        else:
            plane = np.empty((height, width), self.dtype.newbyteorder("="))
        cell = tuple(i // c for i, c in zip(index, self._chunk, strict=False))
        if self._is_raw and math.prod(self._chunk) == plane.size and (cy, cx) == plane.shape:
            if self._read_chunk((*cell, 0, 0), plane) is None:
                plane[...] = self._fill
            return plane
        inside = tuple(i % c for i, c in zip(index, self._chunk, strict=False))
        for row in range(math.ceil(height / cy)):
            for column in range(math.ceil(width / cx)):
                chunk = self._cached_chunk((*cell, row, column))
                part = plane[row * cy : (row + 1) * cy, column * cx : (column + 1) * cx]
                if chunk is None:
                    part[...] = self._fill
                else:
                    part[...] = chunk[inside][: part.shape[0], : part.shape[1]]
        return plane

    __getitem__ = read

    def has_plane(self, index: tuple[int, ...], known: dict[Location, Any]) -> bool:
        """Return whether a chunk with the plane at `index` is stored; `known` has the indexes of shards read before."""
        cell = tuple(i // c for i, c in zip(index, self._chunk, strict=False))
        tiles = (-(-n // c) for n, c in zip(self.shape[-2:], self._chunk[-2:], strict=True))
        return any(self._has_chunk((*cell, *tile), known) for tile in np.ndindex(*tiles))

    def _has_chunk(self, coordinate: tuple[int, ...], known: dict[Location, Any]) -> bool:
        at, sharded = self._location(coordinate), self._encoding.index_format is not None
        if at not in known:
            with ExitStack() as files:
                file = self._open_file(coordinate, files)
                if sharded and file is not None:
                    file.index()  # while it is open
            known[at] = file
        file = known[at]
        if file is None or not sharded:
            return file is not None and file.nbytes > 0
        return file.find(coordinate) is not None

    def _cached_chunk(self, coordinate: tuple[int, ...]) -> NDArray[np.generic] | None:
        """Return a decoded chunk, from the cache if possible."""
        if not self._max_cached_chunks:
            return self._read_chunk(coordinate)
        try:
            chunk = self._cache.pop(coordinate)
        except KeyError:  # not cached, or another thread has just popped it
            chunk = self._read_chunk(coordinate)
        self._cache[coordinate] = chunk  # most recently used last
        while len(self._cache) > self._max_cached_chunks:
            self._cache.popitem(last=False)
        return chunk

    def _read_chunk(
        self, coordinate: tuple[int, ...], out: NDArray[np.generic] | None = None
    ) -> NDArray[np.generic] | None:
        """Return a decoded chunk, in `out` if chunks are not encoded; None if it does not exist."""
        error: Exception | None = None
        for _ in range(_MAX_READ_RETRIES):
            try:
                if out is not None:
                    memory = out.reshape(-1).view(np.uint8).data
                    with ExitStack() as files:
                        file = self._open_file(coordinate, files)
                        found = file is not None and file.read_into(
                            coordinate, memory, checksum=self._has_checksum
                        )
                    return out if found else None
                stored = self._read_stored(coordinate)
                return None if stored is None else self._encoding.decode(stored)
            except (InvalidFileError, MovedFileError):
                raise
            except (OSError, ValueError, RuntimeError) as failure:  # raised by numcodecs' decoders
                error = failure
                time.sleep(_RETRY_INTERVAL_S)
        reason = f"{type(error).__name__}: {error}".rstrip(".")
        from ome_writers.formats.omezarr.array_survey import describe_planes

        planes = describe_planes(coordinate, self._chunk, self.shape)
        raise TornChunkError(
            f"{self._folder}: {planes}, chunk {coordinate}, cannot be read: {reason}."
        ) from error

    def _read_stored(self, coordinate: tuple[int, ...]) -> bytes | None:
        if self._encoding.index_format is None:
            try:
                return self._location(coordinate).read(self._encoding.max_stored_bytes)
            except (FileNotFoundError, NotADirectoryError):
                return None
        with ExitStack() as files:
            file = self._open_file(coordinate, files)
            return None if file is None else file.read(coordinate)

    def _open_file(self, coordinate: tuple[int, ...], files: ExitStack) -> ChunkFile | None:
        """Open the file of a chunk, or its shard; return None if it does not exist.

        The index of a remote shard is kept until the shard changes.
        """
        at = self._location(coordinate)
        try:
            file, (start, nbytes) = files.enter_context(at.open_range())
        except (FileNotFoundError, NotADirectoryError):
            return None
        found = ChunkFile(self._encoding, file, nbytes, start)
        index = self._encoding.index_format
        version = None if index is None else at.version()
        if index is None or version is None:
            return found
        known, entries = self._remote_indexes.get(at, (None, None))
        if known == version:
            found.entries = entries
        elif index.nbytes <= _MAX_KEPT_INDEX_BYTES:
            if len(self._remote_indexes) >= _MAX_KEPT_INDEXES:
                self._remote_indexes.clear()
            self._remote_indexes[at] = version, found.index()
        return found

    def _location(self, coordinate: Sequence[int]) -> Location:
        """Return where the file of a chunk, or its shard, is."""
        file = [i // n for i, n in zip(coordinate, self._encoding.per_file, strict=True)]
        key = self._separator.join(map(str, file))
        if not self._v2_keys:
            key = f"c{self._separator}{key}"
        at: Location = replace(self._at, key=f"{self._at.key}/{key}".lstrip("/"))
        return at


def _index_format(metadata: ArrayMetadata, folder: Path) -> ShardIndexFormat:
    names = list(metadata.index_codecs)
    if names not in (["bytes"], ["bytes", "crc32c"]):
        raise UnsupportedError(f"{folder}: the shard index codecs {names} are not supported.")
    chunks = math.prod(metadata.chunks_per_shard)
    return ShardIndexFormat(chunks, metadata.index_at_start, checksum="crc32c" in names)


def _pipeline(
    data_type: Any, codecs: Sequence[dict[str, Any]], folder: Path
) -> tuple[np.dtype[np.generic], list[Decoder]]:
    """Return the stored dtype and the decoders in the order in which they are applied."""
    try:
        dtype = np.dtype(data_type)
        if not isinstance(data_type, str) or dtype.kind not in "biufc":
            raise TypeError
    except (TypeError, ValueError, SyntaxError):
        raise UnsupportedError(f"{folder}: the data type {data_type!r} is not supported.") from None
    first, *rest = codecs
    if first["name"] != "bytes":
        raise UnsupportedError(f"{folder}: the codec {first['name']!r} is not supported.")
    if first.get("configuration", {}).get("endian") == "big":
        dtype = dtype.newbyteorder(">")
    return dtype, [_decoder(codec["name"], folder) for codec in reversed(rest)]


def _decoder(name: str, folder: Path) -> Decoder:
    codec = find_zarr_codec(name)
    if codec is None:
        raise UnsupportedError(f"{folder}: the codec {name!r} is not supported.")
    return codec.decode


class CachedJsonFile:
    """A JSON file that is parsed again only after it was replaced. Safe to use from any thread.

    While the file is missing or being replaced, its previous content is returned. `root` is the folder of the dataset,
    which links in `path` must not lead out of.
    """

    def __init__(self, path: Path, root: Path) -> None:
        self.path = path
        self._root = root
        self._stat = locate(root, path.relative_to(root).as_posix()).stat  # of what is replaced
        self._lock = threading.Lock()
        self._version: tuple[int, int, int] | None = None
        self._content: dict[str, Any] | None = None

    def read(self) -> dict[str, Any]:
        """Return the content, which is shared and must not be modified.

        Raises OSError, ValueError if the file cannot be read and has not been read before.
        """
        with self._lock:
            try:
                stat = self._stat()
                version = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
                if version != self._version:
                    self._content = read_json(self.path, root=self._root)
                    self._version = version
            except (OSError, ValueError):
                if self._content is None:
                    raise
            assert self._content is not None
            return self._content
