"""Uploads a dataset in rounds, so that a reader of the store sees a consistent dataset at any time.

In each round, the metadata files (``zarr.json`` and OME-XML) are read first, then all other files are uploaded, then
the metadata, that of the root last. So the metadata in the store describe only frames that are in the store.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ome_writers import UploadError
from ome_writers.toolkit import Background, detect_format, moved_files
from ome_writers_tools.mirroring.dataset_files import (
    DatasetFile,
    chunk_keys,
    is_metadata,
    read,
    scan,
)
from ome_writers_tools.mirroring.store_copy import ClaimError, UnreachableError
from ome_writers_tools.mirroring.verification import verify, verify_moved

if TYPE_CHECKING:
    from ome_writers_tools.mirroring.eviction import Eviction
    from ome_writers_tools.mirroring.store_copy import StoreCopy

_log = logging.getLogger("ome_writers")

_MAX_ATTEMPTS = 5  # rounds in a row with a failed request; obstore repeats each request, too
_EVICTION_INTERVAL_S = 0.2  # between two rounds; the disk may be full soon
_OPEN_S = 5.0  # a file that changed within this time may change again
_FIRST_RESEND_BYTES = 2**24
_MAX_RESEND_SHARE = 0.1  # of the time, for files that may change again and must then be sent again


class Uploader:
    """Uploads the files of `source` to `copy` with `workers` requests at a time. `run` may be called once.

    Files that a mirror has moved to the target before are part of the copy.

    `on_file` is called after each file with the number of files sent, and the number of files to send as far as known.
    """

    def __init__(
        self,
        source: Path,
        copy: StoreCopy,
        workers: int = 4,
        on_file: Callable[[int, int], object] | None = None,
        eviction: Eviction | None = None,
    ) -> None:
        self._source, self._copy = source, copy
        self._eviction = eviction  # removes files while the dataset grows
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

    def close(self, *, wait: bool = True) -> None:
        """End the threads; without `wait`, when the requests in progress have ended."""
        if wait:
            self._background.close()
        else:
            self.stop()
            threading.Thread(target=self._background.close, daemon=True).start()

    def run(
        self,
        is_growing: Callable[[], bool],
        *,
        wait: Callable[[float], object] = time.sleep,
        interval_s: float = 2.0,
        follow: bool = True,
        tolerates_errors: bool = False,
        before_removal: bool = False,
    ) -> bool:
        """Upload what has changed, in rounds, until the dataset no longer grows and its copy is verified.

        `wait` is called between rounds with a time in seconds. Without `follow`, a growing dataset is uploaded once.
        With `tolerates_errors`, errors do not end the upload while the dataset grows, even if no file could be sent
        yet. For `before_removal` see `verify`.

        Returns whether the content of every object was verified, which is not done while the dataset grows.

        Raises ClaimError if the URL contains something else; UploadError if the store has refused files, objects
        differ from their files, or files change although the writer has closed the dataset, in several rounds.
        """
        attempts = 0
        while not self._stopped:
            growing = is_growing()
            try:
                is_complete = self._round(growing)
                if not (growing or self._stopped):
                    self._finish(is_complete=is_complete, before_removal=before_removal)
            except ClaimError:
                raise
            except OSError as error:
                attempts += 1
                may_recover = follow and growing and (tolerates_errors or self._copy.files > 0)
                if not isinstance(error, UploadError):
                    error = self._copy.error("its files could not be read", error)
                last = attempts >= _MAX_ATTEMPTS or isinstance(error, UnreachableError)
                if last and not may_recover:
                    raise error from None
                if attempts == 1:
                    _log.warning("%s This is repeated.", error)
                wait(min(interval_s, 2**attempts * 0.1))
                continue
            if attempts:
                _log.warning("%s: the upload to %s continues.", self._source, self._copy.url)
                attempts = 0
            if not (follow and growing):
                return not (growing or self._stopped)
            # Listing the files of a large dataset takes a while, which must not slow down its writer.
            if self._eviction is None:
                wait(max(interval_s, 10 * self._scan_s))
            else:
                wait(max(_EVICTION_INTERVAL_S, 2 * self._scan_s))
        return False

    def _finish(self, *, is_complete: bool, before_removal: bool) -> None:
        """Remove objects of files that no longer exist, and verify the copy of a dataset that does not grow."""
        files = list(scan(self._source))
        if not is_complete or any(map(self._copy.has_changed, files)):
            raise UploadError(f"{self._source}: files change while they are uploaded.")
        objects = self._copy.objects()
        found_moved = moved_files(self._source)
        moved = {} if found_moved is None else dict(found_moved.items())
        keys = {*moved, *(file.key for file in files)}
        known, found = self._copy.journal.keys() - keys, objects.keys() - keys
        obsolete = known | (found and chunk_keys(self._source, found))
        self._copy.delete(obsolete)
        if others := found - obsolete:
            _log.warning(
                "%s contains %d objects that are not part of %s, such as %s. They are kept.",
                self._copy.url,
                len(others),
                self._source,
                min(others),
            )
        problems = verify(
            self._copy,
            files,
            objects,
            self._background,
            before_removal=before_removal,
            stopped=lambda: self._stopped,
        )
        lost = verify_moved(self._copy, moved, objects, before_removal=before_removal)
        if lost:
            key, problem = next(iter(lost.items()))
            raise UploadError(
                f"{self._source}: {len(lost)} files that were moved to {self._copy.url}, and are not on this disk, are "
                f"not there as they were verified ({key}: {problem}). Look for them in a backup of the target."
            )
        for key in problems:
            self._copy.journal.remove(key)  # sent again in the next round
        if problems:
            first = "; ".join(f"{key}: {problem}" for key, problem in list(problems.items())[:3])
            raise UploadError(
                f"{self._source}: {len(problems)} of {len(files)} objects at {self._copy.url} differ from the files "
                f"({first}). The dataset on this disk is not affected. Check the store, then run `ome-writers upload`."
            )
        self._copy.claim()

    def _round(self, growing: bool) -> bool:
        """Upload what has changed; return whether all of it was sent.

        Of a dataset that grows, files are sent only if its format has chunks, and no file that changes while it is
        read. Files that will hardly change again are verified at once, so that `_finish` need not read them back. Files
        that may change again, such as open shards, are only sent for a small share of the time, because they must be
        sent again.
        """
        if growing and not detect_format(self._source).chunked:
            self._copy.owner()  # an error now shows early that the store cannot be used
            return False  # the headers of its files change until the end
        self._copy.claim()
        began = time.monotonic()
        metadata = [
            (file, read(file))
            for file in scan(self._source, chunks=False)
            if is_metadata(file) and self._copy.has_changed(file)
        ]
        files = [f for f in scan(self._source) if not is_metadata(f) and self._copy.has_changed(f)]
        self._scan_s = time.monotonic() - began
        self._planned = self._copy.files + len(files) + len(metadata)
        now_ns = (
            time.time_ns()
        )  # some modification times are later: of a server, or of a clock that was set back
        still_open = {f for f in files if growing and self._may_change(f, now_ns)}
        self._evict_all()
        is_complete = self._send_all([f for f in files if f not in still_open], check=growing)
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

    def _may_change(self, file: DatasetFile, now_ns: int) -> bool:
        finished = None if self._eviction is None else self._eviction.is_finished(file.key)
        return abs(now_ns - file.mtime_ns) < _OPEN_S * 1e9 if finished is None else not finished

    def _evict_all(self) -> None:
        """Remove finished files that were sent before."""
        if (eviction := self._eviction) is None:
            return
        files = [
            file
            for file in scan(self._source)
            if not self._copy.has_changed(file) and eviction.is_finished(file.key)
        ]
        errors: list[Exception] = []
        for file in files:
            self._background.submit(partial(self._try_evict, file, errors))
        self._background.barrier()
        if errors:
            raise self._copy.error("files could not be verified", errors[0]) from None

    def _try_evict(self, file: DatasetFile, errors: list[Exception]) -> None:
        assert self._eviction is not None
        try:
            if not (errors or self._stopped):
                self._eviction.evict(self._copy, file)
        except Exception as error:
            errors.append(error)

    def _send_all(
        self, files: Collection[DatasetFile], data: bytes | None = None, *, check: bool = False
    ) -> bool:
        """Send files, and `check` their objects; return whether none of the files has changed meanwhile."""
        errors: list[Exception] = []
        unsent: list[DatasetFile] = []
        for file in files:
            self._background.submit(partial(self._try, file, data, errors, unsent, check=check))
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
        *,
        check: bool,
    ) -> None:
        """Send a file, unless another one has failed: its error would take as long to occur."""
        try:
            if not (errors or self._stopped) and self._copy.send(file, data):
                eviction = self._eviction
                if eviction is not None and eviction.is_finished(file.key):
                    sent = self._copy.journal.get(file.key)
                    if sent is not None:
                        current = file._replace(size=sent.size, mtime_ns=sent.mtime_ns)
                        eviction.evict(self._copy, current)
                elif check:
                    self._copy.check_sent(file.key)
                if self._on_file is not None:
                    self._on_file(self._copy.files, max(self._planned, self._copy.files))
                return
        except Exception as error:
            errors.append(error)
        unsent.append(file)
