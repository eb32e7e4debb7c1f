"""An engine behind a stage: writes what the stage yields for each frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ome_writers.dataset import LevelSpec
from ome_writers.errors import UnsupportedError
from ome_writers.locks import new_lock
from ome_writers.routing import Address
from ome_writers.storage.background import Background, available_cpus
from ome_writers.storage.contract import (
    DERIVED,
    Engine,
    EngineStats,
    ExistingArray,
    ExtensibleEngine,
    LendingEngine,
    PatchingEngine,
    TruncatingEngine,
    WriteFailure,
)
from ome_writers.storage.shared_work import share
from ome_writers.storage.stages import ExtensibleStage, KeepingStage, Plane, Planes, Stage

if TYPE_CHECKING:
    from ome_writers.storage.evictable_files import EvictableFiles

# of a frame; for smaller ones, waking a thread takes longer than it saves
_MIN_SHARED_BYTES = 2**20


class StagedEngine:
    """Writes what a stage yields for each frame; see `storage.contract.Engine`.

    The first plane counts as the frame; the following ones are derived from it. Lending, patching and truncating are
    left to the engine. If it does not have one of these capabilities, nothing is lent, patched or truncated.
    """

    def __init__(self, engine: Engine, stage: Stage) -> None:
        self._engine = engine
        self._stage = stage
        self._background = Background(max(1, available_cpus() - 1), name="ome-writers-stage")
        self.share = partial(share, self._background)  # for stages
        # held while the stage is called, and the engine is written to
        self._write_lock = new_lock()
        self._turn_lock = new_lock()  # held by a flush that waits for the other lock
        self._closed = False
        self.failures = _Failures(engine.failures, self._background.failures)

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
            store = partial(self._engine.write, number, *address, first, owned or new)
            if owned or frame.nbytes < _MIN_SHARED_BYTES:
                # first: the engine may reuse a lent buffer as soon as it has written it
                derived = list(self._recording_errors(planes))
                store()
            else:
                derived = self._derive_while(store, planes)
            self._write_derived(derived)
        if owned and new:
            self.reclaim(frame)

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
        return self._engine.stats()

    def lend(self, array: int) -> Plane | None:
        """See `storage.contract.LendingEngine`."""
        return self._engine.lend(array) if isinstance(self._engine, LendingEngine) else None

    def reclaim(self, frame: Plane) -> None:
        """See `storage.contract.LendingEngine`."""
        if isinstance(self._engine, LendingEngine):
            self._engine.reclaim(frame)

    def patch(self, key: str, offset: int, old: bytes, new: bytes) -> None:
        """See `storage.contract.PatchingEngine`."""
        if isinstance(self._engine, PatchingEngine):
            self._engine.patch(key, offset, old, new)

    def start_eviction(self, wait_for_space: Callable[[], None]) -> EvictableFiles:
        """See `storage.EvictingEngine`; other engines are refused before (`EngineRow.evicts`)."""
        engine: Any = self._engine
        files: EvictableFiles = engine.start_eviction(wait_for_space)
        return files

    def add_arrays(
        self, targets: Sequence[LevelSpec], existing: Sequence[ExistingArray] = ()
    ) -> int:
        """See `storage.contract.ExtensibleEngine`; raises UnsupportedError if the engine is not one."""
        if not isinstance(self._engine, ExtensibleEngine):
            raise UnsupportedError(
                "The engine cannot add arrays to a dataset. Use another backend."
            )
        with self._write_lock:
            first = self._engine.add_arrays(targets, existing)
            if isinstance(self._stage, ExtensibleStage):
                self._stage.add_arrays(first, targets)
        return first

    def truncate(self) -> None:
        """See `storage.contract.TruncatingEngine`."""
        if isinstance(self._engine, TruncatingEngine):
            self._engine.truncate()

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
            self._engine.write(DERIVED, *address, plane, True)

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
        return [replace(f, frames=tuple(n for n in f.frames if n != DERIVED)) for f in found][i]
