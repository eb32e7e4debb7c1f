"""Detectors of ophyd-async under bluesky's RunEngine: their documents and datasets."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

import numpy as np
import pytest

pytest.importorskip("ophyd_async", reason="ophyd-async needs Python 3.11 or later: tox -e ophyd")

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import zarr
from bluesky.run_engine import RunEngine
from bluesky.utils import RunEngineInterrupted
from event_model import DocumentNames, schema_validators
from ophyd_async.core import TriggerInfo, init_devices
from ophyd_async.sim import SimMotor

import ome_writers
from adapters.ophyd.detectors import detector
from ome_writers_ophyd import OMEDataLogic, OMEOutput, RunMetadata

if TYPE_CHECKING:
    from ophyd_async.core import PathProvider


class Documents:
    """Collects documents, each valid by event-model's schema; checks that each reported frame can be read."""

    def __init__(self, *, is_counting: bool = True) -> None:
        self.is_counting = is_counting  # whether the pixels of each frame are its number in the run
        self.all: list[tuple[str, dict[str, Any]]] = []
        self.frames_read = 0
        self.resources: dict[str, Any] = {}

    def __call__(self, name: str, document: dict[str, Any]) -> None:
        schema_validators[DocumentNames[name]].validate(document)
        self.all.append((name, document))
        if name == "stream_resource":
            self.resources[document["uid"]] = document
        if name == "stream_datum":
            resource = self.resources[document["stream_resource"]]
            if self.is_counting and resource["mimetype"] == "application/x-ome-zarr":
                self.read(resource, document["indices"])

    def read(self, resource: dict[str, Any], indices: dict[str, int]) -> None:
        """Read reported frames with zarr-python; each has the number of the frame in all pixels."""
        parameters, path = resource["parameters"], path_of(resource)
        datasets, points = parameters["dataset"], parameters["index"]
        if isinstance(datasets, list):  # stage positions, which follow t in the index
            frames = np.stack([zarr.open_array(path / d, mode="r")[...] for d in datasets], axis=1)
        else:
            frames = zarr.open_array(path / datasets, mode="r")[...]
        if points is not None:
            frames = frames[tuple(np.transpose(points))]
        frames = frames.reshape(-1, *frames.shape[-2:])
        per_event = self.of("descriptor")[-1]["data_keys"][resource["data_key"]]["shape"][0]
        for number in range(indices["start"] * per_event, indices["stop"] * per_event):
            assert (frames[number] == number).all()
            self.frames_read += 1

    def of(self, name: str) -> list[dict[str, Any]]:
        return [document for kind, document in self.all if kind == name]


def path_of(resource: dict[str, Any]) -> Path:
    return Path(urlparse(resource["uri"]).path)


def run(engine: RunEngine, plan: Any) -> Documents:
    documents = Documents()
    engine(plan, documents)
    return documents


@pytest.mark.parametrize("format", ["ome-zarr", "ome-tiff"])
def test_count(engine: RunEngine, paths: PathProvider, format: str) -> None:
    with init_devices():
        camera = detector(OMEDataLogic(OMEOutput(paths, format=format), shape=(32, 48)), "camera")
    documents = run(engine, bp.count([camera], num=5))
    (resource,) = documents.of("stream_resource")
    assert [d["indices"] for d in documents.of("stream_datum")] == [
        {"start": n, "stop": n + 1} for n in range(5)
    ]
    key = documents.of("descriptor")[0]["data_keys"]["camera"]
    assert (key["shape"], key["dtype_numpy"]) == ([1, 32, 48], "<u2")
    assert resource["parameters"]["chunk_shape"] == (1, 32, 48)
    assert resource["parameters"]["join_method"] == "concat"
    view = ome_writers.open(path_of(resource))
    assert view.shape == (5, 32, 48)
    assert np.asarray(view)[:, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert ome_writers.read(path_of(resource)).status == "complete"


def test_each_run_gets_a_dataset(engine: RunEngine, paths: PathProvider) -> None:
    with init_devices():
        camera = detector(OMEDataLogic(paths, shape=(32, 48)), "camera")
    shapes = []
    for number in (2, 3):
        documents = Documents(is_counting=False)  # the camera continues to count
        engine(bp.count([camera], num=number), documents)
        shapes.append(ome_writers.open(path_of(documents.of("stream_resource")[0])).shape[0])
    assert shapes == [2, 3]


def fly(detectors: dict[Any, int], events: int) -> Any:
    """Fly all detectors at once, with a number of collections per event each."""

    @bpp.stage_decorator(list(detectors))
    @bpp.run_decorator()
    def plan() -> Any:
        for camera, per_event in detectors.items():
            trigger = TriggerInfo(
                number_of_events=events, collections_per_event=per_event, livetime=0.01 / per_event
            )
            yield from bps.prepare(camera, trigger, wait=True)
        yield from bps.declare_stream(*detectors, name="primary")
        yield from bps.kickoff_all(*detectors, wait=True)
        yield from bps.collect_while_completing(
            list(detectors), list(detectors), flush_period=0.05, stream_name="primary"
        )

    return plan()


def test_fly_scan_of_detectors_with_different_rates_in_one_dataset(
    engine: RunEngine, paths: PathProvider
) -> None:
    output = OMEOutput(paths)
    with init_devices():
        wide = detector(OMEDataLogic(output, shape=(32, 48), name="wide"), "wide")
        fast = detector(
            OMEDataLogic(output, shape=(32, 48), dtype="uint8", name="fast"), "fast", dtype="uint8"
        )
    documents = run(engine, fly({wide: 1, fast: 4}, events=10))
    by_key = {r["data_key"]: r for r in documents.of("stream_resource")}
    assert len({r["uri"] for r in by_key.values()}) == 1
    assert documents.frames_read == 50
    spec = ome_writers.read(path_of(by_key["fast"]))
    assert [(i.name, i.levels[0].shape, i.levels[0].dtype) for i in spec.images] == [
        ("wide", (10, 32, 48), "uint16"),
        ("fast", (40, 32, 48), "uint8"),
    ]
    assert documents.of("stop")[0]["exit_status"] == "success"


def test_frames_of_a_scan_are_readable_when_they_are_reported(
    engine: RunEngine, paths: PathProvider
) -> None:
    metadata = RunMetadata(stage={"z": "focus"})
    with init_devices():
        focus = SimMotor(instant=True)
        camera = detector(OMEDataLogic(OMEOutput(paths, run=metadata), shape=(32, 48)), "camera")
    engine.subscribe(metadata)
    documents = run(engine, bp.scan([camera], focus, -1, 1, 5))
    assert documents.frames_read == 5
    view = ome_writers.open(path_of(documents.of("stream_resource")[0]))
    assert (view.dims[:-2], list(view.coords["z"])) == (("t", "z"), [-1, -0.5, 0, 0.5, 1])


def test_grid_scan_becomes_positions_and_z(engine: RunEngine, paths: PathProvider) -> None:
    metadata = RunMetadata(stage={"x": "stage_x", "y": "stage_y", "z": "focus"})
    with init_devices():
        stage_x, stage_y, focus = (SimMotor(instant=True) for _ in range(3))
        data = OMEDataLogic(
            OMEOutput(paths, run=metadata),
            shape=(32, 48),
            frame_metadata={"position_x": stage_x.user_readback},
        )
        camera = detector(data, "camera")
    engine.subscribe(metadata)
    plan = bp.grid_scan(
        [camera], stage_y, 0, 10, 2, stage_x, 0, 40, 3, focus, -1, 1, 3, snake_axes=True
    )
    documents = run(engine, plan)
    assert documents.frames_read == 18
    path = path_of(documents.of("stream_resource")[0])
    view = ome_writers.open(path)
    assert (view.dims, view.shape) == (("t", "p", "z", "y", "x"), (1, 6, 3, 32, 48))
    # the stage and the focus go back and forth
    assert np.asarray(view)[0, :, :, 0, 0].tolist() == [
        [0, 1, 2], [5, 4, 3], [6, 7, 8], [11, 10, 9], [12, 13, 14], [17, 16, 15],
    ]  # fmt: skip
    spec = ome_writers.read(path)
    positions = [(i.position.x_coord, i.position.y_coord) for i in spec.images if i.position]
    assert positions == [(0, 0), (20, 0), (40, 0), (40, 10), (20, 10), (0, 10)]
    assert spec.images[0].levels[0].scale[1] == 1
    rows = ome_writers.read_frame_metadata(path)
    assert [row["position_x"] for row in rows][::3] == [0, 20, 40, 40, 20, 0]
    assert spec.metadata["bluesky"]["start"]["plan_name"] == "grid_scan"


def test_run_metadata_has_start_configuration_and_stop(
    engine: RunEngine, paths: PathProvider
) -> None:
    metadata = RunMetadata()
    with init_devices():
        camera = detector(OMEDataLogic(OMEOutput(paths, run=metadata), shape=(32, 48)), "camera")
    engine.subscribe(metadata)
    documents = run(engine, bp.count([camera], num=2, md={"sample": "HeLa"}))
    metadata.wait()
    spec = ome_writers.read(path_of(documents.of("stream_resource")[0]))
    stored = spec.metadata["bluesky"]
    assert stored["start"]["sample"] == "HeLa"
    assert stored["stop"]["exit_status"] == "success"
    assert stored["configuration"] == {"primary": {"camera": {}}}


def test_paused_and_resumed_run_is_complete(engine: RunEngine, paths: PathProvider) -> None:
    metadata = RunMetadata()
    with init_devices():
        camera = detector(OMEDataLogic(OMEOutput(paths, run=metadata), shape=(32, 48)), "camera")
    engine.subscribe(metadata)
    documents = Documents()

    @bpp.stage_decorator([camera])
    @bpp.run_decorator()
    def plan() -> Any:
        for number in range(10):
            yield from bps.checkpoint()
            if number in (0, 6):
                yield from bps.pause()
            yield from bps.trigger_and_read([camera])

    with pytest.raises(RunEngineInterrupted):
        engine(plan(), documents)
    with pytest.raises(RunEngineInterrupted):
        engine.resume()
    engine.resume()
    spec = ome_writers.read(path_of(documents.of("stream_resource")[0]))
    assert (spec.status, spec.frames_written, documents.frames_read) == ("complete", 10, 10)
    assert np.asarray(ome_writers.open(spec.path))[:, 0, 0].tolist() == list(range(10))


@pytest.mark.parametrize("how", ["abort", "stop", "halt"])
def test_interrupted_run_leaves_a_valid_dataset(
    engine: RunEngine, paths: PathProvider, how: str
) -> None:
    metadata = RunMetadata()
    output = OMEOutput(paths, run=metadata)
    with init_devices():
        camera = detector(OMEDataLogic(output, shape=(32, 48)), "camera")
    engine.subscribe(metadata)
    documents = Documents()

    def plan() -> Any:
        yield from bps.stage(camera)
        yield from bps.open_run()
        for number in range(100):
            yield from bps.trigger_and_read([camera])
            if number == 7:
                yield from bps.pause()
        yield from bps.close_run()

    with pytest.raises(RunEngineInterrupted):
        engine(plan(), documents)
    getattr(engine, how)()
    deadline = time.monotonic() + 300
    while output.stream is not None and time.monotonic() < deadline:
        time.sleep(0.01)  # the RunEngine itself unstages the detector, and does not wait
    path = path_of(documents.of("stream_resource")[0])
    spec = ome_writers.read(path)
    assert documents.of("stop")[0]["exit_status"] == {"stop": "success"}.get(how, "abort")
    assert spec.status == ("complete" if how == "stop" else "failed")
    assert spec.frames_written == 8
    assert np.asarray(ome_writers.open(path))[:, 0, 0].tolist() == list(range(8))
