"""Follow a dataset that another process is writing: each frame as soon as it is readable.

The writer records in a small file which frames are on disk (see `storage.progress_file`), so that following needs no
metadata. Datasets of other programs and of older versions have no such file: their metadata and chunks are polled.
"""

# Longer than 300 lines: half of it is the documentation of two public functions.
from __future__ import annotations

import time
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ome_writers.errors import InvalidFileError, UnsupportedError, WriteError
from ome_writers.formats import resolve_entry_file
from ome_writers.storage import ProgressHeader, ProgressReader, lock_owner, lock_path
from ome_writers.untrusted import locate, path_or_url
from ome_writers.views.dataset import OpenDataset
from ome_writers.views.stream_source import view_names

_MIN_POLL_INTERVAL_S, _MAX_POLL_INTERVAL_S = 0.001, 0.02  # of the progress file
_POLLS_PER_FLUSH = 8
_DOCUMENT_POLL_INTERVAL_S = 0.2
_WRITER_CHECK_INTERVAL_S = 0.25
_MAX_SILENCE_S = (
    60.0  # of a writer on another computer, which records each flush at least four times per second
)
_READ_TIMEOUT_S = 10.0  # for a frame that the writer has recorded as readable
_READ_RETRY_INTERVAL_S = 0.005


def follow(
    path: str | PathLike[str], *, timeout: float | None = None
) -> Iterator[tuple[dict[str, int], NDArray[np.generic]]]:
    """Yield the index and the pixels of each frame of a dataset as soon as it is readable, until its writer closes it.

    For a process other than the writer's, which may start before, during or after the acquisition. Every written frame
    is yielded once: first those that are on disk, then each new one at the end of the flush that includes it, at most
    `AcquisitionSettings.flush_interval` and the duration of a flush after `append` has returned. Skipped frames are not
    yielded. A frame that is written again after it was yielded is yielded again: the last pixels of an index are those
    in the dataset.

    Parameters
    ----------
    path
        As for `open`. Of datasets that other programs write, a frame is yielded when its chunk exists, or its page.
    timeout
        Seconds to wait for the dataset to exist, and then for each next frame. None: the dataset must exist, and frames
        are waited for as long as the writer runs. The end of a dataset whose writer does not record a status is that no
        frame has arrived for this time; with None, what is on disk now.

    Yields
    ------
    tuple
        The index by axis name, such as ``{"t": 3, "c": 0}``, with the axes of `open` (the position axis is ``p``); and
        the frame, (y, x) or (y, x, samples), which the caller owns.

    Raises
    ------
    TimeoutError
        There was no frame for `timeout` seconds.
    WriteError
        The writer was killed, or has failed, after the frames that were yielded (OSError). If the dataset is resumed
        before this is noticed, the frames of its next writer follow.
    FileNotFoundError, UnsupportedError
        As for `open`.
    """
    follower = _Follower(path, timeout, restarts=True)
    try:
        follower.open()
        for number in follower.numbers():
            frame = follower.frame(number)
            if frame is not None:
                yield follower.index(number), frame
    finally:
        follower.close()


def wait_for(
    path: str | PathLike[str], *, timeout: float | None = None, **index: int
) -> NDArray[np.generic]:
    """Return a frame of a dataset as soon as it is readable: ``wait_for("run.ome.zarr", t=5, c=0)``.

    For a process other than the writer's.

    Parameters
    ----------
    path
        As for `open`.
    timeout
        Seconds to wait, also for the dataset to exist. None: the dataset must exist.
    **index
        Index along each axis that is longer than 1, as `follow` yields it.

    Returns
    -------
    numpy.ndarray
        The frame, (y, x) or (y, x, samples), which the caller owns.

    Raises
    ------
    TimeoutError
        The frame was not written within `timeout` seconds.
    IndexError
        The dataset does not have this index, or its writer has closed it without this frame.
    WriteError
        The writer was killed, or has failed, before it wrote the frame (OSError).
    FileNotFoundError, UnsupportedError
        As for `open`.
    """
    follower = _Follower(path, timeout, restarts=False)
    try:
        follower.open()
        follower.number(index)  # raises before waiting
        for number in follower.numbers():
            if number == follower.number(index):
                frame = follower.frame(number)
                if frame is not None:
                    return frame
        raise IndexError(
            f"{follower.path} was closed without a frame at {index}. Choose an index that was acquired."
        )
    finally:
        follower.close()


class _ReplacedError(Exception):
    """The stream has removed the dataset, to create it with other settings."""


class _Follower:
    """The frames of a dataset in the order in which they become readable, by number (see `Router.strides`).

    `timeout` is for each frame if the time `restarts` with each, otherwise for all.
    """

    def __init__(self, path: str | PathLike[str], timeout: float | None, *, restarts: bool) -> None:
        self.path = path_or_url(path)
        self._timeout, self._restarts = timeout, restarts
        self._deadline = self._new_deadline()
        self._progress: ProgressReader | None = None
        self._seen: set[int] = set()  # numbers that were returned without a progress file
        self._last_sign = (
            0.0,
            time.monotonic(),
        )  # time of the last flush, and when it was seen first
        self._next_check = 0.0
        self._was_killed = False  # whether the writer that was followed before was killed
        self._lock: Path | None = None
        self._dataset: OpenDataset

    def close(self) -> None:
        if self._progress is not None:
            self._progress.close()

    def numbers(self) -> Iterator[int]:
        """Yield the number of each frame that is on disk; return when the writer has closed the dataset."""
        while True:
            try:
                for number in (
                    self._from_documents() if self._progress is None else self._recorded()
                ):
                    yield number
                    if self._restarts:
                        self._deadline = self._new_deadline()
            except _ReplacedError:
                self.close()
                self._seen.clear()
            else:
                if not self._resumed():
                    return
            self.open()

    def index(self, number: int) -> dict[str, int]:
        names = view_names(self._dataset.spec.dimensions)
        return dict(zip(names, self._acquired(number), strict=False))

    def number(self, index: dict[str, int]) -> int:
        """Return the number of an index by axis name.

        Raises IndexError if the dataset does not have it, or an axis is missing.
        """
        router, spec = self._dataset.router, self._dataset.spec
        names = view_names(spec.dimensions)[: len(router.axes)]
        lengths = dict(zip(names, router.counts, strict=True))
        missing = [name for name in names if name not in index and lengths[name] != 1]
        if missing or index.keys() - lengths.keys():
            raise IndexError(
                f"{self.path} has the axes {', '.join(names)}, got an index along {', '.join(index) or 'none'}. "
                f"Give an index along each axis that is longer than 1."
            )
        for name, i in index.items():
            length = lengths[name]
            if i < 0 or (length is not None and i >= length):
                raise IndexError(
                    f"{self.path}: {name}={i} is out of range, the axis has length {length}."
                )
        return sum(index.get(n, 0) * int(s) for n, s in zip(names, router.strides, strict=True))

    def frame(self, number: int) -> NDArray[np.generic] | None:
        """Return the pixels of a frame that is on disk; None if the dataset was replaced."""
        image, stored = self._dataset.router.address_of(self._acquired(number))
        deadline = time.monotonic() + _READ_TIMEOUT_S
        if self._progress is not None and self._progress.header().state == "writing":
            known = self._dataset.read_recorded(image, stored)
            if known is not None and known.any():  # else the IFD may refer to the blank plane
                return known
        while True:
            try:
                frame = self._dataset.read(image, stored, strict=True)
                if frame.any() or self._dataset.is_stored(image, stored):
                    return frame
                problem: Exception | str = "its chunk does not exist"
            except InvalidFileError:
                raise
            except OSError as error:
                problem = error
            if self._progress is not None and self._progress.header().state == "replaced":
                return None
            if time.monotonic() > deadline:
                raise InvalidFileError(
                    f"{self.path}: the frame at {self.index(number)} was written, but cannot be read: {problem}. "
                    f"Check the dataset with `ome-writers validate`."
                )
            time.sleep(_READ_RETRY_INTERVAL_S)
            try:
                self._dataset = OpenDataset.open(self.path)
            except (OSError, UnsupportedError) as error:
                problem = error

    def _new_deadline(self) -> float | None:
        return None if self._timeout is None else time.monotonic() + self._timeout

    def open(self) -> None:
        """Open the dataset, and the progress file if there is one; wait until the dataset exists."""
        while True:
            try:
                root = resolve_entry_file(self.path)
                self._lock = locate(root).lock(lock_path)
                self._progress = self._open_progress()
                self._dataset = OpenDataset.open(self.path)
                break
            except (FileNotFoundError, UnsupportedError):
                if self._deadline is None:
                    raise
                if time.monotonic() > self._deadline:
                    raise
            time.sleep(_MAX_POLL_INTERVAL_S)
        settings = self._dataset.spec.settings
        flush_interval = 1.0 if settings is None else settings.flush_interval
        self._poll_interval_s = max(
            _MIN_POLL_INTERVAL_S, min(_MAX_POLL_INTERVAL_S, flush_interval / _POLLS_PER_FLUSH)
        )

    def _open_progress(self) -> ProgressReader | None:
        if self._lock is not None:
            try:
                return ProgressReader(self._lock)
            except (FileNotFoundError, NotADirectoryError):
                pass
        return None

    def _recorded(self) -> Iterator[int]:
        """Yield the frames that the progress file lists, until its writer ends."""
        progress = self._progress
        assert progress is not None
        if progress.header().resumed:
            on_disk = [*self._on_disk()]
            runs = progress.new_runs(progress.header())
            # these are read after they were recorded: each once
            yield from dict.fromkeys((*on_disk, *(number for run in runs for number in run)))
        while True:
            header = progress.header()
            found = False
            for run in progress.new_runs(header):
                for number in run:
                    found = True
                    yield number
            if header.state == "replaced":
                raise _ReplacedError
            if header.state == "failed":
                raise self._writer_error("has failed", header.frames)
            if header.state != "writing":
                return
            if not found and self._is_check_due():
                if progress.is_current():
                    ended = self._has_ended(header) and progress.is_current()
                    if ended and progress.header() == header:
                        raise self._writer_error("has ended without closing it", header.frames)
                elif progress.header() == header:
                    return  # its writer was killed, and the dataset was repaired or is resumed
            elif not found:
                self._wait(self._poll_interval_s)

    def _resumed(self) -> bool:
        """Return whether another writer continues the dataset, and prepare to follow it."""
        progress = self._progress
        if progress is None:
            return False
        killed = progress.header().state == "writing"
        if not killed and not progress.was_replaced():
            return False
        self._was_killed = killed
        runs = progress.all_runs()
        self._seen.update(number for run in runs for number in run)
        progress.close()
        return True

    def _from_documents(self) -> Iterator[int]:
        """Yield the frames on disk according to metadata and files, until the dataset is closed."""
        offset, router, growing = 0, self._dataset.router, self._was_killed
        while True:
            spec = self._dataset.current_spec()
            locked = self._lock is not None and lock_owner(self._lock) is not None
            # `resume` repairs a dataset first, to the status "failed"
            if spec.status != "writing" and not (locked and spec.status == "failed"):
                break
            growing = True
            self._progress = self._open_progress()
            if self._progress is not None:
                if self._progress.header().resumed:
                    yield from self._recorded()
                    return
                for number in self._recorded():
                    if number not in self._seen:
                        yield number
                    self._seen.discard(number)
                return
            known: dict[Any, Any] = {}
            limit = spec.frames_in_order
            while offset < (spec.frames_written or 0 if limit is None else limit):
                acquired = router.acquired(np.array([offset]))[0]
                stored = self._dataset.is_stored(*router.address_of(acquired.tolist()), known)
                if stored:
                    yield from self._first_time(int(acquired @ router.strides))
                elif limit is None:
                    break  # the frames on disk are not the first ones
                offset += 1
            ended = self._lock is not None and not locked
            if ended and self._dataset.current_spec().status == "writing":
                yield from self._on_disk()
                raise self._writer_error("has ended without closing it", len(self._seen))
            self._wait(_DOCUMENT_POLL_INTERVAL_S)
        yield from self._on_disk()
        if spec.status == "failed" and growing:
            raise self._writer_error("has failed", len(self._seen))
        while spec.status is None and self._timeout is not None:  # it may still grow
            try:
                self._wait(_DOCUMENT_POLL_INTERVAL_S)
            except TimeoutError:
                return
            yield from self._on_disk()

    def _on_disk(self) -> Iterator[int]:
        """Yield the frames on disk that were not returned before, in the order of the axes."""
        router, known = self._dataset.router, dict[Path, Any]()
        extents = [self._dataset.extents()[name] for name in router.axes]
        # a number includes the lengths of all axes but the first
        extents[1:] = map(min, extents[1:], (count or 0 for count in router.counts[1:]))
        for index in np.ndindex(*extents):
            number = int(np.dot(index, router.strides))
            if number not in self._seen and self._dataset.is_stored(
                *router.address_of(index), known
            ):
                yield from self._first_time(number)

    def _first_time(self, number: int) -> Iterator[int]:
        if number not in self._seen:
            self._seen.add(number)
            yield number

    def _acquired(self, number: int) -> list[int]:
        router = self._dataset.router
        index: list[int] = []
        for count, stride in zip(router.counts, router.strides.tolist(), strict=True):
            i, number = divmod(number, stride)
            # another program may extend the first axis
            if count is not None and i >= count and (index or self._progress is not None):
                raise InvalidFileError(
                    f"{self.path}: its progress file lists a frame outside of it."
                )
            index.append(i)
        return index

    def _is_check_due(self) -> bool:
        """Return whether to check the writer again, and count this as a check."""
        now = time.monotonic()
        if now < self._next_check or self._lock is None:
            return False
        self._next_check = now + _WRITER_CHECK_INTERVAL_S
        return True

    def _has_ended(self, header: ProgressHeader) -> bool:
        """Return whether the process of the writer does not run any more."""
        now = time.monotonic()
        if header.updated != self._last_sign[0]:
            self._last_sign = header.updated, now
        if self._lock is None:
            return False
        silent = now - self._last_sign[1] > _MAX_SILENCE_S
        owner = lock_owner(self._lock)
        return owner is None or (silent and not owner.is_here)

    def _wait(self, seconds: float) -> None:
        if self._deadline is not None and time.monotonic() + seconds > self._deadline:
            raise TimeoutError(
                f"{self.path}: no new frame for {self._timeout} seconds, its writer is still running. "
                f"Increase timeout, or check the camera."
            )
        time.sleep(seconds)

    def _writer_error(self, problem: str, frames: int) -> WriteError:
        return WriteError(
            f"{self.path}: the process that wrote it {problem}, after {frames} frames. What was written is readable; "
            f"`ome-writers repair` completes the metadata."
        )
