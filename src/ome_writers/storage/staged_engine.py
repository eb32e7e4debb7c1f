"""An engine behind a stage: writes what the stage yields for each frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ome_writers.locks import new_lock
from ome_writers.routing import Address
from ome_writers.storage.background import Background, available_cpus
from ome_writers.storage.contract import Engine, EngineStats, LendingEngine, WriteFailure
from ome_writers.storage.stages import KeepingStage, Plane, Planes, Stage

_DERIVED = -1  # number of a plane whose loss loses no frame
# of a frame; for smaller ones, waking a thread takes longer than it saves
_MIN_SHARED_BYTES = 2**20


class StagedEngine:
    """Writes what a stage yields for each frame; see `storage.contract.Engine`.

    The first plane counts as the frame; the following ones are derived from it.
    """

    def __init__(self, engine: Engine, stage: Stage) -> None:
        self._engine = engine
        self._stage = stage
        self._background = Background(max(1, available_cpus() - 1), name="ome-writers-stage")
        self.share = self._background.share  # for stages
        # held while the stage is called, and the engine is written to
        self._write_lock = new_lock()
        self._turn_lock = new_lock()  # held by a flush that waits for the other lock
        self._planes = [0, 0]  # passed to the engine: frames, and planes derived from them
        self._closed = False
        self.failures = _Failures(engine.failures, self._background.failures)
        for name in ("lend", "reclaim", "patch", "truncate"):  # optional parts of the contract
            with suppress(AttributeError):
                setattr(self, name, getattr(engine, name))

    def write(
        self,
        number: int,
        array: int,
        index: tuple[int, ...],
        frame: Plane,
        owned: bool = False,
    ) -> None:
        with self._turn_lock:  # a flush that waits comes first
            pass
        with self._write_lock:
            planes = iter(self._stage((array, index), frame))
            address, first = next(planes)
            new = not np.may_share_memory(first, frame)
            store = partial(self._write, number, address, first, owned or new)
            if owned or frame.nbytes < _MIN_SHARED_BYTES:
                # first: the engine may reuse a lent buffer as soon as it has written it
                derived = list(self._recording_errors(planes))
                store()
            else:
                derived = self._derive_while(store, planes)
            self._write_derived(derived)
        if owned and new and isinstance(self._engine, LendingEngine):
            self._engine.reclaim(frame)

    def recover(self, number: int) -> bool:
        with self._write_lock:
            return self._engine.recover(number)

    def flush(self, shapes: Sequence[tuple[int, ...]]) -> None:
        self._flush_stage(last=False)
        self._engine.flush(shapes)

    def read(self, array: int, index: tuple[int, ...]) -> Plane:
        return self._engine.read(array, index)

    def put(self, key: str, content: bytes) -> None:
        self._engine.put(key, content)

    def close(self, shapes: Sequence[tuple[int, ...]]) -> None:
        if self._closed:
            return
        self._flush_stage(last=True)
        self._closed = True
        self._background.close()
        self._engine.close(shapes)

    def stats(self) -> EngineStats:
        """Return the progress in frames, and the bytes of all planes."""
        stats = self._engine.stats()
        frames, derived = self._planes
        written = stats.frames_written * frames // ((frames + derived) or 1)
        return replace(stats, frames_written=written)

    def _write(self, number: int, address: Address, plane: Plane, owned: bool) -> None:
        self._engine.write(number, *address, plane, owned)
        self._planes[number == _DERIVED] += 1

    def _derive_while(
        self, store: Callable[[], None], planes: Planes
    ) -> list[tuple[Address, Plane]]:
        """Call `store`, in another thread if one is idle, and return the derived planes."""
        derived: list[tuple[Address, Plane]] = []
        errors: list[BaseException] = []

        def derive() -> None:
            derived.extend(self._recording_errors(planes))

        def store_frame() -> None:
            try:
                store()
            except BaseException as error:  # raised to the caller
                errors.append(error)

        self.share(lambda function: function(), (derive, store_frame))
        if errors:
            raise errors[0]
        return derived

    def _write_derived(self, planes: Planes) -> None:
        for address, plane in planes:
            self._write(_DERIVED, address, plane, owned=True)

    def _recording_errors(self, planes: Planes) -> Planes:
        """Yield planes; an error ends them, and is a failure."""
        try:
            yield from planes
        except Exception as error:
            self._background.failures.append(WriteFailure(error))

    def _flush_stage(self, *, last: bool) -> None:
        stage = self._stage
        if stage.memory_bytes and isinstance(stage, KeepingStage) and not self._closed:
            with self._turn_lock, self._write_lock:
                self._write_derived(self._recording_errors(stage.flush(last=last)))


class _Failures(Sequence[WriteFailure]):
    """Failures of the engine, followed by those of the stage; without the numbers of derived planes."""

    def __init__(self, *parts: Sequence[WriteFailure]) -> None:
        self._parts = parts

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __getitem__(self, i: Any) -> Any:
        found = [failure for part in self._parts for failure in part]
        return [replace(f, frames=tuple(n for n in f.frames if n != _DERIVED)) for f in found][i]
