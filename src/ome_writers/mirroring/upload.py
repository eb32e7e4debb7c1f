"""`mirror`: copies a dataset to an object store, so that a reader of the store sees a consistent dataset at any time.

In each round, the documents (``zarr.json`` and OME-XML) are read first, then all other files are uploaded, then these
documents, the one of the root last. So the documents in the store describe only frames that are in the store.
"""

from __future__ import annotations

import hashlib
import itertools
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ome_writers.errors import SettingsError, UnsupportedError, UploadError
from ome_writers.formats import read, resolve_entry_file
from ome_writers.mirroring.dataset_files import (
    DatasetFile,
    is_document,
    is_tiff,
    read_unchanged,
    scan,
    stat,
)
from ome_writers.mirroring.upload_journal import StoredObject, UploadJournal, journal_path
from ome_writers.storage import lock_owner, lock_path

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

_SINGLE_REQUEST_BYTES = (
    128 * 2**20
)  # larger files are sent in parts, which a killed upload leaves in the store
_PART_BYTES = 16 * 2**20
_MAX_ATTEMPTS = (
    5  # of rounds in which a request failed; each request is tried again by obstore, too
)


@dataclass(frozen=True)
class Upload:
    """Result of `mirror`.

    Attributes
    ----------
    path, url
        The dataset, and where its copy is.
    files, bytes
        Number and size of the files of the dataset.
    uploaded_files, uploaded_bytes
        What this call has sent, with files that were sent again because they had grown.
    status
        Status of the dataset in the store; ``"writing"`` if its writer has not closed it.
    seconds
        Duration.
    """

    path: Path
    url: str
    files: int
    bytes: int
    uploaded_files: int
    uploaded_bytes: int
    status: str | None
    seconds: float


def mirror(
    path: str | os.PathLike[str],
    url: str,
    *,
    follow: bool = False,
    delete: bool = False,
    workers: int = 4,
    bytes_per_second: float | None = None,
    interval: float = 2.0,
    storage_options: Mapping[str, Any] | None = None,
    on_file: Callable[[int, int], object] | None = None,
) -> Upload:
    """Copy a dataset to an object store; files that are in the store already are not sent again.

    Each object is compared with what was sent, by its checksum where the store returns an MD5 checksum, otherwise by
    its size. A journal beside the dataset makes an upload resumable after a kill. Objects of files that no longer exist
    are deleted from the store.

    Parameters
    ----------
    path
        A dataset of any program, finished or being written. An OME-TIFF is sent when its writer has closed it.
    url
        ``s3://bucket/prefix``, ``gs://``, ``az://``, ``https://`` or ``file://``; keys of files are below it.
    follow
        Repeat until the writer has closed the dataset, or has ended without closing it.
    delete
        Remove the dataset from this disk when every object was found in the store with the right size.
    workers
        Number of requests at a time.
    bytes_per_second
        Limit of the bandwidth.
    interval
        Seconds between two rounds of `follow`. A shard to which frames are written all the time is left for the next
        round, and the metadata in the store then wait, too.
    storage_options
        Options of the store, such as ``endpoint`` and credentials, see `obstore.store.from_url`. Without them, the
        environment and the configuration of the machine apply. They are stored nowhere.
    on_file
        Called after each file with the number of files sent, and the number of files to send as far as known.

    Raises
    ------
    UploadError
        The store has refused files (OSError). Run it again to send the remaining ones.
    UnsupportedError
        It is not a dataset, or obstore is not installed.
    """
    if urlsplit(url).username is not None:
        raise SettingsError(
            f"The URL of the mirror ({urlsplit(url).scheme}://...) contains credentials, which would be stored. Pass "
            f"them as storage_options, or by the environment."
        )
    source = resolve_entry_file(Path(path))
    uploader = _Uploader(source, url, workers, bytes_per_second, storage_options, on_file)
    try:
        return uploader.run(follow=follow, interval=interval, delete=delete)
    finally:
        uploader.journal.close()


class _Uploader:
    def __init__(
        self,
        source: Path,
        url: str,
        workers: int,
        bytes_per_second: float | None,
        storage_options: Mapping[str, Any] | None,
        on_file: Callable[[int, int], object] | None,
    ) -> None:
        try:
            import obstore
            from obstore.store import from_url
        except ModuleNotFoundError as error:
            raise UnsupportedError(
                "A mirror needs obstore: pip install 'ome-writers[cloud]'"
            ) from error
        read(source)  # refuses what is not a dataset, before anything is sent
        self._obstore = obstore
        if url.startswith("file://"):
            Path(urlsplit(url).path).mkdir(parents=True, exist_ok=True)
        self._store = from_url(url, **(storage_options or {}))
        self._source, self._url = source, url
        self._workers = workers
        self._bytes_per_second = bytes_per_second
        self._on_file = on_file
        self._lock = threading.Lock()
        self._start = time.monotonic()
        self._files = self._bytes = self._planned = 0
        self.journal = UploadJournal(journal_path(source), url)

    def run(self, *, follow: bool, interval: float, delete: bool) -> Upload:
        attempts, lock = 0, lock_path(self._source, folder=self._source.is_dir())
        while True:
            status = read(self._source).status
            is_growing = status == "writing" and lock_owner(lock) is not None
            try:
                self._round(is_growing=is_growing)
            except UploadError:
                attempts += 1
                if attempts == _MAX_ATTEMPTS:
                    raise
                time.sleep(min(interval, 2**attempts * 0.1))
                continue
            attempts = 0
            if not (follow and is_growing):
                break
            time.sleep(interval)
        files = list(scan(self._source))
        self._remove_surplus({file.key for file in files})
        if delete:
            self._delete_source(files, status)
        return Upload(
            path=self._source,
            url=self._url,
            files=len(files),
            bytes=sum(file.size for file in files),
            uploaded_files=self._files,
            uploaded_bytes=self._bytes,
            status=status,
            seconds=time.monotonic() - self._start,
        )

    def _round(self, *, is_growing: bool) -> None:
        """Upload what has changed, but no TIFF file that grows, and no file that changes while it is read."""
        documents = [
            (file, file.path.read_bytes()) for file in scan(self._source) if is_document(file)
        ]
        documents = [(file, data) for file, data in documents if self._has_changed(file)]
        files = [f for f in scan(self._source) if not is_document(f) and self._has_changed(f)]
        changed = [f for f in files if not (is_growing and is_tiff(f))]
        is_complete = len(changed) == len(files)
        self._planned = self._files + len(changed) + len(documents)
        errors: list[Exception] = []
        with ThreadPoolExecutor(self._workers, "ome-writers-mirror") as pool:
            for stable in pool.map(lambda file: self._try(errors, file, None), changed):
                is_complete &= stable
        if errors:
            raise UploadError(
                f"{self._source}: {len(errors)} of {len(changed)} files could not be sent to {self._url}: {errors[0]}. "
                f"Run the upload again to send the remaining ones."
            ) from errors[0]
        if not is_complete:
            return
        # deepest first: the document of the root describes all others
        for file, data in sorted(documents, key=lambda item: -item[0].key.count("/")):
            if not self._try(errors, file, data):
                break
        if errors:
            raise UploadError(
                f"{self._source}: the metadata could not be sent to {self._url}: {errors[0]}. Run the upload again."
            ) from errors[0]

    def _try(self, errors: list[Exception], file: DatasetFile, data: bytes | None) -> bool:
        """Send a file; return False if it changed meanwhile, or after an error, which is added to `errors`."""
        try:
            return self._send(file, data)
        except Exception as error:
            errors.append(error)
            return False

    def _send(self, file: DatasetFile, data: bytes | None) -> bool:
        if data is None and file.size <= _SINGLE_REQUEST_BYTES:
            try:
                file, data = read_unchanged(file)
            except FileNotFoundError:  # removed by the writer
                data = None
            if data is None:
                return False
        if data is not None:
            etag = self._obstore.put(self._store, file.key, data, use_multipart=False)["e_tag"]
            etag = (etag or "").strip('"')
            is_md5 = len(etag) == 32 and all(c in "0123456789abcdef" for c in etag)
            if is_md5 and etag != hashlib.md5(data, usedforsecurity=False).hexdigest():
                raise UploadError(f"{file.key}: the store returned checksum {etag} for other data")
        else:
            with file.path.open("rb") as stream:
                result = self._obstore.put(self._store, file.key, stream, chunk_size=_PART_BYTES)
            etag = (result["e_tag"] or "").strip('"')
            size = self._obstore.head(self._store, file.key)["size"]
            if size != file.size or stat(file.path) != file[2:]:
                return False  # the file has grown
        self._count(file.size)
        self.journal.add(StoredObject(file.key, file.size, file.mtime_ns, etag))
        return True

    def _count(self, size: int) -> None:
        """Count a sent file, and wait where the bandwidth is limited."""
        with self._lock:
            self._files += 1
            self._bytes += size
            if self._on_file is not None:
                self._on_file(self._files, max(self._planned, self._files))
            if self._bytes_per_second:
                earliest = self._start + self._bytes / self._bytes_per_second
                time.sleep(max(0.0, earliest - time.monotonic()))

    def _has_changed(self, file: DatasetFile) -> bool:
        stored = self.journal.get(file.key)
        return stored is None or (stored.size, stored.mtime_ns) != (file.size, file.mtime_ns)

    def _remove_surplus(self, keys: set[str]) -> None:
        """Delete objects of files that no longer exist, such as journals and chunks beyond the final shape."""
        for key in sorted(self.journal.keys() - keys):
            self._obstore.delete(self._store, key)
            self.journal.add(StoredObject(key, -1, 0))

    def _delete_source(self, files: list[DatasetFile], status: str | None) -> None:
        if status == "writing":
            raise UploadError(
                f"{self._source} is not removed: its status is 'writing'. Run `ome-writers repair`, then upload again."
            )
        stored = itertools.chain.from_iterable(self._obstore.list(self._store))
        sizes = {str(item["path"]): item["size"] for item in stored}
        missing = [file.key for file in files if sizes.get(file.key) != file.size]
        if missing or any(map(self._has_changed, scan(self._source))):
            raise UploadError(
                f"{self._source} is not removed: {len(missing)} objects at {self._url} are missing or incomplete, such "
                f"as {missing[:3]}. Run the upload again."
            )
        (shutil.rmtree if self._source.is_dir() else Path.unlink)(self._source)
        self.journal.close()
        self.journal.path.unlink()
