"""The journal of an upload: a JSON line for each object, beside the dataset. It makes an upload resumable."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TextIO

from ome_writers import OMEWritersError
from ome_writers.toolkit import atomic_write, is_link, read_lines, sibling_path

_log = logging.getLogger("ome_writers")

_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


def journal_path(dataset: Path) -> Path:
    return sibling_path(dataset, "upload.jsonl")


@dataclass(frozen=True)
class StoredObject:
    """An object, size and modification time of the file that it is a copy of, and the checksum of what was sent.

    `checksum` is that of `verification.Checksum`.
    """

    key: str
    size: int
    mtime_ns: int
    checksum: str = ""


class UploadJournal:
    """The objects of one destination and one dataset. Thread-safe.

    It only saves sending files again; it is not proof of what is in the store. Lines that are not valid are ignored,
    and so are a journal that is not a regular file, or is of another destination or dataset. Without permission to
    write it, it is kept in memory.

    Attributes
    ----------
    dataset
        Id of the dataset that was uploaded from the same path to the same destination; None if there was none.
    """

    def __init__(self, path: Path, url: str) -> None:
        self.path = path
        self.dataset: str | None = None
        self._url = url
        self._objects: dict[str, StoredObject] = {}
        self._lock = threading.Lock()
        self._file: TextIO | None = None
        lines = self._read()
        header = next(lines, {})
        if header.get("url") == url and isinstance(header.get("dataset"), str):
            self.dataset = header["dataset"]
            for line in lines:
                with suppress(TypeError):
                    entry = StoredObject(**line)
                    if all(type(getattr(entry, f.name)).__name__ == f.type for f in fields(entry)):
                        self._set(entry)

    def _read(self) -> Iterator[dict[str, Any]]:
        if is_link(self.path):
            return
        with suppress(OSError, OMEWritersError):
            for line in read_lines(self.path):
                with suppress(ValueError, RecursionError):
                    content = json.loads(line)
                    if isinstance(content, dict):
                        yield content

    def start(self, dataset: str) -> None:
        """Write the journal; forget the objects if they are those of another dataset. Later entries are added to it."""
        if dataset != self.dataset:
            self.clear()
        self.dataset = dataset
        lines = [{"url": self._url, "dataset": dataset}, *map(asdict, self._objects.values())]
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        try:
            atomic_write(self.path, text.encode())  # replaces a link
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | _NO_LINK)
            self._file = os.fdopen(descriptor, "a", encoding="utf-8")
        except OSError as error:
            _log.info(
                "%s cannot be written (%s): if this upload is interrupted, the next one sends all files again.",
                self.path,
                error,
            )

    def get(self, key: str) -> StoredObject | None:
        """Return the object of a key, None if it is not uploaded."""
        return self._objects.get(key)

    def keys(self) -> set[str]:
        """Return the keys of all uploaded objects."""
        return set(self._objects)

    def add(self, entry: StoredObject) -> None:
        """Record an object that is complete in the store."""
        with self._lock:
            self._set(entry)
            self._write(asdict(entry))

    def remove(self, key: str) -> None:
        """Record that an object was deleted, or that its content is not that of the file."""
        if key in self._objects:
            self.add(StoredObject(key, -1, 0))

    def clear(self) -> None:
        """Forget all objects, before `start`."""
        self._objects.clear()

    def close(self) -> None:
        """Close the file; it stays, so that a later upload only copies what has changed."""
        with self._lock:
            if self._file is not None:
                self._file.close()
            self._file = None

    def _set(self, entry: StoredObject) -> None:
        self._objects[entry.key] = entry
        if entry.size < 0:
            del self._objects[entry.key]

    def _write(self, line: Mapping[str, object]) -> None:
        try:
            if self._file is not None:
                self._file.write(json.dumps(line) + "\n")
                self._file.flush()
        except OSError:  # of a full disk: the upload needs no journal
            self._file = None
