"""What is known of each frame: journalled while it arrives, one line of JSON a frame."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from pydantic_core import PydanticSerializationError, to_json

from ome_writers.errors import InvalidFileError, MetadataError
from ome_writers.formats.strict_json import (
    PLAIN_TYPES,
    check_readable,
    offending_key,
    to_strict_json,
)
from ome_writers.untrusted import Limit, parse_json, read_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = [
    "EMBED_BYTES",
    "JOURNAL_NAME",
    "FrameMetadataSource",
    "Journal",
    "JournalEntry",
    "encode_storage_index",
    "latest_entries",
    "truncate_partial_line",
]

JournalEntry = tuple[int, tuple[int, ...], bytes]
"""Image number, storage index, and the frame metadata as JSON."""

JOURNAL_NAME = "frame_metadata.jsonl"
EMBED_BYTES = 2**20
"""Frame metadata up to this size, an image, is part of the documents; more stays in the journal."""


_BLOCK_BYTES = 2**16
_SHORT_BYTES = 308  # a number beyond the range of a float has more digits


def encode_storage_index(image: int, index: tuple[int, ...]) -> bytes:
    """Return a frame's place in its image as the JSON member ``"storage_index"``."""
    return b'"storage_index":[%s]' % ",".join(map(str, index)).encode()


class FrameMetadataSource(Protocol):
    """The frame metadata of each image, wherever it is kept."""

    def count(self, image: int) -> int:
        """Return how many frames of an image came with metadata."""
        ...

    def lines(self, image: int) -> Iterable[bytes]:
        """Iterate over an image's frames: ``{"storage_index": [...], ...}`` each."""
        ...


class Journal:
    """The frame metadata of one acquisition, in a file an image.

    Only what has come since the last `take` is in memory.

    Parameters
    ----------
    root
        The folder below which the keys lie.
    keys
        Key of each image's file. None of them is made before it has a line.
    durable
        Whether `write` forces lines to the medium.
    encode_address
        How a line names its frame's place, as JSON members; see `Layout.encode_address`.
    """

    def __init__(
        self,
        root: Path,
        keys: Sequence[str],
        *,
        durable: bool,
        encode_address: Callable[[int, tuple[int, ...]], bytes] = encode_storage_index,
    ) -> None:
        self._encode_address = encode_address
        # the names of the members that each line begins with
        self._reserved = {"storage_index", *parse_json(b"{%s}" % encode_address(0, ()), "a place")}
        self._paths = [root / key for key in keys]
        self._durable = durable
        self._pending: list[JournalEntry] = []
        self._counts = [0] * len(keys)
        self._torn: set[Path] = set()  # files that may end in the middle of a line

    @classmethod
    def open_existing(cls, root: Path, keys: Sequence[str]) -> Journal:
        """Return the journal that a writer has left on disk."""
        journal = cls(root, keys, durable=False)
        for image, path in enumerate(journal._paths):
            journal._counts[image] = sum(1 for _ in read_lines(path))
        return journal

    def encode(self, metadata: Mapping[str, Any]) -> bytes:
        """Return one frame's metadata as strict JSON.

        numpy scalars and arrays, paths, dates and the like are converted; NaN and infinity become null.

        Raises
        ------
        MetadataError
            If a key is not a string or is reserved, a value has no JSON form (bytes and cycles have none), is nested
            more than 128 levels deep, or is a number beyond the range of a float: these could not be read again.
        """
        try:
            "".join(metadata)  # the fastest way to find out whether all keys are strings
            if type(metadata) is dict and PLAIN_TYPES.issuperset(map(type, metadata.values())):
                encoded = to_json(metadata, inf_nan_mode="null")
                if len(encoded) > _SHORT_BYTES:
                    check_readable(encoded)
            else:
                encoded = to_strict_json(dict(metadata.items()))
        except (PydanticSerializationError, ValueError, TypeError, RecursionError) as error:
            if not hasattr(metadata, "items"):
                raise _no_mapping(metadata) from None
            raise MetadataError(
                f"frame_metadata cannot be written as JSON ({offending_key(metadata)}): {error}. Use strings, numbers, "
                f"booleans, None, lists and dicts of these."
            ) from error
        except AttributeError:
            raise _no_mapping(metadata) from None
        if not self._reserved.isdisjoint(metadata):
            taken = sorted(self._reserved.intersection(metadata))
            raise MetadataError(
                f"frame_metadata may not have the key {taken[0]!r}: it names the place. Choose another key."
            )
        if len(encoded) > Limit.JOURNAL_LINE // 2:
            raise MetadataError(
                f"frame_metadata of one frame may have {Limit.JOURNAL_LINE // 2:,} bytes as JSON, got "
                f"{len(encoded):,}."
            )
        return encoded

    def record(self, image: int, index: tuple[int, ...], encoded: bytes) -> None:
        """Add the metadata of the frame at storage index `index` of an image."""
        self._pending.append((image, index, encoded))
        self._counts[image] += 1

    @property
    def has_pending(self) -> bool:
        """Whether something is not on disk that was recorded."""
        return bool(self._pending)

    def pop_pending(self) -> list[JournalEntry]:
        """Return what is not on disk, and forget it."""
        pending, self._pending = self._pending, []
        return pending

    def write(self, records: Iterable[JournalEntry]) -> None:
        """Append a line for each record to the images' files.

        Raises
        ------
        OSError
            If lines are not on disk; those are recorded again, for the next `take`.
        """
        by_image: dict[int, list[JournalEntry]] = {}
        for record in records:
            by_image.setdefault(record[0], []).append(record)
        first: OSError | None = None
        for image, those in by_image.items():
            text = b"".join(
                _line(self._encode_address(image, index), encoded) for _, index, encoded in those
            )
            try:
                self._append(self._paths[image], text)
            except OSError as error:
                first = first or error
                self._pending[:0] = those
        if first is not None:
            raise first

    def _append(self, path: Path, text: bytes) -> None:
        new = not path.exists()
        if path in self._torn:
            truncate_partial_line(path, dry_run=False)
            self._torn.discard(path)
        with path.open("ab", buffering=0) as file:
            whole = file.tell()
            try:
                rest = memoryview(text)
                while rest:
                    rest = rest[file.write(rest) :]
                if self._durable:
                    os.fsync(file.fileno())
            except OSError:
                self._torn.add(path)
                with suppress(OSError):  # the first error is the one that tells
                    file.truncate(whole)  # no line is left half written
                    self._torn.discard(path)
                raise
        if self._durable and new:
            _sync_folder(path.parent)

    def count(self, image: int) -> int:
        """Return how many frames of an image came with metadata."""
        return self._counts[image]

    def size(self, image: int) -> int:
        """Return how many bytes of an image's metadata are on disk."""
        try:
            return self._paths[image].stat().st_size if self._counts[image] else 0
        except FileNotFoundError:
            return 0

    def lines(self, image: int) -> Iterator[bytes]:
        """Iterate over an image's lines on disk."""
        if self._counts[image]:
            yield from read_lines(self._paths[image])

    def discard(self, image: int) -> None:
        """Remove an image's file."""
        self._paths[image].unlink(missing_ok=True)
        if self._durable:
            _sync_folder(self._paths[image].parent)


def truncate_partial_line(path: Path, *, dry_run: bool) -> bool:
    """Cut off what a journal ends with in the middle of a line; return whether there was such a thing."""
    if not path.is_file():
        return False
    with path.open("rb" if dry_run else "r+b") as file:
        whole = end = file.seek(0, os.SEEK_END)
        while whole:
            begin = max(0, whole - _BLOCK_BYTES)
            file.seek(begin)
            found = file.read(whole - begin).rfind(b"\n")
            whole = begin + found + 1
            if found >= 0:
                break
            if end - whole > Limit.JOURNAL_LINE:
                raise InvalidFileError(
                    f"{path} ends with more than {int(Limit.JOURNAL_LINE):,} bytes without a line end, "
                    f"which is no frame metadata."
                )
        if whole < end and not dry_run:
            file.truncate(whole)
    return whole < end


def latest_entries(lines: Iterable[bytes], *, strict: bool = False) -> list[dict[str, Any]]:
    """Return the metadata of each place, in the order in which the places were first filled.

    Of a place that was filled twice the later frame counts, like its pixels. A line that cannot be read (power loss
    makes such lines where nothing is forced to the medium) is left out, or with `strict` raises
    ValueError, KeyError or TypeError.
    """
    found: dict[tuple[int, ...], dict[str, Any]] = {}
    for line in lines:
        try:
            entry = parse_json(line, "a line of frame metadata")
            index = entry["storage_index"]
            if not isinstance(index, list) or not all(type(i) is int and i >= 0 for i in index):
                raise ValueError(f"storage_index is {index!r:.100}, not a list of numbers")
            found[tuple(index)] = entry
        except (ValueError, KeyError, TypeError):
            if strict:
                raise
    return list(found.values())


def _no_mapping(metadata: object) -> MetadataError:
    return MetadataError(
        f"frame_metadata must be a mapping with string keys, got {type(metadata).__name__}."
    )


def _line(place: bytes, encoded: bytes) -> bytes:
    return b"{%s%s\n" % (place, b"}" if encoded == b"{}" else b"," + encoded[1:])


def _sync_folder(folder: Path) -> None:
    """Force the name of a new journal to the medium (where folders can be opened: not on Windows)."""
    if os.name != "nt":
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
