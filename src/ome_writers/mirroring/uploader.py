"""Uploads a dataset in rounds, so that a reader of the store sees a consistent dataset at any time.

In each round, the metadata files (``zarr.json`` and OME-XML) are read first, then all other files are uploaded, then
the metadata, that of the root last. So the metadata in the store describe only frames that are in the store.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ome_writers.errors import UploadError
from ome_writers.formats import detect_format, format_row
from ome_writers.mirroring.dataset_files import DatasetFile, is_metadata, read, scan
from ome_writers.storage import Background

if TYPE_CHECKING:
    from ome_writers.mirroring.store_copy import StoreCopy

_log = logging.getLogger("ome_writers")

_MAX_ATTEMPTS = 5  # rounds in a row with a failed request; obstore repeats each request, too
_OPEN_S = 5.0  # a file that changed within this time may change again
_FIRST_RESEND_BYTES = 2**24
_MAX_RESEND_SHARE = 0.1  # of the time, for files that may change again and must then be sent again


class CopyExistsError(UploadError):
    """There are objects at the URL of a new copy."""


class Uploader:
    """Uploads the files of `source` to `copy` with `workers` requests at a time. `run` may be called once.

    `on_file` is called after each file with the number of files sent, and the number of files to send as far as known.
    """

    def __init__(
        self,
        source: Path,
        copy: StoreCopy,
        workers: int = 4,
        on_file: Callable[[int, int], object] | None = None,
    ) -> None:
        self._source, self._copy = source, copy
        self._on_file = on_file
        self._planned = 0
        self._next_resend: float | None = None
        self._scan_s = 0.0
        self._stopped = False
        # the writer, and what else runs on its machine, goes first
        self._background = Background(workers, name="ome-writers-upload", low_priority=True)

    def stop(self) -> None:
        """Let `run` return after the requests in progress."""
        self._stopped = True

    def close(self) -> None:
        """End the threads."""
        self._background.close()

    def run(
        self,
        is_growing: Callable[[], bool],
        *,
        wait: Callable[[float], object] = time.sleep,
        interval_s: float = 2.0,
        follow: bool = True,
        tolerates_errors: bool = False,
        replace: bool | None = None,
    ) -> None:
        """Upload what has changed, in rounds, until the dataset no longer grows and is complete in the store.

        `wait` is called between rounds with a time in seconds. Without `follow`, a growing dataset is uploaded once.
        With `tolerates_errors`, errors do not end the upload while the dataset grows, even if no file could be sent
        yet. `replace` is for a dataset that was not uploaded before: whether an earlier copy may be removed; None
        continues it.

        Raises UploadError if there is an earlier copy, the store has refused files in several rounds, or files change
        although the writer has closed the dataset.
        """
        attempts = 0
        while not self._stopped:
            growing = is_growing()
            try:
                if replace is not None:
                    self._prepare(replace=replace)
                    replace = None
                is_complete = self._round(growing)
                if not (growing or is_complete or self._stopped):
                    raise UploadError(f"{self._source}: files change while they are uploaded.")
            except CopyExistsError:
                raise
            except OSError as error:
                attempts += 1
                may_recover = follow and growing and (tolerates_errors or self._copy.files > 0)
                if not isinstance(error, UploadError):
                    error = self._copy.error("its files could not be read", error)
                if attempts >= _MAX_ATTEMPTS and not may_recover:
                    raise error from None
                if attempts == 1:
                    _log.warning("%s This is repeated.", error)
                wait(min(interval_s, 2**attempts * 0.1))
                continue
            if attempts:
                _log.warning("%s: the upload to %s continues.", self._source, self._copy.url)
                attempts = 0
            if not (follow and growing):
                break
            # Listing the files of a large dataset takes a while, which must not slow down its writer.
            wait(max(interval_s, 10 * self._scan_s))
        if not self._stopped:  # objects of journals, and of chunks beyond the final shape
            self._copy.delete(self._copy.journal.keys() - {f.key for f in scan(self._source)})

    def _prepare(self, *, replace: bool) -> None:
        """Remove an earlier copy if it may be replaced and was uploaded from the same path; otherwise refuse."""
        found = set(self._copy.sizes())
        if not self._source.is_dir():
            found &= {self._source.name}
        if found - self._copy.journal.keys() if replace else found:
            raise CopyExistsError(
                f"{self._copy.url} contains {len(found)} objects, such as {min(found)}: nothing is uploaded. The "
                f"dataset on this disk is not affected. Use another prefix, or `ome-writers upload` to replace them."
            )
        self._copy.delete(found)

    def _round(self, growing: bool) -> bool:
        """Upload what has changed; return whether all of it was sent.

        Of a dataset that grows, files are sent only if its format has chunks, and no file that changes while it is
        read. Files that may change again, such as open shards, are only sent for a small share of the time, because
        they must be sent again.
        """
        began = time.monotonic()
        metadata = [
            (file, read(file))
            for file in scan(self._source, chunks=False)
            if is_metadata(file) and self._copy.has_changed(file)
        ]
        files = [f for f in scan(self._source) if not is_metadata(f) and self._copy.has_changed(f)]
        sent = files
        if growing and not format_row(detect_format(self._source)).chunked:
            sent = []  # the headers of its files change until the end
        self._scan_s = time.monotonic() - began
        self._planned = self._copy.files + len(sent) + len(metadata)
        open_since = time.time_ns() - int(_OPEN_S * 1e9)
        still_open = {f for f in sent if growing and f.mtime_ns > open_since}
        is_complete = len(sent) == len(files)
        is_complete &= self._send_all([f for f in sent if f not in still_open])
        if still_open:
            began = time.monotonic()
            if self._next_resend is None:  # a fast writer completes large files soon
                is_large = sum(f.size for f in still_open) > _FIRST_RESEND_BYTES
                self._next_resend = began + (_OPEN_S if is_large else 0)
            if began < self._next_resend:
                return False
            is_complete &= self._send_all(still_open)
            now = time.monotonic()
            self._next_resend = now + (now - began) / _MAX_RESEND_SHARE
        if is_complete:
            # deepest first: the metadata of the root describe all others
            for file, data in sorted(metadata, key=lambda item: -item[0].key.count("/")):
                self._send_all([file], data)
        return is_complete

    def _send_all(self, files: Collection[DatasetFile], data: bytes | None = None) -> bool:
        """Send files; return whether none of them has changed meanwhile."""
        errors: list[Exception] = []
        unsent: list[DatasetFile] = []
        for file in files:
            self._background.submit(partial(self._try, file, data, errors, unsent))
        self._background.barrier()
        if errors:
            problem = f"{len(unsent)} of {len(files)} files could not be sent to {self._copy.url}"
            raise self._copy.error(problem, errors[0]) from None
        return not unsent

    def _try(
        self,
        file: DatasetFile,
        data: bytes | None,
        errors: list[Exception],
        unsent: list[DatasetFile],
    ) -> None:
        """Send a file, unless another one has failed: its error would take as long to occur."""
        try:
            if not (errors or self._stopped) and self._copy.send(file, data):
                if self._on_file is not None:
                    self._on_file(self._copy.files, max(self._planned, self._copy.files))
                return
        except Exception as error:
            errors.append(error)
        unsent.append(file)
