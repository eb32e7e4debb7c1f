"""`Eviction`: removes finished files of a dataset from this disk, once the content of their objects is verified."""

from __future__ import annotations

import re
import shutil
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ome_writers import UploadError
from ome_writers.toolkit import MovedFile, MovedFiles
from ome_writers_tools.mirroring.checksums import file_checksum
from ome_writers_tools.mirroring.dataset_files import DatasetFile, stat

if TYPE_CHECKING:
    from ome_writers import Mirror
    from ome_writers.toolkit import EvictingEngine
    from ome_writers_tools.mirroring.store_copy import StoreCopy

_CHUNK = re.compile(r".+/c(/[0-9]+)+")
# Free space below which writing waits for files to be removed: at most this, and this share of the disk.
_MAX_RESERVE_BYTES = 256 * 2**20
_RESERVE_SHARE = 4
_POLL_INTERVAL_S = 0.05


class Eviction:
    """Removes files that `engine` has finished. `wait_for_space` is called by the engine's threads."""

    def __init__(self, dataset: Path, mirror: Mirror, engine: EvictingEngine) -> None:
        self.files = self.bytes = 0  # removed so far
        self._moved = MovedFiles(dataset)
        self._moved.refresh()
        self._dataset, self._mirror = dataset, mirror
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._gave_up_at: int | None = None  # value of `files` when a wait for space has timed out
        total = shutil.disk_usage(dataset).total
        self._reserve_bytes = min(_MAX_RESERVE_BYTES, total // _RESERVE_SHARE)
        self._finished = engine.start_eviction(self.wait_for_space)

    def is_finished(self, key: str) -> bool | None:
        """Return whether a chunk file or shard has all of its frames; None for other files."""
        if not _CHUNK.fullmatch(key):
            return None
        try:
            return self._finished.is_finished(key)
        except (
            OSError,
            KeyError,
        ):  # an open shard without an index at its end, or not of the settings
            return False

    def evict(self, copy: StoreCopy, file: DatasetFile) -> bool:
        """Remove a finished file that was sent, if the target has its content now; return whether it was removed.

        Raises UploadError if the target has another content; the file is sent again.
        """
        sent = copy.journal.get(file.key)
        if sent is None or copy.has_changed(file):
            return False
        expected = copy.sent_checksum(file, in_this_call=True) or file_checksum(file.path)
        device = copy.folder and copy.folder.device
        problem = copy.problem(file.key, file.size, expected, read_back=self._mirror.read_back)
        if problem is not None:
            copy.journal.remove(file.key)
            raise UploadError(
                f"{file.key} at {copy.url} differs from the file, which is kept: {problem}"
            )
        # The target may have been unmounted or replaced meanwhile: is it the same one, with this object?
        copy.claim()
        if copy.folder is not None and (
            copy.folder.device != device or not (copy.folder.path / file.key).exists()
        ):
            return False
        self._moved.start(copy.url, copy.dataset_id or "")
        moved = MovedFile(file.size, expected, self._finished.stored_index(file.key))
        removed = False

        def remove() -> None:
            nonlocal removed
            if self._finished.is_finished(file.key) and stat(file.path) == (
                file.size,
                file.mtime_ns,
            ):
                self._moved.remove_local(file.key, moved)
                removed = True

        if self._finished.remove(file.key, remove) and removed:
            with self._lock:
                self.files += 1
                self.bytes += file.size
        return removed

    def end(self) -> None:
        """Let `wait_for_space` return: no more files are removed."""
        self._ended.set()

    def wait_for_space(self) -> None:
        """Return when the disk has space for what the engine writes, or when no file was removed for a while."""
        waits_until, removed = None, -1
        while not self._ended.is_set() and self._gave_up_at != self.files:
            if shutil.disk_usage(self._dataset).free >= self._reserve_bytes:
                return
            now = time.monotonic()
            if waits_until is None or removed != self.files:
                waits_until, removed = now + self._mirror.wait, self.files
            elif now > waits_until:
                self._gave_up_at = removed
            self._ended.wait(_POLL_INTERVAL_S)
