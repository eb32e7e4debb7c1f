"""Brings what a stream has taken to disk: pixels first, frame metadata next, documents last.

An error at any step is kept, and the steps after it are still done, so that all that can be saved is.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from ome_writers.errors import WriteError, describe_frames
from ome_writers.formats import SupportsCarryOver, SupportsGrow
from ome_writers.storage import PatchingEngine, TruncatingEngine, WriteFailure
from ome_writers.storage.files import sync_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from ome_writers.formats import DatasetMetadata, Journal, JournalEntry, Outcome
    from ome_writers.storage import Engine
    from ome_writers.streaming.output_claim import OutputClaim

__all__ = ["Recorder"]


class Recorder:
    """Owns the engine, the documents and the journal of one dataset.

    Parameters
    ----------
    where
        The output path, for messages.
    engine, documents, journal
        What writes pixels, says what they are, and keeps the frames' metadata.
    output
        The claim on the output path; None when there is no path.
    synced
        The folder of the lock, where its removal is to be forced to the medium.
    """

    def __init__(
        self,
        where: str,
        engine: Engine,
        documents: DatasetMetadata,
        journal: Journal,
        output: OutputClaim | None,
        synced: Path | None = None,
    ) -> None:
        self.engine = engine
        self.journal = journal
        self._where = where
        self._losses = engine.failures  # one list for ever: a look at it costs nothing
        self._documents = documents
        self._output = output
        self._synced = synced
        self._failures: list[WriteFailure] = []
        self._told: dict[str, Mapping[str, Any]] = {}  # of the whole acquisition, by namespace
        self.discarded = False
        """Whether the output was removed, so that nothing is written any more."""
        self._edited = False  # whether somebody has changed documents as such
        self._vanished = -1  # number of frames that went with a removed output; -1 while it stands
        self._flushing = threading.Lock()
        self._speaking = threading.Lock()  # held while documents change or are put on disk

    @property
    def failed(self) -> bool:
        """Whether something could not be written; asked before each frame."""
        return bool(self._losses or self._failures)

    @property
    def lost(self) -> set[int]:
        """The numbers of the frames that could not be written."""
        return {n for failure in (*self._losses, *self._failures) for n in failure.frames}

    def error(self) -> WriteError | None:
        """Return what could not be written, as the error to raise; None when all is well."""
        failures = [*self._losses, *self._failures]
        if not failures:
            return None
        frames = [n for failure in failures for n in failure.frames]
        first = failures[0].error
        lost, then = "the dataset is not complete on disk", "run `ome-writers repair`"
        if frames:
            noun, verb = ("frames", "are") if len(set(frames)) > 1 else ("frame", "is")
            lost = f"{noun} {describe_frames(frames)} {verb} not on disk"
            told = all(
                failure.frames and not failure.repairable for failure in failures
            )  # else documents may lack others
            then = "acquire again" if told else f"{then} and acquire again"
        error = WriteError(
            f"Writing to {self._where} failed, {lost}: {type(first).__name__}: {first}. What was written before is "
            f"readable. Free space or repair the disk, then {then}.",
            frames,
        )
        error.__cause__ = first
        return error

    def flush(self, taken: Callable[[], tuple[Sequence[JournalEntry], Outcome]]) -> None:
        """Bring to disk what `taken` returns: the journal's lines, and how far the acquisition is."""
        with self._flushing:
            lines, outcome = taken()
            self._try(lambda: self.engine.flush(outcome.shapes))
            if not self.failed:  # otherwise not all of these frames are on disk
                self._report(outcome)
            self._try(lambda: self._grow(outcome.shapes))
            self._try(lambda: self.journal.write(lines))

    def confirm(self, frames: int) -> None:
        """Note that all `frames` frames are lost if somebody has removed the output meanwhile.

        Engines make the folders that they miss, and would not notice.
        """
        if self._output is None or self._output.stands or frames <= self._vanished:
            return
        self._vanished = frames
        gone = FileNotFoundError(f"{self._where} was removed while the stream wrote to it")
        self._failures.append(WriteFailure(gone, tuple(range(frames))))

    def close_pixels(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Bring all pixels and all frame metadata to disk, and give the arrays their final shapes."""
        with self._flushing:
            self._try(lambda: self.engine.close(shapes))
            self._try(lambda: self.journal.write(self.journal.pop_pending()))

    def close_documents(self, outcome: Outcome) -> None:
        """Write the final documents, and let others write to the output path."""
        with self._speaking:
            said = self._try(lambda: self._documents.finish(outcome, self.journal))
            said = self._try(self._put_documents) and said
            if said and isinstance(self.engine, TruncatingEngine):
                self._try(self.engine.truncate)
            if not self._failures:
                for image in self._documents.embedded_journals():
                    self.journal.discard(image)
        if self._output is not None:
            self._try(self._output.release)
        if self._synced is not None:
            self._try(partial(sync_folder, self._synced))

    @property
    def can_be_replaced(self) -> bool:
        """Whether all that was said of the dataset could be said of another one."""
        return not self._edited or isinstance(self._documents, SupportsCarryOver)

    def discard(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Remove the output."""
        with self._flushing, self._speaking:
            self.discarded = True
            self.engine.close(shapes)
            for image in range(len(shapes)):
                with suppress(OSError):  # the output is removed all the same
                    self.journal.discard(image)  # may lie beside it
            output, self._output = self._output, None
            if output is not None:
                output.restore()

    def fail(self, error: Exception, frames: int) -> None:
        """Take note that the output is not what it should be, and has none of the first `frames` frames."""
        self._failures.append(WriteFailure(error, tuple(range(frames))))

    def inherit(self, earlier: Recorder) -> None:
        """Say of this dataset what was said of one that it replaces; see `can_be_replaced`."""
        with self._speaking:
            if earlier._edited and isinstance(self._documents, SupportsCarryOver):
                self._documents.carry_over(earlier._documents)
                self._edited = True
            for namespace, metadata in earlier._told.items():
                self._documents.set_global_metadata(namespace, metadata)
                self._told[namespace] = metadata
            self._put_documents()

    def get_metadata(self) -> Any:
        """Return a copy of the dataset's metadata."""
        with self._speaking:
            return self._documents.get_metadata()

    def update_metadata(self, metadata: Any) -> None:
        """Replace metadata, in memory and on disk."""
        with self._speaking:
            self._documents.update_metadata(metadata)
            self._edited = True
            self._say()

    def set_global_metadata(self, namespace: str, metadata: Mapping[str, Any]) -> None:
        """Attach metadata to the whole, in memory and on disk."""
        with self._speaking:
            self._documents.set_global_metadata(namespace, metadata)
            self._told[namespace] = metadata
            self._say()

    def _say(self) -> None:
        """Put on disk what a user has just said of the dataset."""
        try:
            self._put_documents()
        except OSError as error:
            raise WriteError(
                f"The metadata of {self._where} could not be written: {type(error).__name__}: {error}. Free space or "
                f"repair the disk: the next metadata, or `close`, bring this to disk, too."
            ) from error

    def _report(self, outcome: Outcome) -> None:
        """Have the documents show how far the acquisition is.

        An error is not a failure of the acquisition (on Windows a reader may hold a document open for a moment):
        the next flush, or `close`, writes the same documents again.
        """
        with self._speaking, suppress(OSError):
            patches = () if self.discarded else self._documents.update_progress(outcome)
            if isinstance(self.engine, PatchingEngine):
                for patch in patches:
                    self.engine.patch(*patch)
            self._put_documents()

    def _grow(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Tell the documents how long the arrays have become, where it is the documents that say so."""
        if isinstance(self._documents, SupportsGrow):
            with self._speaking:
                self._documents.grow(shapes)
                self._put_documents()

    def _put_documents(self) -> None:
        for key, content in self._documents.render():
            if not self.discarded:
                self.engine.put(key, content)

    def _try(self, step: Callable[[], object]) -> bool:
        """Do one step; keep its error and go on; return whether there was none."""
        if self.discarded:
            return False
        try:
            step()
        except Exception as error:
            self._failures.append(WriteFailure(error))
            return False
        return True
