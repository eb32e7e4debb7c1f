"""`mirror`: copies a dataset to an object store, once or while it is written."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ome_writers.errors import UploadError
from ome_writers.file_sharing import retry_while_open
from ome_writers.formats import read, resolve_entry_file
from ome_writers.formats.ometiff import find_entry_file
from ome_writers.mirroring.dataset_files import DatasetFile, scan
from ome_writers.mirroring.store_copy import StoreCopy
from ome_writers.mirroring.uploader import Uploader
from ome_writers.object_store import check_store_url
from ome_writers.storage import lock_owner, lock_path
from ome_writers.untrusted import local_path


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
    source = resolve_entry_file(local_path(path))
    read(source)  # refuses what is not a dataset, before anything is sent
    copy = StoreCopy(source, check_store_url(url), storage_options, bytes_per_second)
    uploader = Uploader(source, copy, workers, on_file)
    began = time.monotonic()
    try:
        uploader.run(partial(is_growing, source), follow=follow, interval_s=interval)
        status, files = read(source).status, list(scan(source))
        if delete:
            _check_copy(copy, source, files, status)
    finally:
        uploader.close()
        copy.journal.close()
    if delete:
        if entry := find_entry_file(source):
            retry_while_open(entry.unlink)
        remove: Callable[[], object] = source.unlink
        retry_while_open(partial(shutil.rmtree, source) if source.is_dir() else remove)
        copy.journal.path.unlink()
    return Upload(
        path=source,
        url=copy.url,
        files=len(files),
        bytes=sum(file.size for file in files),
        uploaded_files=copy.files,
        uploaded_bytes=copy.bytes,
        status=status,
        seconds=time.monotonic() - began,
    )


def is_growing(source: Path) -> bool:
    """Return whether a running process is writing a dataset on this disk."""
    lock = lock_path(source, folder=source.is_dir())
    return read(source).status == "writing" and lock_owner(lock) is not None


def _check_copy(
    copy: StoreCopy, source: Path, files: list[DatasetFile], status: str | None
) -> None:
    """Raise UploadError unless every file is in the store with its size, and its writer has closed the dataset."""
    if status == "writing":
        raise UploadError(
            f"{source} is not removed: its status is 'writing'. Run `ome-writers repair`, then upload again."
        )
    sizes = copy.sizes()
    missing = [file.key for file in files if sizes.get(file.key) != file.size]
    if missing or any(map(copy.has_changed, scan(source))):
        raise UploadError(
            f"{source} is not removed: {len(missing)} objects at {copy.url} are missing or incomplete, such as "
            f"{missing[:3]}. Run the upload again."
        )
