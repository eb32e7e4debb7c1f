"""Stores: one with `put`, `get` and `list` only is enough for chunks without shards."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from engines.cases import Case, frame
from engines.in_memory_store import STORES
from engines.test_engines import READY, by_name, shapes
from ome_writers.errors import UnsupportedError
from ome_writers.formats import lay_out
from ome_writers.routing import resolve
from ome_writers.settings import engines
from ome_writers.storage import (
    ENGINES,
    LocalStore,
    MemoryStore,
    Options,
    Store,
    open_engine,
)
from ome_writers.testing import EngineContract

if TYPE_CHECKING:
    from pathlib import Path


class TestDirectEngineInMemory(EngineContract):
    """The contract suite, also for streams, with a store that replaces whole values only."""

    row = dataclasses.replace(ENGINES["direct"], module="engines.in_memory_store", live=False)
    chunks = ("frames", "tiles", "deep")
    opens_from_disk = False

    @pytest.fixture(autouse=True)
    def _memory(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        """Have `create_stream` open this engine, too."""
        monkeypatch.setitem(engines.OWN_ENGINES, "direct", self.row)
        yield
        STORES.clear()

    def stored(self, root: Path, key: str) -> bytes:
        return STORES[root].get(key) or b""

    def test_store_has_a_key_per_chunk_and_array(self, tmp_path: Path) -> None:
        """Pixels of each chunk are those of the frame."""
        plan, engine = self._open(tmp_path, "frames", "tpcz")
        for number in range(plan.frames or 0):
            address = plan.router.address(number)
            engine.write(number, *address, frame(number, "uint16"))
        engine.close(shapes(plan))
        [store] = STORES.values()
        keys = sorted(store.list())
        assert len(keys) == (plan.frames or 0) + len(plan.images)
        metadata = json.loads(store.get("0/0/zarr.json") or b"")
        assert tuple(metadata["shape"]) == plan.images[0].array.shape
        for number in range(plan.frames or 0):
            image, index = plan.router.address(number)
            chunk = store.get("/".join(map(str, (image, 0, "c", *index, 0, 0)))) or b""
            assert np.array_equal(np.frombuffer(chunk, "<u2"), frame(number, "uint16").ravel())


@pytest.mark.parametrize("kind", [LocalStore, MemoryStore])
def test_values_by_key(kind: type[Any], tmp_path: Path) -> None:
    store: Store = kind(tmp_path) if kind is LocalStore else kind()
    assert store.get("a/b") is None
    store.put("a/b", b"1")
    store.put("a/c/d", b"2")
    store.put("a/b", b"3")
    assert store.get("a/b") == b"3"
    assert sorted(store.list()) == ["a/b", "a/c/d"]
    assert list(store.list("a/c")) == ["a/c/d"]


@pytest.mark.parametrize("row", READY, ids=by_name)
def test_refusal_names_the_missing_capability(row: Any, tmp_path: Path) -> None:
    plan, _ = lay_out(resolve(Case(chunks="shards").settings(tmp_path, row.name, row.format)))
    targets = [image.array for image in plan.images]
    subject = "Array '0' with shards" if row.name == "direct" else f"Backend '{row.name}'"
    with pytest.raises(UnsupportedError, match=rf"^{subject} needs .*MemoryStore has no `path`"):
        open_engine(row, MemoryStore(), targets, Options())
