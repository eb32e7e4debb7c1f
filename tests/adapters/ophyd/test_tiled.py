"""tiled serves the frames of a run, while it is recorded and afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("ophyd_async", reason="ophyd-async needs Python 3.11 or later: tox -e ophyd")
pytest.importorskip("tiled", reason="tiled is a dependency of tox -e ophyd only")

import bluesky.plan_stubs as bps
from bluesky_tiled_plugins import TiledWriter
from ophyd_async.core import StaticPathProvider, UUIDFilenameProvider, init_devices
from tiled.catalog import in_memory
from tiled.client import Context, from_context
from tiled.server.app import build_app

from adapters.ophyd.detectors import detector
from ome_writers_ophyd import OMEDataLogic, OMEOutput
from ome_writers_ophyd.tiled import ADAPTERS, register

# of tiled, starlette and bluesky-tiled-plugins among themselves
pytestmark = pytest.mark.filterwarnings("ignore")

if TYPE_CHECKING:
    from bluesky.run_engine import RunEngine


@pytest.mark.parametrize("format", ["ome-zarr", "ome-tiff"])
def test_tiled_serves_frames_during_and_after_the_run(
    engine: RunEngine, tmp_path: Path, format: str
) -> None:
    register()
    catalog = in_memory(
        writable_storage=[f"file://localhost{tmp_path}/tiled", f"sqlite:///{tmp_path}/tables.db"],
        readable_storage=[f"file://localhost{tmp_path}"],
        adapters_by_mimetype=ADAPTERS,
    )
    output = OMEOutput(StaticPathProvider(UUIDFilenameProvider(), tmp_path), format=format)
    with init_devices():
        wide = detector(OMEDataLogic(output, shape=(32, 48), name="wide"), "wide")
        small = detector(
            OMEDataLogic(output, shape=(16, 24), dtype="uint8", name="small"),
            "small",
            (16, 24),
            "uint8",
        )
    with Context.from_app(build_app(catalog)) as context:
        client = from_context(context)
        during: list[int] = []

        def look() -> None:
            array = client.values().last()["primary"]["wide"]
            during.append(len(array))
            assert (array[...] == np.arange(len(array)).reshape(-1, 1, 1)).all()

        def plan() -> Any:
            yield from bps.stage_all(wide, small)
            yield from bps.open_run()
            for number in range(6):
                yield from bps.trigger_and_read([wide, small])
                if number == 3:
                    look()
            yield from bps.close_run()
            yield from bps.unstage_all(wide, small)

        engine(plan(), TiledWriter(client, batch_size=1))
        assert during == [4]
        run = client.values().last()["primary"]
        for name, shape, dtype in (("wide", (32, 48), "uint16"), ("small", (16, 24), "uint8")):
            frames = run[name].read()
            assert (frames.shape, frames.dtype) == ((6, *shape), dtype)
            assert frames[:, 0, 0].tolist() == list(range(6))
            assert run[name][2:4, 3:5, 7].tolist() == [[2, 2], [3, 3]]
