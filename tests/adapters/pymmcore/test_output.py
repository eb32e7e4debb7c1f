"""``mmc.mda.run(seq, output=path)`` with the sink of an unmodified pymmcore-plus."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ome_writers_useq import EventIndexMap, useq_to_acquisition_settings

useq = pytest.importorskip("useq")
pytest.importorskip("pymmcore_plus")
tensorstore = pytest.importorskip("tensorstore", reason="the independent reader")
yaozarrs = pytest.importorskip("yaozarrs", reason="a validator of OME-Zarr")

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pymmcore_plus import CMMCorePlus

pytestmark = pytest.mark.camera

WIDTH, HEIGHT = 48, 32


class Delivered:
    """What `frameReady` delivered, in order; at frame `cancel_at` the run is cancelled."""

    def __init__(self, core: CMMCorePlus, cancel_at: int | None = None) -> None:
        self._core = core
        self._cancel_at = cancel_at
        self.frames: list[tuple[dict[str, int], np.ndarray]] = []

    def receive(self, image: np.ndarray, event: useq.MDAEvent, meta: Any) -> None:
        """Keep a copy of a frame and its event's index."""
        self.frames.append((dict(event.index), image.copy()))
        if len(self.frames) == self._cancel_at:
            self._core.mda.cancel()

    def run(self, events: Any, output: Path) -> None:
        """Run an acquisition into a path, as a user does."""
        self._core.mda.events.frameReady.connect(self.receive)
        try:
            self._core.mda.run(events, output=output)
        finally:
            self._core.mda.events.frameReady.disconnect(self.receive)
        contents = {image.tobytes() for _, image in self.frames}
        assert len(contents) == len(self.frames) > 0, "frames alike prove nothing"


def attributes(group: Path) -> dict[str, Any]:
    """Return a group's attributes."""
    return json.loads((group / "zarr.json").read_text(encoding="utf-8"))["attributes"]


def stored(image: Path) -> np.ndarray:
    """Return an image's pixels as tensorstore reads them."""
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(image / "0")}}
    return np.asarray(tensorstore.open(spec, open=True, read=True).result().read().result())


def image_groups(output: Path, seq: useq.MDASequence) -> list[Path]:
    """Return the group of each position, by the layout that the dataset itself declares."""
    root = attributes(output)["ome"]
    settings = useq_to_acquisition_settings(seq, WIDTH, HEIGHT)
    positions = next((d.coords for d in settings["dimensions"] if d.type == "position"), None)
    if positions is None:
        return [output]
    if "plate" in root:
        return [output / p.plate_row / p.plate_column / p.name for p in positions]
    groups = [output / path for path in attributes(output / "OME")["ome"]["series"]]
    names = [attributes(group)["ome"]["multiscales"][0]["name"] for group in groups]
    assert names == [
        p.name if p.grid_row is None else f"{p.name}_{p.grid_row}_{p.grid_column}"
        for p in positions
    ]
    return groups


def check(output: Path, seq: useq.MDASequence, delivered: Delivered) -> list[np.ndarray]:
    """Compare each stored frame with the one delivered for its event; other frames must be 0."""
    yaozarrs.validate_zarr_store(str(output))
    groups = image_groups(output, seq)
    images = [stored(group) for group in groups]
    expected = [np.zeros_like(image) for image in images]
    places = EventIndexMap(seq)
    for index, frame in delivered.frames:
        place = places(index)
        position = place.pop("p", 0)
        axes = attributes(groups[position])["ome"]["multiscales"][0]["axes"]
        at = tuple(place[axis["name"]] for axis in axes[:-2])
        expected[position][at] = frame
    for image, pixels in zip(images, expected, strict=True):
        assert np.array_equal(image, pixels)
    return images


def frames_written(output: Path) -> tuple[str, int]:
    """Return status and number of frames, as the dataset has them."""
    ours = attributes(output)["ome_writers"]
    return ours["status"], ours["frames"]["written"]


CHANNELS = ["DAPI", "FITC"]
STACK = {"range": 2, "step": 1}
TIMES = {"interval": 0, "loops": 3}
SEQUENCES: dict[str, Callable[[], useq.MDASequence]] = {
    "time-lapse": lambda: useq.MDASequence(time_plan=TIMES, channels=CHANNELS),
    "time only": lambda: useq.MDASequence(time_plan={"interval": 0, "loops": 12}),
    "one frame": lambda: useq.MDASequence(channels=["DAPI"]),
    "multi-position": lambda: useq.MDASequence(
        stage_positions=[(0, 0), useq.Position(x=50, y=-50, name="second/one")],
        channels=CHANNELS,
        z_plan=STACK,
        time_plan={"interval": 0, "loops": 2},
    ),
    "grid": lambda: useq.MDASequence(
        stage_positions=[(0, 0), (500, 0)],
        grid_plan={"rows": 2, "columns": 2},
        channels=CHANNELS,
    ),
    "plate": lambda: useq.MDASequence(
        stage_positions=useq.WellPlatePlan(
            plate="96-well",
            a1_center_xy=(0, 0),
            selected_wells=([0, 0, 1], [0, 1, 11]),
            well_points_plan=useq.GridRowsColumns(rows=1, columns=2),
        ),
        channels=CHANNELS,
    ),
    "tpzc": lambda: useq.MDASequence(
        axis_order="tpzc",
        stage_positions=[(0, 0), (20, 20)],
        channels=CHANNELS,
        z_plan=STACK,
        time_plan={"interval": 0, "loops": 2},
    ),
    "ragged": lambda: useq.MDASequence(
        stage_positions=[(0, 0), (20, 20)],
        channels=["DAPI", {"config": "FITC", "do_stack": False}],
        z_plan=STACK,
        time_plan={"interval": 0, "loops": 2},
    ),
}


# The fields of a grid are called name_row_column; yaozarrs finds the underscore risky, and accepts it.
@pytest.mark.filterwarnings("ignore:The FieldOfView.path:UserWarning")
@pytest.mark.parametrize("name", SEQUENCES)
def test_delivered_frames_are_stored(core: CMMCorePlus, name: str, tmp_path: Path) -> None:
    """Each frame of frameReady is at the index of its event, and everything else is 0."""
    seq, output = SEQUENCES[name](), tmp_path / "x.ome.zarr"
    delivered = Delivered(core)
    delivered.run(seq, output)
    check(output, seq, delivered)
    assert len(delivered.frames) == len(list(seq))
    assert frames_written(output) == ("complete", len(list(seq)))


def test_96_well_plate(core: CMMCorePlus, tmp_path: Path) -> None:
    """A WellPlatePlan becomes a plate of 8 x 12 with the visited wells."""
    seq, output = SEQUENCES["plate"](), tmp_path / "x.ome.zarr"
    Delivered(core).run(seq, output)
    plate = attributes(output)["ome"]["plate"]
    assert (len(plate["rows"]), len(plate["columns"])) == (8, 12)
    assert [well["path"] for well in plate["wells"]] == ["A/1", "A/2", "B/12"]
    assert plate["field_count"] == 2


def test_frame_and_summary_metadata(core: CMMCorePlus, tmp_path: Path) -> None:
    """Each frame has its time and exposure, and the root group has the engine's summary."""
    seq, output = SEQUENCES["time-lapse"](), tmp_path / "x.ome.zarr"
    Delivered(core).run(seq, output)
    found = attributes(output)
    frames = found["ome_writers"]["frame_metadata"]
    assert [f["storage_index"] for f in frames] == [[t, c] for t in range(3) for c in range(2)]
    exposure = pytest.approx(core.getExposure() / 1000)  # other tests change it
    assert all(f["exposure_time"] == exposure for f in frames)
    times = [f["delta_t"] for f in frames]
    assert times == sorted(times)
    assert found["pymmcore_plus"]["summary_metadata"]["image_infos"][0]["width"] == WIDTH


def test_iterator_of_events(core: CMMCorePlus, tmp_path: Path) -> None:
    """Events without a sequence are stored along one time axis, as long as the number of frames."""
    output = tmp_path / "x.ome.zarr"
    delivered = Delivered(core)

    def events() -> Iterator[useq.MDAEvent]:
        for t in range(7):
            yield useq.MDAEvent(index={"t": t})

    delivered.run(events(), output)
    yaozarrs.validate_zarr_store(str(output))
    assert np.array_equal(stored(output), [frame for _, frame in delivered.frames])
    assert frames_written(output)[1] == 7


def test_cancelled_run_keeps_delivered_frames(core: CMMCorePlus, tmp_path: Path) -> None:
    """The time axis ends with the last frame, and the status is stored."""
    seq = useq.MDASequence(time_plan={"interval": 0, "loops": 10}, channels=CHANNELS)
    output = tmp_path / "x.ome.zarr"
    delivered = Delivered(core, cancel_at=7)
    delivered.run(seq, output)
    (image,) = check(output, seq, delivered)
    assert 7 <= len(delivered.frames) < 20
    assert image.shape == (-(-len(delivered.frames) // 2), 2, HEIGHT, WIDTH)
    assert frames_written(output) == ("cancelled", len(delivered.frames))


def test_second_run(core: CMMCorePlus, tmp_path: Path) -> None:
    """It does not change the data of the first run; to the same path it raises an error, or overwrites on request."""
    seq = SEQUENCES["time-lapse"]()
    first, second = Delivered(core), Delivered(core)
    first.run(seq, tmp_path / "a.ome.zarr")
    second.run(seq, tmp_path / "b.ome.zarr")
    check(tmp_path / "a.ome.zarr", seq, first)
    check(tmp_path / "b.ome.zarr", seq, second)
    with pytest.raises(FileExistsError, match=r"a\.ome\.zarr"):
        core.mda.run(seq, output=tmp_path / "a.ome.zarr")
    check(tmp_path / "a.ome.zarr", seq, first)
    core.mda.run(seq, output=tmp_path / "a.ome.zarr", overwrite=True)
    assert not np.array_equal(stored(tmp_path / "a.ome.zarr"), stored(tmp_path / "b.ome.zarr"))


def test_importing_pymmcore_plus_sink_without_warnings() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "import pymmcore_plus.mda"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
