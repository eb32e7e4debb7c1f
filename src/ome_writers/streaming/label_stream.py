"""`LabelStream`: labels that are written plane by plane into a finished dataset."""

from __future__ import annotations

import shutil
import threading
import warnings
from typing import TYPE_CHECKING, Any

from ome_writers.errors import StreamClosedError, UnclosedStreamWarning
from ome_writers.streaming import lifecycle
from ome_writers.streaming.derived import DerivedStream
from ome_writers.streaming.shutdown import (
    RunOnce,
    close_at_exit,
    keep_open_at_exit,
    run_uninterrupted,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager, ExitStack
    from types import TracebackType

    from typing_extensions import Self

    from ome_writers.streaming.derived import DerivedWriter


class LabelStream(DerivedStream):
    """Writes labels into a dataset that is not being written; returned by `add_labels`. Use it as a context manager.

    Planes without a frame are 0. The dataset is locked until the stream is closed. After an exception, the labels so
    far are kept, with the status ``failed``.
    """

    def __init__(
        self,
        open_writer: Callable[[AbstractContextManager[Any]], DerivedWriter],
        claims: ExitStack,
    ) -> None:
        self._lock = threading.RLock()
        self._closing = RunOnce()
        self._closed = False
        self._claims = claims
        self._fork_count = lifecycle.fork_count
        super().__init__(open_writer(self._lock), self._require_open)
        self._at_exit = close_at_exit(self._close_unclosed)

    def flush(self) -> None:
        """Return when all accepted frames are on disk and visible to other readers.

        Raises
        ------
        WriteError
            Frames could not be written; its `frames` lists them.
        """
        with self._lock:
            self._require_open()
        dataset = self.writer.frames.dataset_writer
        run_uninterrupted(lambda: dataset.flush(self.writer.flush_snapshot))
        if (error := dataset.error()) is not None:
            raise error

    def close(self) -> None:
        """Return when everything that was accepted is durable, or raise; the dataset is unlocked.

        Raises
        ------
        WriteError
            Frames are not on disk; its `frames` lists them.
        """
        self._close(failed=False)

    @property
    def closed(self) -> bool:
        """Whether the stream is closed."""
        return self._closed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._close(failed=error is not None)
        except OSError:
            if error is None:
                raise  # otherwise the caller sees the first exception

    def __del__(self) -> None:
        if getattr(self, "_at_exit", None) is not None and not self._closing.done:
            self._close_unclosed()

    def _discard(self) -> None:
        """Close the stream, and remove the labels, which must not be listed yet."""
        run_uninterrupted(lambda: self._closing.run(self._remove))

    def _close(self, *, failed: bool) -> None:
        if self._fork_count != lifecycle.fork_count:
            return
        run_uninterrupted(lambda: self._closing.run(lambda: self._finish(failed)))
        if (error := self.writer.frames.dataset_writer.error()) is not None:
            raise error

    def _finish(self, failed: bool) -> None:
        with self._claims:
            with self._lock:
                self._closed = True
            self.writer.frames.close(failed=failed)
            self.close_events()
        keep_open_at_exit(self._at_exit)

    def _remove(self) -> None:
        with self._claims:
            with self._lock:
                self._closed = True
            engine, images = self.writer.frames.engine, self.plan.images
            engine.close([level.shape for image in images for level in image.levels])
            for image in images:
                target = self.writer.image_set.layout.root / image.key
                if target.is_dir():
                    shutil.rmtree(target, ignore_errors=True)
                else:
                    target.unlink(missing_ok=True)
            self.close_events()
        keep_open_at_exit(self._at_exit)

    def _close_unclosed(self) -> None:
        if self._closing.done or self._fork_count != lifecycle.fork_count:
            return
        warnings.warn(
            f"Labels {self.name!r} were not closed before garbage collection; they are written now. Use "
            f"`with add_labels(...)` or call `close()`.",
            UnclosedStreamWarning,
            stacklevel=3,
        )
        self._close(failed=False)

    def _require_open(self) -> None:
        if self._closed or self._fork_count != lifecycle.fork_count:
            raise StreamClosedError(
                f"The stream of the labels {self.name!r} is closed, or belongs to another process. Add labels of "
                f"another name."
            )
        if (error := self.writer.frames.dataset_writer.error()) is not None:
            raise error
