"""Frame metadata journal: one line of JSON per frame, appended while frames arrive."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from ome_writers.errors import InvalidFileError, MetadataError
from ome_writers.file_sync import sync, sync_folder
from ome_writers.formats.strict_json import (
    PLAIN_TYPES,
    check_readable,
    json_problem,
    offending_key,
    to_strict_json,
)
from ome_writers.untrusted import Limit, parse_json, read_file_lines

JournalEntry = tuple[int, tuple[int, ...], bytes]
"""Image number, storage index, and the frame metadata as JSON."""

JOURNAL_NAME = "frame_metadata.jsonl"
EMBED_BYTES = 2**20
"""Frame metadata of an image up to this size is embedded in its group metadata; more stays in the journal."""


_BLOCK_BYTES = 2**16
_UNCHECKED_BYTES = 308  # shorter JSON cannot contain a number beyond the range of a float


def encode_storage_index(image: int, index: tuple[int, ...]) -> bytes:
    """Return the JSON member ``"storage_index"``."""
    return b'"storage_index":[%s]' % ",".join(map(str, index)).encode()


class Journal:
    """The frame metadata of one acquisition, in one file per image.

    Entries are in memory from `record` to `pop_pending`, and on disk after `write`.

    A file is created with its first line; with `durable`, `write` calls fsync. See `Layout.encode_address`.
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
        self._reserved = {
            "storage_index",
            *parse_json(b"{%s}" % encode_address(0, ()), "an address"),
        }
        self._paths = [root / key for key in keys]
        self._durable = durable
        self._pending: list[JournalEntry] = []
        self._counts = [0] * len(keys)
        self._torn: set[Path] = set()  # files that may end with a partial line

    @classmethod
    def open_existing(
        cls,
        root: Path,
        keys: Sequence[str],
        *,
        durable: bool = False,
        encode_address: Callable[[int, tuple[int, ...]], bytes] = encode_storage_index,
    ) -> Journal:
        """Return the journal of an earlier writer on disk."""
        journal = cls(root, keys, durable=durable, encode_address=encode_address)
        for image, path in enumerate(journal._paths):
            journal._counts[image] = sum(1 for _ in read_file_lines(path))
        return journal

    def encode(self, metadata: Mapping[str, Any]) -> bytes:
        """Return one frame's metadata as strict JSON.

        Values are converted as by `to_strict_json`.

        Raises MetadataError if a key is not a string or is reserved, a value cannot be represented in JSON, is nested
        more than 128 levels deep, or is a number beyond the range of a float; or if the JSON is too long.
        """
        try:
            try:
                "".join(metadata)  # the fastest check that all keys are strings
            except TypeError:
                to_strict_json(dict(metadata.items()))  # names the key
            if type(metadata) is dict and PLAIN_TYPES.issuperset(map(type, metadata.values())):
                encoded = to_json(metadata, inf_nan_mode="null")
                if len(encoded) > _UNCHECKED_BYTES:
                    check_readable(encoded)
            else:
                encoded = to_strict_json(dict(metadata.items()))
        except (PydanticSerializationError, ValueError, TypeError, RecursionError) as error:
            raise MetadataError(
                f"frame_metadata cannot be written as JSON ({offending_key(metadata)}): {json_problem(error)}. "
                f"Use strings, numbers, booleans, None, lists and dicts of these."
            ) from error
        except AttributeError:
            raise _not_a_mapping_error(metadata) from None
        if not self._reserved.isdisjoint(metadata):
            key = min(self._reserved.intersection(metadata))
            raise MetadataError(
                f"frame_metadata may not have the key {key!r}: it is reserved for the storage index. "
                f"Choose another key."
            )
        if len(encoded) > Limit.JOURNAL_LINE // 2:
            raise MetadataError(
                f"frame_metadata of one frame may have at most {Limit.JOURNAL_LINE // 2:,} bytes as JSON, got "
                f"{len(encoded):,}. Store large data in a separate file, and its name here."
            )
        return encoded

    def record(self, image: int, index: tuple[int, ...], encoded: bytes) -> None:
        """Add the encoded metadata of one frame; `index` is its storage index."""
        self._pending.append((image, index, encoded))
        self._counts[image] += 1

    @property
    def has_entries(self) -> bool:
        """Whether any frame has metadata."""
        return any(self._counts)

    @property
    def pending(self) -> Sequence[JournalEntry]:
        """The entries that are not on disk."""
        return self._pending

    def pop_pending(self) -> list[JournalEntry]:
        """Return the entries that are not on disk, and remove them from memory."""
        pending, self._pending = self._pending, []
        return pending

    def write(self, entries: Iterable[JournalEntry]) -> None:
        """Append a line per entry to the images' files.

        Raises OSError if lines could not be written; their entries are pending again.
        """
        by_image: dict[int, list[JournalEntry]] = {}
        for entry in entries:
            by_image.setdefault(entry[0], []).append(entry)
        first_error: OSError | None = None
        for image, of_image in by_image.items():
            text = b"".join(
                _line(self._encode_address(image, index), encoded) for _, index, encoded in of_image
            )
            try:
                self._append(self._paths[image], text)
            except OSError as error:
                first_error = first_error or error
                self._pending[:0] = of_image
        if first_error is not None:
            raise first_error

    def _append(self, path: Path, text: bytes) -> None:
        is_new = not path.exists()
        if path in self._torn:
            truncate_partial_line(path, dry_run=False)
            self._torn.discard(path)
        with path.open("ab", buffering=0) as file:
            size = file.tell()
            try:
                remaining = memoryview(text)
                while remaining:
                    remaining = remaining[file.write(remaining) :]
                if self._durable:
                    sync(file.fileno())
            except OSError:
                self._torn.add(path)
                with suppress(OSError):  # keep the original error
                    file.truncate(size)  # remove a partial line
                    self._torn.discard(path)
                raise
        if self._durable and is_new:
            sync_folder(path.parent)

    def count(self, image: int) -> int:
        """Return the number of frames with metadata."""
        return self._counts[image]

    def size(self, image: int) -> int:
        """Return the number of bytes on disk."""
        try:
            return self._paths[image].stat().st_size if self._counts[image] else 0
        except FileNotFoundError:
            return 0

    def lines(self, image: int) -> Iterator[bytes]:
        if self._counts[image]:
            yield from read_file_lines(self._paths[image])

    def discard(self, image: int) -> None:
        self._paths[image].unlink(missing_ok=True)
        if self._durable:
            sync_folder(self._paths[image].parent)


def truncate_partial_line(path: Path, *, dry_run: bool) -> bool:
    """Remove a partial last line of a journal, as a crash leaves it; return whether there is one."""
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
                    f"{path} is not a frame metadata journal: its last line has more than "
                    f"{int(Limit.JOURNAL_LINE):,} bytes."
                )
        if whole < end and not dry_run:
            file.truncate(whole)
    return whole < end


def latest_entries(lines: Iterable[bytes], *, strict: bool = False) -> list[dict[str, Any]]:
    """Return the latest entry of each storage index, in the order in which the indices first occur.

    A line that cannot be parsed, as power loss may leave it, is skipped; with `strict` it raises ValueError, KeyError
    or TypeError.
    """
    entries: dict[tuple[int, ...], dict[str, Any]] = {}
    for line in lines:
        try:
            entry = parse_json(line, "a line of frame metadata")
            index = entry["storage_index"]
            if not isinstance(index, list) or not all(type(i) is int and i >= 0 for i in index):
                raise ValueError(
                    f"storage_index is {index!r:.100}, not a list of non-negative integers"
                )
            entries[tuple(index)] = entry
        except (ValueError, KeyError, TypeError):
            if strict:
                raise
    return list(entries.values())


def _not_a_mapping_error(metadata: object) -> MetadataError:
    return MetadataError(
        f"frame_metadata must be a mapping with string keys, got {type(metadata).__name__}."
    )


def _line(address: bytes, encoded: bytes) -> bytes:
    return b"{%s%s\n" % (address, b"}" if encoded == b"{}" else b"," + encoded[1:])
