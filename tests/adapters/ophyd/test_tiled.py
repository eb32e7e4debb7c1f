"""tiled serves the frames of a run, while it is recorded and afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("ophyd_async", reason="ophyd-async needs Python 3.11 or later: tox -e ophyd")
pytest.importorskip("tiled", reason="tiled is a dependency of tox -e ophyd only")

import bluesky.plan_stubs as bps
import bluesky.plans as bp
from bluesky_tiled_plugins import TiledWriter
from ophyd_async.core import StaticPathProvider, UUIDFilenameProvider, init_devices
from ophyd_async.sim import SimMotor
from tiled.catalog import in_memory
from tiled.client import Context, from_context
from tiled.server.app import build_app
from tiled.utils import path_from_uri

from adapters.ophyd.detectors import detector
from ome_writers_ophyd import OMEDataLogic, OMEOutput, RunMetadata
from ome_writers_ophyd.tiled import ADAPTERS, register

# of tiled, starlette and bluesky-tiled-plugins among themselves
pytestmark = pytest.mark.filterwarnings("ignore")

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bluesky.run_engine import RunEngine


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiled")


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[Any]:
    """Return a client of an in-process server that reads the datasets in `folder`."""
    register()
    catalog = in_memory(
        writable_storage=[f"file://localhost{folder}/tiled", f"sqlite:///{folder}/tables.db"],
        readable_storage=[f"file://localhost{folder}"],
        adapters_by_mimetype=ADAPTERS,
    )
    with Context.from_app(build_app(catalog)) as context:
        yield from_context(context)


@pytest.mark.parametrize("format", ["ome-zarr", "ome-tiff"])
def test_tiled_serves_frames_during_and_after_the_run(
    engine: RunEngine, client: Any, folder: Path, format: str
) -> None:
    output = OMEOutput(StaticPathProvider(UUIDFilenameProvider(), folder), format=format)
    with init_devices():
        wide = detector(OMEDataLogic(output, shape=(32, 48), name="wide"), "wide")
        small = detector(
            OMEDataLogic(output, shape=(16, 24), dtype="uint8", name="small"),
            "small",
            (16, 24),
            "uint8",
        )
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


@pytest.mark.parametrize("format", ["ome-zarr", "ome-tiff"])
def test_tiled_serves_a_grid_scan_in_order_of_acquisition(
    engine: RunEngine, client: Any, folder: Path, format: str
) -> None:
    metadata = RunMetadata(stage={"x": "x", "y": "y"})
    paths = StaticPathProvider(UUIDFilenameProvider(), folder)
    with init_devices():
        x, y, focus = (SimMotor(instant=True) for _ in range(3))
        camera = detector(
            OMEDataLogic(OMEOutput(paths, run=metadata, format=format), shape=(32, 48)), "camera"
        )
    engine.subscribe(metadata)
    plan = bp.grid_scan([camera], y, 0, 1, 2, x, 0, 2, 3, focus, 0, 1, 2, snake_axes=True)
    engine(plan, TiledWriter(client, batch_size=1))
    frames = client.values().last()["primary"]["camera"]
    assert frames.shape == (12, 32, 48)
    assert frames.read()[:, 0, 0].tolist() == list(range(12))
    (asset,) = frames.data_sources()[0].assets
    assert asset.is_directory == path_from_uri(asset.data_uri).is_dir()
