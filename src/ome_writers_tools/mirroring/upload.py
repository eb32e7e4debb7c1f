"""`mirror`: copies a dataset to an object store, once or while it is written."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ome_writers import SettingsError, UploadError, read
from ome_writers.toolkit import (
    check_store_url,
    checked_call,
    local_path,
    lock_owner,
    lock_path,
    resolve_entry_file,
    retry_while_open,
)
from ome_writers_tools.mirroring.dataset_files import scan
from ome_writers_tools.mirroring.store_copy import StoreCopy
from ome_writers_tools.mirroring.uploader import Uploader

MAX_WORKERS = 1000


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


@checked_call
def mirror(
    path: str | os.PathLike[str],
    url: str | os.PathLike[str],
    *,
    follow: bool = False,
    delete: bool = False,
    overwrite: bool = False,
    workers: int = 4,
    bytes_per_second: float | None = None,
    interval: float = 2.0,
    storage_options: Mapping[str, Any] | None = None,
    on_file: Callable[[int, int], object] | None = None,
) -> Upload:
    """Copy a dataset to an object store; files that are in the store already are not sent again.

    The content of every object is verified in this call before it returns, unless the dataset is still being written:
    by the ETag that the store has computed where that is an MD5 checksum, otherwise the object is read back. Objects
    that differ are sent again. A journal beside the dataset makes an upload resumable after a kill. Objects of files
    that no longer exist are deleted from the store.

    A copy belongs to one dataset: a document in the store, ``.ome-writers.upload.json``, contains its id.

    Parameters
    ----------
    path
        A dataset of any program, finished or being written. An OME-TIFF is sent when its writer has closed it.
    url
        ``s3://bucket/prefix``, ``gs://``, ``az://``, ``https://`` or ``file://``, or the path of a folder, for instance
        on a network share; keys of files are below it.
    follow
        Repeat until the writer has closed the dataset, or has ended without closing it.
    delete
        Remove the dataset from this disk when the content of every object was verified. In a local folder, the objects
        are synced to the disk, and read back. The entry file beside an OME-TIFF set is neither copied nor removed.
    overwrite
        Remove everything below the URL first if it is not a copy of this dataset. Without it, such a URL is refused.
    workers
        Number of requests at a time, at most 1,000.
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
        The store has refused files or differs from them, or the URL contains something else (OSError). The dataset is
        not removed then. Run it again to send the remaining files.
    SettingsError
        The URL or the number of workers is invalid.
    UnsupportedError
        It is not a dataset, or obstore is not installed.
    """
    if not 1 <= workers <= MAX_WORKERS:
        raise SettingsError(f"workers is {workers}; use a number from 1 to {MAX_WORKERS:,}.")
    source = resolve_entry_file(local_path(path))
    read(source)  # refuses what is not a dataset, before anything is sent
    copy = StoreCopy(
        source, check_store_url(url), storage_options, bytes_per_second, overwrite=overwrite
    )
    uploader = Uploader(source, copy, workers, on_file)
    began = time.monotonic()
    interrupted = True
    try:
        verified = uploader.run(
            partial(is_growing, source), follow=follow, interval_s=interval, before_removal=delete
        )
        status, files = read(source).status, list(scan(source))
        interrupted = False
    except Exception:
        interrupted = False
        raise
    finally:
        uploader.close(wait=not interrupted)
        copy.journal.close()
    if delete:
        _refuse_removal(copy, source, status, verified=verified)
        # the entry file beside an OME-TIFF set stays: it is not part of the copy
        remove: Callable[[], object] = source.unlink
        retry_while_open(partial(shutil.rmtree, source) if source.is_dir() else remove)
        with suppress(OSError):
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


def _refuse_removal(copy: StoreCopy, source: Path, status: str | None, *, verified: bool) -> None:
    """Raise UploadError unless the copy is verified, and the dataset is closed and has not changed since."""
    problem = None
    if status == "writing":
        problem = "its status is 'writing'. Run `ome-writers repair`, then upload again"
    elif not verified:
        problem = "it was being written. Run the upload again"
    elif any(map(copy.has_changed, scan(source))):
        problem = "files have changed since they were verified. Run the upload again"
    if problem is not None:
        raise UploadError(f"{source} is not removed: {problem}.")
