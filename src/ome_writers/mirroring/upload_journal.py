"""The journal of an upload: a JSON line for each object, beside the dataset. It makes an upload resumable."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from ome_writers.storage import sibling_path


def journal_path(dataset: Path) -> Path:
    return sibling_path(dataset, "upload.jsonl")


@dataclass(frozen=True)
class StoredObject:
    """An object, and the size and modification time of the file that it is a copy of."""

    key: str
    size: int
    mtime_ns: int
    etag: str = ""


class UploadJournal:
    """The objects of one destination. Thread-safe.

    A line that was torn by a crash is ignored, and so is the journal of another destination: all files are sent again.
    """

    def __init__(self, path: Path, url: str) -> None:
        self.path = path
        self._objects: dict[str, StoredObject] = {}
        self._lock = threading.Lock()
        lines = self._read()
        header = {"url": url}
        if next(lines, None) == header:
            for line in lines:
                with suppress(TypeError):
                    self._set(StoredObject(**line))
        self._file: TextIO = path.open("w", encoding="utf-8")
        self._write(header)
        for entry in self._objects.values():
            self._write(asdict(entry))

    def _read(self) -> Iterator[dict[str, Any]]:
        with suppress(FileNotFoundError), self.path.open(encoding="utf-8") as file:
            for line in file:
                with suppress(json.JSONDecodeError):
                    yield json.loads(line)

    def get(self, key: str) -> StoredObject | None:
        """Return the object of a key, None if it is not uploaded."""
        return self._objects.get(key)

    def keys(self) -> set[str]:
        """Return the keys of all uploaded objects."""
        return set(self._objects)

    def add(self, entry: StoredObject) -> None:
        """Record an object that is complete in the store; of size -1 one that was deleted there."""
        with self._lock:
            self._set(entry)
            self._write(asdict(entry))

    def close(self) -> None:
        """Close the file; it stays, so that a later upload only copies what has changed."""
        self._file.close()

    def _set(self, entry: StoredObject) -> None:
        self._objects[entry.key] = entry
        if entry.size < 0:
            del self._objects[entry.key]

    def _write(self, line: Mapping[str, object]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
