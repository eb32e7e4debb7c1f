"""A stage, a sink and a store of one's own: each is a class of a few lines, and nothing else changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from contract.cases import Case, frame
from contract.test_engines import IN_ANY_ORDER, by_name, fill, opened, shapes
from ome_writers.storage import StagedEngine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ome_writers.routing import Address


class Invert:
    """A stage that stores the negative of each frame."""

    memory_bytes = 0

    def __call__(self, address: Address, plane: Any) -> Iterator[tuple[Address, Any]]:
        yield address, ~plane


@pytest.mark.parametrize("row", IN_ANY_ORDER, ids=by_name)
def test_stage_that_inverts_frames(row: Any, tmp_path: Path) -> None:
    plan, engine = opened(row, Case(), tmp_path)
    engine = StagedEngine(engine, Invert())
    fill(plan, engine)
    engine.close(shapes(plan))
    assert not engine.failures
    assert engine.stats().frames_written == plan.frames
    for number in range(plan.frames or 0):
        stored = engine.read(*plan.router.address(number))
        assert np.array_equal(stored, ~frame(number, "uint16"))
