"""The points of a plan define the axes of the dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("ophyd_async", reason="ophyd-async needs Python 3.11 or later: tox -e ophyd")

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
from ophyd_async.core import init_devices, soft_signal_rw
from ophyd_async.sim import SimMotor
from scanspec.specs import Linspace

import ome_writers
from adapters.ophyd.detectors import detector, only_dataset
from ome_writers_ophyd import OMEDataLogic, OMEOutput, RunMetadata

if TYPE_CHECKING:
    from collections.abc import Callable

    from bluesky.run_engine import RunEngine
    from ophyd_async.core import PathProvider

    Recorder = Callable[[Callable[..., Any]], Path]


@pytest.fixture
def record(engine: RunEngine, paths: PathProvider, tmp_path: Path) -> Recorder:
    """Return a function that runs ``plan(camera, x, y, focus)`` and returns the path of its dataset."""
    metadata = RunMetadata(stage={"x": "x", "y": "y", "z": "focus"})
    with init_devices():
        x, y, focus = (SimMotor(instant=True) for _ in range(3))
        data = OMEDataLogic(OMEOutput(paths, run=metadata), shape=(8, 8))
        camera = detector(data, "camera", (8, 8))
    engine.subscribe(metadata)

    def run(plan: Callable[..., Any]) -> Path:
        engine(plan(camera, x, y, focus))
        return only_dataset(tmp_path)

    return run


def frames_of(path: Path) -> Any:
    """Return the number of the frame at each index."""
    return np.asarray(ome_writers.open(path))[..., 0, 0].tolist()


def stage_positions(path: Path) -> list[tuple[float | None, ...]]:
    positions = [image.position for image in ome_writers.read(path).images]
    return [(p.x_coord, p.y_coord, p.z_coord) for p in positions if p]


def test_scan_of_z_has_its_step(record: Recorder) -> None:
    path = record(lambda camera, x, y, focus: bp.scan([camera], focus, -1, 1, 5))
    view = ome_writers.open(path)
    assert (view.dims[:-2], list(view.coords["z"])) == (("t", "z"), [-1, -0.5, 0, 0.5, 1])
    assert ome_writers.read(path).images[0].levels[0].scale[1] == 0.5
    assert frames_of(path) == [[0, 1, 2, 3, 4]]


def test_list_scan_of_z_keeps_uneven_coordinates(record: Recorder) -> None:
    path = record(lambda camera, x, y, focus: bp.list_scan([camera], focus, [0, 1, 5]))
    assert list(ome_writers.open(path).coords["z"]) == [0, 1, 5]
    assert frames_of(path) == [[0, 1, 2]]


def test_scan_of_x_and_z_together_has_positions_with_z(record: Recorder) -> None:
    path = record(lambda camera, x, y, focus: bp.scan([camera], x, 0, 20, focus, 4, 6, 3))
    assert stage_positions(path) == [(0, None, 4), (10, None, 5), (20, None, 6)]
    assert frames_of(path) == [[0, 1, 2]]


def test_each_visit_of_a_position_is_stored(record: Recorder) -> None:
    path = record(lambda camera, x, y, focus: bp.list_scan([camera], x, [0, 10, 0]))
    assert stage_positions(path) == [(0, None, None), (10, None, None), (0, None, None)]
    assert frames_of(path) == [[0, 1, 2]]


def test_named_positions_of_another_motor(record: Recorder) -> None:
    with init_devices():
        filters = soft_signal_rw(str, "open")

    def plan(camera: Any, x: Any, y: Any, focus: Any) -> Any:
        return bp.list_scan([camera], filters, ["DAPI", "GFP"])

    path = record(plan)
    assert list(ome_writers.open(path).coords["filters"]) == ["DAPI", "GFP"]
    assert frames_of(path) == [[0, 1]]


def test_relative_scan_is_numbered_along_t(record: Recorder) -> None:
    path = record(lambda camera, x, y, focus: bp.rel_scan([camera], x, 0, 20, 3))
    assert ome_writers.open(path).dims == ("t", "y", "x")
    assert frames_of(path) == [0, 1, 2]


def test_scanspec_in_the_start_document(record: Recorder) -> None:
    def plan(camera: Any, x: Any, y: Any, focus: Any) -> Any:
        spec = Linspace(focus, 0, 3, 2) * Linspace(y, 0, 10, 2) * ~Linspace(x, 0, 40, 3)

        @bpp.stage_decorator([camera])
        @bpp.run_decorator(md={"scanspec": spec.serialize()})
        def scan() -> Any:
            for point in spec.midpoints():
                for motor, value in point.items():
                    yield from bps.mv(motor, value)
                yield from bps.trigger_and_read([camera])

        return scan()

    path = record(plan)
    view = ome_writers.open(path)
    assert (view.dims, view.shape[:3]) == (("t", "z", "p", "y", "x"), (1, 2, 6))
    assert stage_positions(path) == [
        (x, y, None) for y, x in [(0, 0), (0, 20), (0, 40), (10, 40), (10, 20), (10, 0)]
    ]
    assert frames_of(path) == [[[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]]
