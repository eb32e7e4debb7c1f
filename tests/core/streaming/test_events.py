"""Events of a stream."""

from __future__ import annotations

import gc
import logging
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ome_writers import (
    AcquisitionSettings,
    CoordUpdate,
    OMEStream,
    WriteError,
    create_stream,
    dims_from_standard_axes,
)
from support.waiting import WAIT_S, wait_until

FRAME = np.ones((4, 5), np.uint16)


def open_stream(path: Path, **sizes: Any) -> OMEStream:
    """Create a small stream; `sizes` are its axes before y and x."""
    settings = AcquisitionSettings(
        root_path=path / "x.ome.zarr",
        dimensions=dims_from_standard_axes({**sizes, "y": 4, "x": 5}),
        dtype="uint16",
    )
    return create_stream(settings)


def test_coords_changed_per_frame_in_order(tmp_path: Path) -> None:
    updates: list[CoordUpdate] = []
    with open_stream(tmp_path, t=2, p=["a", "b"], c=2) as stream:
        stream.on("coords_changed", updates.append)
        for _ in range(5):
            stream.append(FRAME)
    assert [u.frame_number for u in updates] == [0, 1, 2, 3, 4]
    assert [tuple(u.current_indices.values()) for u in updates] == [
        (0, 0, 0, 0, 0), (0, 0, 1, 0, 0), (0, 1, 0, 0, 0), (0, 1, 1, 0, 0), (1, 0, 0, 0, 0)
    ]  # fmt: skip
    assert [u.is_high_water_mark for u in updates] == [True, True, True, False, True]
    assert updates[2].current_indices == {"t": 0, "p": 1, "c": 0, "y": 0, "x": 0}
    assert updates[2].max_coords == {
        "t": range(1), "p": ["a", "b"], "c": range(2), "y": range(4), "x": range(5)
    }  # fmt: skip


def test_coords_expanded_at_new_extents_only(tmp_path: Path) -> None:
    updates: list[CoordUpdate] = []
    with open_stream(tmp_path, t=3, c=2) as stream:
        stream.on("coords_expanded", updates.append)
        for _ in range(6):
            stream.append(FRAME)
    assert [u.frame_number for u in updates] == [0, 1, 2, 4]
    assert all(u.is_high_water_mark for u in updates)


def test_frame_number_counts_skipped_frames(tmp_path: Path) -> None:
    updates: list[CoordUpdate] = []
    with open_stream(tmp_path, t=6) as stream:
        stream.on("coords_changed", updates.append)
        stream.append(FRAME)
        stream.skip(frames=3)
        stream.append(FRAME)
    assert [u.frame_number for u in updates] == [0, 3, 4]
    assert [u.current_indices["t"] for u in updates] == [0, 3, 4]


@pytest.mark.parametrize(
    ("sizes", "steps", "expected"),
    [
        ({"t": 4}, [1, -3], [(0, (1,)), (3, (4,))]),
        ({"t": 4}, [-2, 1, 1], [(1, (2,)), (2, (3,)), (3, (4,))]),
        (
            {"t": 2, "c": 2, "z": 2},
            [1, -3, 1, -3],
            [(0, (1, 1, 1)), (3, (1, 2, 2)), (4, (2, 2, 2))],
        ),
        ({"t": 3, "c": 2}, [1, -2], [(0, (1, 1)), (2, (2, 2))]),  # the hull, not the last place
        ({"t": None, "c": 2}, [1, -3, 1], [(0, (1, 1)), (3, (2, 2)), (4, (3, 2))]),
    ],
)
def test_skip_to_new_extent_emits_both_events(
    sizes: dict[str, Any], steps: list[int], expected: list[Any], tmp_path: Path
) -> None:
    """Once per skip, as version 0.3.2 did, with the index of the last skipped frame; not frame_written."""
    changed: list[CoordUpdate] = []
    expanded: list[CoordUpdate] = []
    frames: list[int] = []
    with open_stream(tmp_path, **sizes) as stream:
        stream.on("coords_changed", changed.append)
        stream.events.coords_expanded.connect(expanded.append)
        stream.events.frame_written.connect(lambda number, _: frames.append(number))
        for step in steps:
            if step > 0:
                stream.append(FRAME)
            else:
                stream.skip(frames=-step)
    found = [(u.frame_number, tuple(map(len, u.max_coords.values()))[:-2]) for u in expanded]
    assert found == expected
    assert changed == expanded
    assert len(frames) == sum(step > 0 for step in steps)


def test_skip_within_extents_emits_nothing(tmp_path: Path) -> None:
    updates: list[CoordUpdate] = []
    with open_stream(tmp_path, t=2, c=2) as stream:
        stream.on("coords_changed", updates.append)
        for _ in range(3):
            stream.append(FRAME)
        stream.skip()
    assert [u.frame_number for u in updates] == [0, 1, 2]


def test_view_grows_if_acquisition_ends_with_skip(tmp_path: Path) -> None:
    """Listeners of a view, such as sliders, receive the full extent."""
    with open_stream(tmp_path, t=4) as stream:
        view = stream.view()
        sizes: list[int] = []
        stream.on("coords_expanded", lambda update: sizes.append(len(update.max_coords["t"])))
        stream.append(FRAME)
        stream.skip(frames=3)
        assert view.shape == (4, 4, 5)
    assert sizes == [1, 4]


def test_coord_update_is_frozen_with_slots() -> None:
    update = CoordUpdate({}, {}, 0, True)
    with pytest.raises(AttributeError):
        update.frame_number = 1  # type: ignore[misc]  # it is frozen
    assert not hasattr(update, "__dict__")


def test_event_of_frame_with_index(tmp_path: Path) -> None:
    """It has the full acquisition index, and extends the coordinates."""
    updates: list[CoordUpdate] = []
    with open_stream(tmp_path, t=3, c=2) as stream:
        stream.on("coords_changed", updates.append)
        stream.append(FRAME, index={"t": 2, "c": 1})
        stream.append(FRAME)
    assert [u.current_indices["t"] for u in updates] == [2, 0]
    assert [u.is_high_water_mark for u in updates] == [True, False]
    assert updates[1].max_coords["t"] == range(3)


def test_late_listener_receives_current_extents(tmp_path: Path) -> None:
    updates: list[CoordUpdate] = []
    with open_stream(tmp_path, t=3, c=2) as stream:
        for _ in range(4):
            stream.append(FRAME)
        stream.on("coords_changed", updates.append)
        stream.append(FRAME)
    assert updates[0].max_coords["c"] == range(2)
    assert updates[0].max_coords["t"] == range(3)
    assert updates[0].frame_number == 4


def test_callbacks_run_on_one_other_thread(tmp_path: Path) -> None:
    threads = set()
    with open_stream(tmp_path, t=8) as stream:
        stream.on("coords_changed", lambda _: threads.add(threading.current_thread().name))
        for _ in range(8):
            stream.append(FRAME)
    assert threads == {"ome-writers-events"}


def test_exception_in_callback_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Other callbacks and the stream continue."""
    received = []

    def fail(_: object) -> None:
        raise RuntimeError("I am a broken viewer")

    with (
        caplog.at_level(logging.ERROR, "ome_writers"),
        open_stream(tmp_path, t=3) as stream,
    ):
        stream.on("coords_changed", fail)
        stream.on("coords_changed", received.append)
        stream.events.frame_written.connect(fail)
        stream.events.frame_written.connect(received.append)
        for _ in range(3):
            stream.append(FRAME)
    assert len(received) == 6
    assert "I am a broken viewer" in caplog.text


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_system_exit_in_callback_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, error: type[BaseException]
) -> None:
    """Also KeyboardInterrupt; later frames and `closed` are still emitted."""
    numbers: list[int] = []
    closed: list[bool] = []

    def fail(*_: object) -> None:
        raise error("the viewer quits")

    with (
        caplog.at_level(logging.ERROR, "ome_writers"),
        open_stream(tmp_path, t=3) as stream,
    ):
        stream.on("coords_changed", fail)
        stream.on("coords_changed", lambda update: numbers.append(update.frame_number))
        stream.events.frame_written.connect(fail)
        stream.events.frame_written.connect(lambda number, _: numbers.append(number))
        stream.events.closed.connect(lambda: closed.append(True))
        for _ in range(3):
            stream.append(FRAME)
            time.sleep(0.02)  # the listeners of the first frame have raised before the next frame
    assert numbers == [0, 0, 1, 1, 2, 2]
    assert closed == [True]
    assert "the viewer quits" in caplog.text


def test_unknown_event_raises(tmp_path: Path) -> None:
    with (
        open_stream(tmp_path, t=1) as stream,
        pytest.raises(
            ValueError, match=r"Unknown event 'frames': .*coords_changed.*coords_expanded"
        ),
    ):
        stream.on("frames", print)  # type: ignore[arg-type]  # what is tested


def test_psygnal_signals(tmp_path: Path) -> None:
    """stream.events tells the same as psygnal signals, `closed` as the last."""
    received: list[tuple[str, Any]] = []
    with open_stream(tmp_path, t=2) as stream:
        group = stream.events
        group.frame_written.connect(
            lambda number, index: received.append(("frame", (number, index["t"])))
        )
        group.coords_changed.connect(
            lambda update: received.append(("changed", update.frame_number))
        )
        group.coords_expanded.connect(
            lambda update: received.append(("expanded", update.frame_number))
        )
        group.closed.connect(lambda: received.append(("closed", None)))
        assert stream.events is group
        for _ in range(2):
            stream.append(FRAME)
    assert received == [
        ("frame", (0, 0)), ("changed", 0), ("expanded", 0),
        ("frame", (1, 1)), ("changed", 1), ("expanded", 1),
        ("closed", None),
    ]  # fmt: skip


def test_failed_signal_has_the_error(tmp_path: Path) -> None:
    """Emitted once, before `closed`, with the error that append or close raises."""
    received: list[Any] = []
    stream = open_stream(tmp_path, t=None)
    stream.events.failed.connect(received.append)
    stream.events.closed.connect(lambda: received.append("closed"))
    chunks = tmp_path / "x.ome.zarr" / "0" / "c"
    chunks.write_text("a file where the chunks' folder must be")
    with pytest.raises(WriteError):
        for _ in range(50_000):
            stream.append(FRAME)
            time.sleep(0.005)
    with pytest.raises(WriteError):
        stream.close()
    assert [type(x).__name__ for x in received] == ["WriteError", "str"]


def test_callback_may_close_the_stream(tmp_path: Path) -> None:
    """`close` works on the event thread; no event follows."""
    closed = threading.Event()
    stream = open_stream(tmp_path, t=9)
    stream.on("coords_changed", lambda _: (stream.close(), closed.set()))
    stream.append(FRAME)
    assert closed.wait(WAIT_S)
    assert stream.closed


def test_listeners_do_not_prevent_garbage_collection(tmp_path: Path) -> None:
    """The stream is closed, and its event thread ends."""
    stream = open_stream(tmp_path, t=9)
    stream.on("coords_changed", lambda _: None)
    held = weakref.ref(stream)
    with pytest.warns(UserWarning, match="OMEStream was not closed"):
        stream.append(FRAME)
        time.sleep(0.05)
        del stream
        gc.collect()
    assert held() is None
    wait_until(lambda: "ome-writers-events" not in {t.name for t in threading.enumerate()})


def test_no_event_thread_and_no_psygnal_without_listeners(tmp_path: Path) -> None:
    with open_stream(tmp_path, t=9) as stream:
        view = stream.view()
        stream.append(FRAME)
        assert view.shape == (1, 4, 5)
        assert view[0].any()
        assert not stream._events.active
        assert "ome-writers-events" not in {t.name for t in threading.enumerate()}


@pytest.mark.parametrize("round_", range(5))
def test_view_created_during_acquisition_reports_final_shape(tmp_path: Path, round_: int) -> None:
    shapes = []
    with open_stream(tmp_path, t=None) as stream:
        appending = threading.Thread(
            target=lambda: [stream.append(FRAME) for _ in range(200)], daemon=True
        )
        appending.start()
        time.sleep(0.001 * round_)
        view = stream.view()
        view.coords_changed.connect(lambda: shapes.append(view.shape))
        first = view.shape
        appending.join()
    assert view.shape == (200, 4, 5)
    if first != view.shape:
        assert shapes[-1] == (200, 4, 5)
    assert shapes == sorted(shapes)
