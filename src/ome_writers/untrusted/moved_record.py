"""Files of a dataset that a mirror has moved to its target, to free space on this disk.

A record in the dataset, a JSON line per file, contains where they are, with size, checksum and, of a shard, its index.
A line is on the disk before its file is removed, so that each chunk is always in the dataset or found through the
record. A file that exists in the dataset is never read from the target.

The record is untrusted: the target is only read if it contains the claim of the dataset that the record names, a
document which mirrors write, and only below it.
"""

from __future__ import annotations

import json
import os
import threading
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from ome_writers.errors import MovedFileError, OMEWritersError, UnsupportedError
from ome_writers.file_sync import sync, sync_folder
from ome_writers.untrusted.files import ByteRange, Limit, check_space, is_link, open_regular
from ome_writers.untrusted.remote import RemotePath, parse_url

if TYPE_CHECKING:
    from ome_writers.untrusted.location import Location

_BLOCK_BYTES = 2**22
_MAX_DATASETS = 64  # whose records are kept in memory


class MovedFile(NamedTuple):
    """Size, checksum (MD5, or that of its parts), and stored index of a shard; empty for a chunk file."""

    size: int
    checksum: str
    shard_index: bytes = b""


class MovedFiles:
    """The files of the dataset at `root` that are at a target instead; thread-safe.

    Attributes
    ----------
    url, dataset
        Where they are, and the id of the dataset; empty if no file was moved yet.
    RECORD
        Name of the record.
    CLAIM
        Name of the document below the URL of a mirror with the id of the dataset whose copy is there.
    """

    RECORD = ".ome-writers.moved.jsonl"
    CLAIM = ".ome-writers.upload.json"

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / self.RECORD
        self.url = self.dataset = ""
        self._files: dict[str, MovedFile] = {}
        self._lock = threading.Lock()
        self._parsed = 0  # bytes
        self._version: tuple[int, int] | None = None  # size and file number
        self._target: Path | None = None  # whose claim was checked

    # ------------------------------------------------------------------ reading

    def refresh(self) -> None:
        """Read what was added to the record."""
        try:
            stat = self.path.stat()
        except OSError:
            version = None
        else:
            version = (stat.st_size, stat.st_ino)
        if version == self._version:
            return
        with self._lock:
            if version is None or (self._version and version[1] != self._version[1]):
                self._files, self._parsed, self._target = {}, 0, None
                self.url = self.dataset = ""
            if version is not None:
                with suppress(FileNotFoundError):
                    self._parse()
            self._version = version  # last: until then, other threads wait for the lock

    def _parse(self) -> None:
        with open(open_regular(self.path, root=self.root), "rb") as file:
            file.seek(self._parsed)
            while (line := file.readline(Limit.JOURNAL_LINE)).endswith(b"\n"):
                self._parsed += len(line)
                with suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):
                    self._add_line(json.loads(line))

    def _add_line(self, line: dict[str, Any]) -> None:
        if "url" in line:
            if not self.url:
                self.url, self.dataset = str(line["url"]), str(line["dataset"])
            return
        key, size = line["key"], line["size"]
        if not isinstance(key, str) or type(size) is not int:
            return
        if size < 0:
            self._files.pop(key, None)
        else:
            self._files[key] = MovedFile(size, str(line["checksum"]), b64decode(line["index"]))

    def __len__(self) -> int:
        return len(self._files)

    def __contains__(self, key: str) -> bool:
        return key in self._files

    def __getitem__(self, key: str) -> MovedFile:
        return self._files[key]

    def items(self) -> list[tuple[str, MovedFile]]:
        """Return key and properties of the files that are not in the dataset."""
        with self._lock:
            items = list(self._files.items())
        return [(key, file) for key, file in items if not os.path.lexists(self.root / key)]

    def chunks(self, array: str, axes: int) -> Iterator[tuple[tuple[int, ...], MovedFile]]:
        """Yield coordinate and properties of the moved chunk files, or shards, of an array."""
        start = f"{array}/c/"
        for key, file in self.items():
            if key.startswith(start):
                parts = key[len(start) :].split("/")
                if len(parts) == axes and all(p.isascii() and p.isdigit() for p in parts):
                    yield tuple(map(int, parts)), file

    def location(self, key: str) -> Location:
        """Return where a file is at the target; MovedFileError if the target is not that of the dataset."""
        from ome_writers.untrusted.location import locate_stored

        with self._errors(key):
            target = self._target or parse_url(self.url)
            if self._target is None:
                claim = json.loads(locate_stored(target, self.CLAIM).read(Limit.LOCK))
                if claim.get("dataset") != self.dataset or not self.dataset:
                    raise ValueError(f"it is claimed by {str(claim.get('dataset'))[:80]!r}")
                self._target = target
            return locate_stored(target).child(key)

    @contextmanager
    def open_range(self, key: str) -> Iterator[tuple[BinaryIO, ByteRange]]:
        """Open a file at the target, see `Location.open_range`; MovedFileError if it cannot be read."""
        at = self.location(key)
        with self._errors(key), at.open_range() as (file, found):
            expected = self._files[key].size
            if found.size != expected:
                raise ValueError(f"it has {found.size} bytes instead of {expected}")
            yield file, found

    def read(self, key: str, offset: int = 0, size: int | None = None) -> bytes:
        """Return `size` bytes of a file at the target, from `offset` on; None: all."""
        with self.open_range(key) as (file, (start, nbytes)):
            file.seek(start + offset)
            return file.read(nbytes if size is None else size)

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        try:
            yield
        except MovedFileError:
            raise
        except (OSError, ValueError, AttributeError, RecursionError, OMEWritersError) as error:
            self._target = None
            raise MovedFileError(
                f"{self.root}: {key} was moved to {self.url}, where it cannot be read: {type(error).__name__}: "
                f"{error}. Mount the share, or check network and credentials, and try again."
            ) from error

    # ------------------------------------------------------------------ writing

    def start(self, url: str, dataset: str) -> None:
        """Create the record, or continue it; UnsupportedError if files were moved to another target."""
        self.refresh()
        if self.url:
            self.refuse_other_target(url)
            return
        self._append({"url": url, "dataset": dataset})
        sync_folder(self.root)

    def refuse_other_target(self, url: str) -> None:
        """Raise UnsupportedError if files were moved to another URL."""
        if self.url != url and (count := len(self.items())):
            raise UnsupportedError(
                f"{self.root}: {count} of its files were moved to {self.url}, and are not on this disk. Use that URL, "
                f"or copy the dataset with `ome-writers convert`, which reads them there."
            )

    def remove_local(self, key: str, file: MovedFile) -> None:
        """Record that a file is at the target, durably, and remove it from the dataset."""
        index = b64encode(file.shard_index).decode()
        self._append({"key": key, "size": file.size, "checksum": file.checksum, "index": index})
        os.unlink(self.root / key)

    def restore(self, key: str) -> None:
        """Copy a file back into the dataset."""
        path = self.root / key
        check_space(path, self._files[key].size, self.root)
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.unlink(missing_ok=True)
        with self.open_range(key) as (file, (start, size)), temporary.open("xb") as copy:
            file.seek(start)
            while size and (block := file.read(min(size, _BLOCK_BYTES))):
                copy.write(block)
                size -= len(block)
            copy.flush()
            sync(copy.fileno())
        if size:
            temporary.unlink()
            raise MovedFileError(f"{self.root}: {key} at {self.url} is {size} bytes too short.")
        temporary.replace(path)
        sync_folder(path.parent)

    def _append(self, line: dict[str, Any]) -> None:
        with self._lock:
            if is_link(self.path):
                raise UnsupportedError(f"{self.path} is a link. Remove it.")
            with self.path.open("ab") as file:
                file.write(json.dumps(line).encode() + b"\n")
                file.flush()
                sync(file.fileno())
        self.refresh()


@lru_cache(_MAX_DATASETS)
def _record(root: Path) -> MovedFiles:
    return MovedFiles(root)


def moved_files(root: Path) -> MovedFiles | None:
    """Return the moved files of a dataset on this disk; None if it has none."""
    if isinstance(root, RemotePath):
        return None
    found = _record(Path(os.path.abspath(root)))
    found.refresh()
    return found if len(found) else None


def moved_file(root: Path, key: str) -> MovedFiles | None:
    """Return the moved files of a dataset if a key that it lacks is one of them."""
    found = moved_files(root)
    return found if found is not None and key in found else None
