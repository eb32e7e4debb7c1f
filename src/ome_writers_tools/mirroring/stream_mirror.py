"""`StreamMirror`: uploads the dataset that a stream writes, in the background."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ome_writers import SettingsError, UnsupportedError, UploadError
from ome_writers.toolkit import (
    EvictingEngine,
    failure_reason,
    lower_thread_priority,
    mirror_of,
    moved_files,
    open_store,
    refuse_overlap,
)
from ome_writers_tools.mirroring.eviction import Eviction
from ome_writers_tools.mirroring.store_copy import StoreCopy
from ome_writers_tools.mirroring.uploader import Uploader

if TYPE_CHECKING:
    from ome_writers import AcquisitionSettings, DatasetSpec
    from ome_writers.toolkit import Engine, Layout

_log = logging.getLogger("ome_writers")


class MirrorCompanion:
    """Serves the setting `mirror`; a `Companion`. Its mirror is replaced when the stream restarts."""

    def __init__(self) -> None:
        self._mirror: StreamMirror | None = None

    def check(self, settings: AcquisitionSettings) -> None:
        mirror, path = mirror_of(settings.mirror), Path(settings.output_path)
        if not settings.format.needs_path:
            raise SettingsError(
                f"A {settings.format.name} store cannot be mirrored: it is temporary. Write OME-Zarr or OME-TIFF."
            )
        refuse_overlap(path, mirror.url)
        open_store(mirror.url)  # raises now if it cannot be used
        if self._mirror is not None or (moved := moved_files(path)) is None:
            return
        if settings.overwrite:
            raise UnsupportedError(
                f"{path}: {len(moved)} of its files were moved to {moved.url}, and are not on this disk: a mirror of "
                f"the dataset that overwrites it might remove them there. Choose another path, or remove {path} "
                f"yourself."
            )
        moved.refuse_other_target(mirror.url)

    def opened(self, layout: Layout, settings: AcquisitionSettings, engine: Engine) -> None:
        mirror, eviction = mirror_of(settings.mirror), None
        if mirror.evict:
            assert isinstance(engine, EvictingEngine)  # `EngineRow.evicts`
            eviction = Eviction(layout.output, mirror, engine)
        self._mirror = StreamMirror(
            layout.output,
            mirror.url,
            overwrite=settings.overwrite,
            replaces=self._mirror,
            eviction=eviction,
        )

    def restarted(self, layout: Layout, settings: AcquisitionSettings, engine: Engine) -> None:
        self.discarded()
        self.opened(layout, settings, engine)

    def closing(self, spec: DatasetSpec) -> Iterable[tuple[str, bytes]]:
        del spec
        return ()

    def closed(self) -> None:
        if self._mirror is not None:
            self._mirror.finish()

    def interrupted(self) -> None:
        if self._mirror is not None:
            self._mirror.abandon()

    def discarded(self) -> None:
        if self._mirror is not None:
            self._mirror.discard()

    def stats(self) -> Mapping[str, int]:
        if (mirror := self._mirror) is None:
            return {}
        files, sent = mirror.sent
        evicted = 0 if mirror.eviction is None else mirror.eviction.bytes
        return {"files_mirrored": files, "bytes_mirrored": sent, "bytes_evicted": evicted}


class StreamMirror:
    """Uploads a dataset that this process writes, in threads of its own. Only `finish` waits for the network.

    With `overwrite`, an earlier copy that was uploaded from the same path may be replaced. `replaces` is the mirror of
    a dataset that this one replaces, whose `discard` was called. `eviction` removes files of the dataset.
    """

    def __init__(
        self,
        dataset: Path,
        url: str,
        *,
        overwrite: bool,
        replaces: StreamMirror | None = None,
        eviction: Eviction | None = None,
    ) -> None:
        self.eviction = eviction
        self._dataset, self._url = dataset, url
        self._overwrite = overwrite
        self._replaced = replaces
        self._copy: StoreCopy | None = None
        self._uploader: Uploader | None = None
        self._closing = threading.Event()
        self._ended = threading.Event()
        self._discarded = self._abandoned = False
        self._error: Exception | None = None
        self.thread = threading.Thread(target=self._run, name="ome-writers-mirror", daemon=True)
        self.thread.start()

    @property
    def sent(self) -> tuple[int, int]:
        """Number and bytes of the files sent, with those that were sent again because they had grown."""
        copy = self._copy
        return (0, 0) if copy is None else (copy.files, copy.bytes)

    def finish(self) -> None:
        """Return when the dataset, which its writer has closed, is complete in the store, and verified.

        Raises UploadError if the store has refused files, the copy differs from the dataset, or after `abandon`.
        """
        self._closing.set()
        self._ended.wait()
        if self._error is not None:
            raise self._error

    def abandon(self) -> None:
        """Let `finish` return at once. Requests in progress go on in the background while the process runs."""
        if self._ended.is_set():
            return
        self._abandoned = True
        self._error = UploadError(
            f"{self._dataset}: the upload to {self._url} was interrupted. The dataset on this disk is not affected. "
            f"Run `ome-writers upload` to send the remaining files."
        )
        if self._uploader is not None:
            self._uploader.stop()
        self._ended.set()
        if self.eviction is not None:
            self.eviction.end()

    def discard(self) -> None:
        """Stop, because the dataset is removed, and remove its copy. Returns at once."""
        self._discarded = True
        if self.eviction is not None:
            self.eviction.end()
        if self._uploader is not None:
            self._uploader.stop()
        self._closing.set()

    def _run(self) -> None:
        lower_thread_priority()  # on Linux also that of obstore's threads, if it is used here first
        try:
            replaceable = self._await_replaced()
            self._copy = StoreCopy(self._dataset, self._url)
            self._copy.replaceable = replaceable
            if self._overwrite and self._copy.journal.dataset:
                replaceable.add(self._copy.journal.dataset)
            try:
                self._upload(self._copy)
            finally:
                self._copy.journal.close()
            if self._discarded:
                self._copy.journal.path.unlink(missing_ok=True)
        except UploadError as error:
            self._error = self._error or error
        except Exception as error:
            self._error = self._error or UploadError(
                f"{self._dataset} could not be uploaded to {self._url}: {type(error).__name__}: "
                f"{failure_reason(error)}. The dataset on this disk is not affected. Run `ome-writers upload`."
            )
        finally:
            self._ended.set()
            if self.eviction is not None:
                self.eviction.end()
        if self._error is not None and not self._closing.is_set():
            _log.error("%s", self._error)  # `close` raises it, perhaps much later

    def _await_replaced(self) -> set[str]:
        """Wait until the copy of the replaced dataset is removed; return its id, in case that has failed."""
        replaced, self._replaced = self._replaced, None
        if replaced is None:
            return set()
        replaced.thread.join()
        copy = replaced._copy  # noqa: SLF001 # of this class
        return {copy.dataset_id} if copy is not None and copy.dataset_id else set()

    def _upload(self, copy: StoreCopy) -> None:
        self._uploader = Uploader(self._dataset, copy, eviction=self.eviction)
        try:
            if not (self._discarded or self._abandoned):
                self._uploader.run(
                    lambda: not self._closing.is_set(),
                    wait=self._closing.wait,
                    tolerates_errors=True,
                )
        except OSError:
            if not self._discarded:
                raise
        finally:
            self._uploader.close()
        if self._discarded:
            copy.release()
