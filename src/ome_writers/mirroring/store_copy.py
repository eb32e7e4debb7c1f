"""`StoreCopy`: the copy of a dataset in an object store, object by object."""

from __future__ import annotations

import hashlib
import itertools
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from ome_writers.errors import UploadError
from ome_writers.mirroring.dataset_files import DatasetFile, read_unchanged, stat
from ome_writers.mirroring.upload_journal import StoredObject, UploadJournal, journal_path
from ome_writers.object_store import open_store, refuse_overlap, without_secrets

# Larger files are sent in parts: slower to some servers, and a killed upload leaves the parts in the store.
_SINGLE_REQUEST_BYTES = 512 * 2**20
_LARGE_BYTES = 64 * 2**20
_MAX_LARGE_FILES = 2  # in memory at a time
_MIN_PART_BYTES = 16 * 2**20
_MAX_PARTS = 9000  # S3 allows 10,000


class StoreCopy:
    """The objects below a URL, and the journal that lists which of them are copies of which files. Thread-safe.

    `bytes_per_second` limits the bandwidth; see `open_store` for `options`.
    """

    def __init__(
        self,
        source: Path,
        url: str,
        options: Mapping[str, Any] | None = None,
        bytes_per_second: float | None = None,
    ) -> None:
        # number and size of the files sent, with those that were sent again
        self.files = self.bytes = 0
        self.url = url
        refuse_overlap(source, url)
        self.journal = UploadJournal(journal_path(source), url)
        self._source = source
        self._store = open_store(url, options)
        self._options = options
        self._bytes_per_second = bytes_per_second
        self._start = time.monotonic()
        self._lock = threading.Lock()
        self._large_files = threading.BoundedSemaphore(_MAX_LARGE_FILES)
        self._etag_is_md5 = True

    def has_changed(self, file: DatasetFile) -> bool:
        """Return whether a file differs from what was sent, by its size and modification time."""
        stored = self.journal.get(file.key)
        return stored is None or (stored.size, stored.mtime_ns) != (file.size, file.mtime_ns)

    def send(self, file: DatasetFile, data: bytes | None = None) -> bool:
        """Send a file, or `data` as its content; return whether that was its content before and after."""
        with self._large_files if file.size > _LARGE_BYTES else nullcontext():
            return self._send(file, data)

    def _send(self, file: DatasetFile, data: bytes | None) -> bool:
        from obstore import head, put

        if data is None and file.size <= _SINGLE_REQUEST_BYTES:
            try:
                file, data = read_unchanged(file)
            except FileNotFoundError:  # removed by the writer
                data = None
            if data is None:
                return False
        if data is not None:
            etag = (put(self._store, file.key, data, use_multipart=False)["e_tag"] or "").strip('"')
            self._check(file.key, data, etag)
        else:
            part_bytes = max(_MIN_PART_BYTES, -(-file.size // _MAX_PARTS))
            with file.path.open("rb") as stream:
                result = put(self._store, file.key, stream, chunk_size=part_bytes)
            etag = (result["e_tag"] or "").strip('"')
            if head(self._store, file.key)["size"] != file.size or stat(file.path) != file[2:]:
                return False  # the file has grown
        self.journal.add(StoredObject(file.key, file.size, file.mtime_ns, etag))
        self._count(file.size)
        return True

    def sizes(self) -> dict[str, int]:
        """Return the size of each object below the URL."""
        from obstore import list as list_objects

        with self._store_errors():
            found = itertools.chain.from_iterable(list_objects(self._store))
            return {str(item["path"]): item["size"] for item in found}

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects, the metadata of the root first: they describe the others."""
        from obstore import delete

        with self._store_errors():
            for key in sorted(keys, key=lambda key: (key.count("/"), key)):
                with suppress(FileNotFoundError):
                    delete(self._store, key)
                self.journal.add(StoredObject(key, -1, 0))

    def error(self, problem: str, error: Exception) -> UploadError:
        """Return the error to raise, without credentials."""
        return UploadError(
            f"{self._source}: {problem}: {without_secrets(error, self._options)}. The dataset on this disk is not "
            f"affected. Run `ome-writers upload` to send the remaining files."
        )

    @contextmanager
    def _store_errors(self) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, OSError) as error:
            raise self.error(f"the upload to {self.url} failed", error) from None

    def _check(self, key: str, data: bytes, etag: str) -> None:
        """Raise if an object differs from what was sent. Some stores return other checksums that look like MD5."""
        is_md5 = self._etag_is_md5 and len(etag) == 32 and set(etag) <= set("0123456789abcdef")
        if is_md5 and etag != hashlib.md5(data, usedforsecurity=False).hexdigest():
            from obstore import get

            if bytes(get(self._store, key).bytes()) != data:
                raise UploadError(f"{key}: the object in the store differs from the file")
            self._etag_is_md5 = False

    def _count(self, size: int) -> None:
        """Count a sent file, and wait where the bandwidth is limited."""
        with self._lock:
            self.files += 1
            self.bytes += size
            if self._bytes_per_second:
                earliest = self._start + self.bytes / self._bytes_per_second
                time.sleep(max(0.0, earliest - time.monotonic()))
