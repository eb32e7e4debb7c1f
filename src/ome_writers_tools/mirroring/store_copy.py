"""`StoreCopy`: the copy of a dataset in an object store, object by object."""

# Longer than 300 lines: one class, whose methods share the store, its errors and the journal.
from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from ome_writers import UploadError
from ome_writers.toolkit import (
    SYSTEM_FILES,
    failure_reason,
    listed_prefix,
    local_folder,
    moved_files,
    open_store,
    refuse_overlap,
    sync_folders,
    unreachable_error,
)
from ome_writers_tools.mirroring.checksums import Checksum, ObjectVersion, checksum, part_bytes
from ome_writers_tools.mirroring.claim import claim_key, dataset_id, put_claim, read_claim
from ome_writers_tools.mirroring.dataset_files import DatasetFile, read_unchanged, stat
from ome_writers_tools.mirroring.target_folder import TargetFolder
from ome_writers_tools.mirroring.upload_journal import StoredObject, UploadJournal, journal_path

_LARGE_BYTES = 64 * 2**20
_MAX_LARGE_FILES = 2  # in memory at a time


class ClaimError(UploadError):
    """The URL contains a copy of another dataset, or other objects."""


class UnreachableError(UploadError):
    """The name of the store is unknown, or nothing listens at its port, and it was never reached."""


class StoreCopy:
    """The objects below a URL, and the journal that lists which of them are copies of which files. Thread-safe.

    A copy belongs to one dataset: the claim, a document in the store, contains its id. `replaceable` are the ids of
    datasets whose copy may be removed; with `overwrite`, anything below the URL may be. `bytes_per_second` limits the
    bandwidth; see `open_store` for `options`.
    """

    def __init__(
        self,
        source: Path,
        url: str,
        options: Mapping[str, Any] | None = None,
        bytes_per_second: float | None = None,
        *,
        overwrite: bool = False,
    ) -> None:
        # number and size of the files sent, with those that were sent again
        self.files = self.bytes = 0
        self.url = url
        folder = local_folder(url)
        self.folder = None if folder is None else TargetFolder(folder)
        self.replaceable: set[str] | None = None if overwrite else set()
        refuse_overlap(source, url)
        self.journal = UploadJournal(journal_path(source), url)
        self._source = source
        self._store = open_store(url, options)
        self._reached = False  # whether the store has answered
        self._listed_prefix = listed_prefix(self._store, url)
        self._options = options
        self._bytes_per_second = bytes_per_second
        self._start = time.monotonic()
        self._lock = threading.Lock()
        self._large_files = threading.BoundedSemaphore(_MAX_LARGE_FILES)
        self.dataset_id: str | None = None  # of the dataset, once the URL is claimed
        self._claim_key = claim_key(source)
        self._sent: dict[str, ObjectVersion] = {}
        # by key: the ETag of an object that was read back, and the checksum of its content
        self._read_back: dict[str, tuple[str, str]] = {}

    # ------------------------------------------------------------------ the claim

    def owner(self) -> str | None:
        """Return the id of the dataset that has claimed the URL; None without a claim, "" if it is not readable."""
        with self._store_errors():
            if not self._reached and (error := unreachable_error(self.url, self._options)):
                raise self.error(f"the upload to {self.url} failed", error, UnreachableError)
            self._reached = True
            return read_claim(self._store, self._claim_key)

    def claim(self) -> None:
        """Claim the URL for the dataset, or check that it is still claimed.

        Raises ClaimError if there is a copy of another dataset, or there are objects without a claim; UploadError if
        the claim was removed since the first call, or a share is mounted or unmounted meanwhile.
        """
        with self._store_errors(), self.folder.claimed() if self.folder else nullcontext():
            self._claim()

    def _claim(self) -> None:
        owner = self.owner()
        moved = moved_files(self._source)
        if moved is not None:
            moved.refuse_other_target(self.url)
        if self.dataset_id is not None or moved is not None:
            if owner is None:
                raise UploadError(
                    f"{self._source}: the copy at {self.url} has vanished: its claim, {self._claim_key}, no longer "
                    f"exists. The dataset on this disk is not affected. Check that the drive is mounted and the "
                    f"folder was not removed, then run `ome-writers upload`."
                )
            if self.dataset_id is not None:
                if owner != self.dataset_id:
                    raise self._claim_error(owner)
                return
        own = dataset_id(self._source)
        if moved is not None and owner != own:
            raise self._claim_error(owner)
        if owner is None:
            found = self._any_key()
            if found is None:
                self.journal.clear()
            elif self.journal.dataset != own:
                owner = ""
        if owner not in (None, own):
            if self.replaceable is not None and owner not in self.replaceable:
                raise self._claim_error(owner)
            self.journal.clear()
            self.delete(self.objects())
        if owner != own:
            with self._store_errors():
                put_claim(self._store, self._claim_key, own, replace=owner is not None)
            owner = self.owner()
            if owner != own:
                raise self._claim_error(owner)
        self.dataset_id = own
        self.journal.start(own)

    def release(self) -> None:
        """Remove all objects that were sent, and the claim if it is that of the dataset."""
        if self.dataset_id is not None and self.owner() == self.dataset_id:
            self.delete(self.journal.keys())
            self.delete([self._claim_key])

    def _claim_error(self, owner: str | None) -> ClaimError:
        found = f"the copy of another dataset ({owner})" if owner else "objects of unknown origin"
        return ClaimError(
            f"{self._source}: {self.url} contains {found}: nothing is uploaded. The dataset on this disk is not "
            f"affected. Use another URL, or replace everything below this one with `ome-writers upload --overwrite`."
        )

    def _any_key(self) -> str | None:
        if not self._source.is_dir():
            return next(iter(self.objects()), None)
        return next((key for key, _ in self._listed()), None)

    # ------------------------------------------------------------------ objects

    def objects(self) -> dict[str, ObjectVersion]:
        """Return the objects of the dataset in the store, by key, in a new list from the store."""
        if self._source.is_dir():
            return dict(self._listed())
        from obstore import head

        with self._store_errors(), suppress(FileNotFoundError):
            return {self._source.name: _version(head(self._store, self._source.name))}
        return {}

    def _listed(self) -> Iterator[tuple[str, ObjectVersion]]:
        from obstore import list as list_objects

        with self._store_errors(), suppress(FileNotFoundError):
            for batch in list_objects(self._store):
                for item in batch:
                    key = str(item["path"]).removeprefix(self._listed_prefix)
                    if PurePosixPath(key).name not in SYSTEM_FILES and key != self._claim_key:
                        yield key, _version(item)

    def has_changed(self, file: DatasetFile) -> bool:
        """Return whether a file differs from what was sent, by its size and modification time."""
        stored = self.journal.get(file.key)
        return stored is None or (stored.size, stored.mtime_ns) != (file.size, file.mtime_ns)

    def send(self, file: DatasetFile, data: bytes | None = None) -> bool:
        """Send a file, or `data` as its content; return whether that was its content before and after."""
        with self._large_files if file.size > _LARGE_BYTES else nullcontext():
            return self._send(file, data)

    def _send(self, file: DatasetFile, data: bytes | None) -> bool:
        from obstore import put

        part = part_bytes(file.size)
        if data is None and part is None:
            try:
                file, data = read_unchanged(file)
            except FileNotFoundError:  # removed by the writer
                data = None
            if data is None:
                return False
        found = Checksum(file.size if data is None else len(data))
        if self.folder is not None:
            self.folder.check()
        if data is not None:
            result = put(self._store, file.key, data, use_multipart=False)
            found.update(data)
        else:
            assert part is not None
            with file.path.open("rb") as stream:
                blocks = _observed(iter(partial(stream.read, part), b""), found)
                result = put(self._store, file.key, blocks, chunk_size=part)
        if self.folder is not None:
            self.folder.check_written(file.key)
        if data is None and stat(file.path) != file[2:]:
            return False  # the file has grown
        self._sent[file.key] = ObjectVersion(file.size, _unquoted(result["e_tag"]))
        self.journal.add(StoredObject(file.key, file.size, file.mtime_ns, found.value()))
        self._count(file.size)
        return True

    def sent_checksum(self, file: DatasetFile, *, in_this_call: bool) -> str | None:
        """Return the checksum of what was sent of a file that has not changed since; None if that is not known.

        With `in_this_call`, also None if the file was sent by an earlier call.
        """
        stored = self.journal.get(file.key)
        if (
            stored is None
            or self.has_changed(file)
            or (in_this_call and file.key not in self._sent)
        ):
            return None
        return stored.checksum

    def check_sent(self, key: str) -> None:
        """Raise UploadError if an object that was sent has other content; stores without MD5 are read for that."""
        stored = self.journal.get(key)
        if stored is not None and not self.is_proven(key, self._sent[key], stored.checksum):
            self.journal.remove(key)
            raise UploadError(f"{key}: the object in the store differs from the file")

    def is_proven(self, key: str, found: ObjectVersion, expected: str) -> bool:
        """Return whether an object has the content with a checksum: by its ETag, or by reading it back once."""
        if found.etag == expected:
            return True
        if self._read_back.get(key, ("", ""))[0] != found.etag or not found.etag:
            self.read_back(key)
        return self._read_back[key][1] == expected

    def read_back(self, key: str) -> str:
        """Return the checksum of an object's content, which is read."""
        from obstore import get

        result = get(self._store, key)
        content = checksum(result.stream(), result.meta["size"])
        self._read_back[key] = (_version(result.meta).etag, content)
        return content

    def sync_folders(self, keys: Iterable[str]) -> None:
        """Sync the entries of the folders of objects, if the copy is in a local folder."""
        if self.folder is None:
            return
        with self._store_errors():
            root = self.folder.path
            for folder in {(root / key).parent for key in keys}:
                sync_folders(folder, root)

    def problem(self, key: str, size: int, expected: str, *, read_back: bool) -> str | None:
        """Return how an object differs now from a content of `size` bytes with a checksum; None if it does not.

        That is proven by an ETag, which the store has computed, or by reading the object back: with `read_back`, and
        in a local folder, from its medium.
        """
        from obstore import head

        try:
            found = _version(head(self._store, key))
            if found.size != size:
                return f"{found.size:,} bytes instead of {size:,}"
            if self.folder is not None:
                content = self.folder.read_back(key)
                self._read_back[key] = (found.etag, content)
            elif found.etag == expected and not read_back:
                content = expected
            else:
                content = self.read_back(key)
            if content != expected:
                return "other content"
        except FileNotFoundError:
            return "missing"
        self.sync_folders([key])
        return None

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects, the metadata of the root first: they describe the others."""
        from obstore import delete

        with self._store_errors():
            for key in sorted(keys, key=lambda key: (key.count("/"), key)):
                with suppress(FileNotFoundError):
                    delete(self._store, key)
                self.journal.remove(key)

    # ------------------------------------------------------------------ errors, bandwidth

    def error(
        self, problem: str, error: Exception, kind: type[UploadError] = UploadError
    ) -> UploadError:
        """Return the error to raise, without credentials."""
        advice = "Run" if kind is UploadError else "Check name and port of the server, then run"
        return kind(
            f"{self._source}: {problem}: {failure_reason(error, self._options)}. The dataset on this disk is not "
            f"affected. {advice} `ome-writers upload` to send the remaining files."
        )

    @contextmanager
    def _store_errors(self) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except UploadError:
            raise
        except (BaseError, OSError) as error:
            raise self.error(f"the upload to {self.url} failed", error) from None

    def _count(self, size: int) -> None:
        """Count a sent file, and wait where the bandwidth is limited."""
        with self._lock:
            self.files += 1
            self.bytes += size
            if self._bytes_per_second:
                earliest = self._start + self.bytes / self._bytes_per_second
                time.sleep(max(0.0, earliest - time.monotonic()))


def _observed(blocks: Iterable[bytes], found: Checksum) -> Iterator[bytes]:
    for block in blocks:
        found.update(block)
        yield block


def _version(item: Any) -> ObjectVersion:
    return ObjectVersion(item["size"], _unquoted(item["e_tag"]))


def _unquoted(etag: str | None) -> str:
    return (etag or "").strip('"')
