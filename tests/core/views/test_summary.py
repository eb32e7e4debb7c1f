"""``repr`` and HTML representation of streams and views."""

from __future__ import annotations

import base64
import html
import io
import re
import shutil
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ome_writers
from ome_writers import (
    AcquisitionSettings,
    Dimension,
    OMEStream,
    StreamView,
    create_stream,
    dims_from_standard_axes,
)
from support.waiting import WAIT_S

SIZES = {"t": 4, "c": ["DAPI", "<script>alert('x')</script>"], "y": 40, "x": 60}


def open_stream(path: Path | str, **more: Any) -> OMEStream:
    """Create a stream of 4 time points and 2 channels."""
    dimensions = more.pop("dimensions", None) or dims_from_standard_axes(SIZES)
    settings = AcquisitionSettings(root_path=path, dimensions=dimensions, dtype="uint16", **more)
    return create_stream(settings)


def frame() -> np.ndarray:
    """Return a frame with a bright upper half."""
    pixels = np.zeros((40, 60), "uint16")
    pixels[:20] = 1000
    return pixels


def picture_of(text: str) -> np.ndarray | None:
    """Return the thumbnail in an HTML text as an array; None if there is none."""
    image = pytest.importorskip("PIL.Image", reason="pillow draws the thumbnails")
    found = re.search(r'src="data:image/png;base64,([^"]+)"', text)
    return None if found is None else np.asarray(image.open(io.BytesIO(base64.b64decode(found[1]))))


class Tags(HTMLParser):
    """Collects the elements of an HTML text and checks that they are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.found.append(tag)
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_repr_of_stream(tmp_path: Path) -> None:
    path = tmp_path / "run.ome.zarr"
    stream = open_stream(path)
    axes = "(t: 4, c: 2, y: 40, x: 60) uint16"
    assert repr(stream) == f"<OMEStream {str(path)!r} open, 0 of 8 frames, {axes}>"
    for _ in range(3):
        stream.append(frame())
    assert repr(stream) == f"<OMEStream {str(path)!r} open, 3 of 8 frames, {axes}>"
    stream.close()
    assert repr(stream) == f"<OMEStream {str(path)!r} closed, 3 of 8 frames, {axes}>"


def test_repr_of_unbounded_stream_in_memory() -> None:
    dimensions = dims_from_standard_axes({"t": None, "y": 40, "x": 60})
    with open_stream("", dimensions=dimensions) as stream:
        stream.append(frame())
        assert repr(stream) == "<OMEStream open, 1 frame, (t: 1, y: 40, x: 60) uint16>"
        assert "in memory" in stream._repr_html_()


@pytest.mark.parametrize("suffix", [".ome.zarr", ".ome.tiff"])
def test_repr_of_dataset_on_disk(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"run{suffix}"
    with open_stream(path) as stream:
        for _ in range(8):
            stream.append(frame())
    expected = (
        f"<StreamView {str(path)!r} complete, 8 of 8 frames, (t: 4, c: 2, y: 40, x: 60) uint16>"
    )
    assert repr(ome_writers.open(path)) == expected


def test_repr_of_view_of_arrays() -> None:
    view = StreamView([np.zeros((3, 4, 5), "uint8")], position_axis=None)
    assert repr(view) == "<StreamView (d0: 3, d1: 4, d2: 5) uint8>"


def test_repr_escapes_control_characters() -> None:
    labels = ("t\x1b]0;title\x07\n", "y", "x")
    view = StreamView([np.zeros((3, 4, 5), "uint8")], position_axis=None, dimension_labels=labels)
    text = repr(view)
    assert text.isprintable()
    assert r"t\x1b]0;title\x07\n: 3" in text


def test_html_has_progress_escaped_facts_and_thumbnail(tmp_path: Path) -> None:
    path = (
        tmp_path / "run <i>&amp;.ome.zarr" if sys.platform != "win32" else tmp_path / "a&b.ome.zarr"
    )
    with open_stream(path) as stream:
        for _ in range(3):
            stream.append(frame())
        for one in (stream, stream.view()):
            text = one._repr_html_()
            tags = Tags(text).found
            assert "script" not in tags
            assert "i" not in tags
            assert tags.count("img") == 1
            for fact in (
                str(path),
                "open",
                "3 of 8 frames (38 %)",
                "DAPI, <script>alert('x')</script>",
            ):
                assert html.escape(fact) in text
            assert "width:38%" in text
            assert "t = 1, c = DAPI" in text
            picture = picture_of(text)
            assert picture is not None
            assert picture.shape == (40, 60)
            assert (picture[:18] == 255).all()
            assert (picture[22:] == 0).all()


def test_thumbnail_of_large_frame_is_small(tmp_path: Path) -> None:
    """128 pixels along the longer side, less than 40 kB."""
    sizes = dims_from_standard_axes({"t": 1, "y": 1200, "x": 900})
    with open_stream(tmp_path / "run.ome.zarr", dimensions=sizes) as stream:
        stream.append(np.arange(1200 * 900, dtype="uint32").reshape(1200, 900).astype("uint16"))
        text = stream._repr_html_()
    picture = picture_of(text)
    assert picture is not None
    assert picture.shape == (128, 96)
    assert len(text) < 40_000


def test_thumbnail_of_rgb_frame(tmp_path: Path) -> None:
    pixels = np.zeros((40, 60, 3), "uint16")
    pixels[..., 0] = 500
    with open_stream(tmp_path / "run.ome.zarr", rgb=True) as stream:
        stream.append(pixels)
        picture = picture_of(stream.view()._repr_html_())
    assert picture is not None
    assert picture[20, 30].tolist() == [255, 0, 0]


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "float32", "complex64"])
def test_thumbnail_of_every_dtype(dtype: str) -> None:
    """Also with NaN and infinity."""
    pixels = np.zeros((1, 40, 60), dtype)
    pixels[0, :20] = 1
    if np.dtype(dtype).kind in "fc":
        pixels[0, 0, :2] = np.nan, np.inf
    picture = picture_of(StreamView([pixels], position_axis=None)._repr_html_())
    assert picture is not None
    assert picture[10, 10] == 255
    assert picture[30, 30] == 0


def test_html_without_pillow_has_no_thumbnail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with open_stream(tmp_path / "run.ome.zarr") as stream:
        stream.append(frame())
        text = stream._repr_html_()
    assert "1 of 8 frames" in text
    assert "<img" not in text


def test_html_before_first_frame_has_no_thumbnail(tmp_path: Path) -> None:
    with open_stream(tmp_path / "run.ome.zarr") as stream:
        text = stream._repr_html_()
        assert "0 of 8 frames (0 %)" in text
        assert "<img" not in text
        assert "<img" not in stream.view()._repr_html_()


def test_html_of_slow_storage_has_no_thumbnail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ome_writers.views.summary._THUMBNAIL_TIMEOUT_S", 0.1)
    released = threading.Event()

    class Slow:
        shape, dtype = (3, 40, 60), np.dtype("uint8")

        def __getitem__(self, key: object) -> np.ndarray:
            released.wait(WAIT_S)
            return np.zeros((40, 60), "uint8")

    try:
        text = StreamView([Slow()], position_axis=None)._repr_html_()
    finally:
        released.set()
    assert "d0 3" in text
    assert "<img" not in text  # it would be there if this had waited


def test_repr_of_deleted_dataset_does_not_raise(tmp_path: Path) -> None:
    path = tmp_path / "run.ome.zarr"
    with open_stream(path) as stream:
        stream.append(frame())
    view = ome_writers.open(path)
    shutil.rmtree(path)
    assert repr(view).startswith("<StreamView")
    assert "StreamView" in view._repr_html_()
    assert "OMEStream" in stream._repr_html_()


def test_repr_of_uninitialized_object_does_not_raise() -> None:
    """Debuggers show objects whose constructor failed."""
    for kind in (OMEStream, StreamView):
        assert repr(kind.__new__(kind)).startswith(f"<{kind.__name__}")
        assert kind.__name__ in kind.__new__(kind)._repr_html_()


def test_repr_on_other_thread_while_frames_are_appended(tmp_path: Path) -> None:
    dimensions = [Dimension(name="t", count=400), *dims_from_standard_axes({"y": 40, "x": 60})]
    texts: list[str] = []
    with open_stream(tmp_path / "run.ome.zarr", dimensions=dimensions) as stream:
        done = threading.Event()

        def poll() -> None:
            while not done.is_set():
                texts.append(repr(stream))
                texts.append(stream.view()._repr_html_())

        thread = threading.Thread(target=poll)
        thread.start()
        for _ in range(400):
            stream.append(frame())
        done.set()
        thread.join(WAIT_S)
    counts = [int(re.findall(r"(\d+) of 400 frames", text)[0]) for text in texts]
    assert counts == sorted(counts)
    assert "not readable" not in "".join(texts)


def test_dataset_and_settings_have_short_representations(tmp_path: Path) -> None:
    """Of an acquisition with many positions, too; HTML escapes names."""
    dimensions = dims_from_standard_axes({"p": [f"well {n}" for n in range(100)], **SIZES})
    with open_stream(tmp_path / "x.ome.zarr", dimensions=dimensions, pyramid=True) as stream:
        stream.append(frame())
    settings, dataset = stream.settings, ome_writers.read(tmp_path / "x.ome.zarr")
    assert len(repr(settings)) < 1000
    assert "pyramid=Pyramid()" in repr(settings)
    assert "well 99" in repr(settings)
    assert "on_incomplete" not in repr(settings)
    text = repr(dataset).replace(str(tmp_path), "")
    assert "cancelled, 1 of 800 frames, (p: 100, t: 4, c: 2, y: 40, x: 60) uint16>" in text
    assert len(text) < 200
    for each in (settings, dataset):
        page = each._repr_html_()
        assert "p 100 × t 4 × c 2 × y 40 × x 60" in page
        assert "<script>" not in page
        assert "&lt;script&gt;" in page
        assert len(page) < 3000
