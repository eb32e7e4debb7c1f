"""Names of positions, channels, wells and axes, and facts about frames: stored exactly, or refused at once."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ome_writers import (
    Channel,
    Dimension,
    Plate,
    Position,
    create_stream,
    read_frame_metadata,
    validate,
)
from ome_writers.errors import MetadataError, OMEWritersError
from ome_writers.formats import lay_out
from ome_writers.storage import ENGINES
from refusals.bad import FORMATS, contents, frame, settings
from support.dataset_readers import read_images

LIMIT = hypothesis_settings(
    max_examples=hypothesis_settings.default.max_examples // 10,  # each writes a dataset
    deadline=None,
    derandomize=hypothesis_settings.default.max_examples
    <= 100,  # the thorough profile looks for more
    suppress_health_check=list(HealthCheck),
)
NASTY = [
    *(
        "",
        " ",
        ".",
        "..",
        "../../escape",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "C:\\x",
        "a\0b",
        "\x1b[31m",
    ),
    *("CON", "nul.txt", "LPT1", "trailing. ", "zarr.json", "c", "0", ".zattrs", "__proto__"),
    *("x" * 300, "🔬" * 100, "é", "e\u0301", "\u202e gnp", "\ufffe", "\ud800", "]]>", "<OME>&amp;"),
    *('"; DROP', "%2e%2e%2f", "{0}", "~", "-rf", "*", "a\nb", "a\tb", "ß", "SS", "İ"),
]
TEXT = st.text(max_size=30) | st.sampled_from(NASTY)
NUMBER = st.floats() | st.integers(-(2**70), 2**70)
VALUE: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBER | TEXT | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def acquire(engine: str, *axes: Dimension, metadata: Any = None, **more: Any) -> None:
    """Write all frames of an acquisition, and judge it: pixels, place, documents; or find it refused clean."""
    told = []  # in words
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "inner"
        folder.mkdir()
        (folder / "neighbour").write_text("of mine")
        try:
            stream = create_stream(settings(folder, engine, *axes, **more))
        except (OMEWritersError, ValidationError) as error:
            told.append(str(error))
            assert contents(Path(name)) == {"inner": None, "inner/neighbour": b"of mine"}
            return
        kept = False
        with stream:
            frames = stream.plan.frames or 0
            for number in range(frames):
                if metadata is not None and not number:
                    try:
                        stream.append(frame(0), frame_metadata=metadata)
                        kept = True
                        continue
                    except MetadataError as error:
                        told.append(str(error))
                stream.append(frame(number))
        output = Path(stream.settings.output_path)
        assert {p.name for p in Path(name).iterdir()} == {"inner"}
        entry = lay_out(stream.plan).entry_path  # beside the folder of a set of OME-TIFF files
        assert set(folder.iterdir()) == {folder / "neighbour", output} | ({entry} - {None})
        assert (folder / "neighbour").read_text() == "of mine"
        read = read_images(stream.plan, [i.array.shape for i in stream.plan.images])
        for number in range(frames):
            image, index = stream.plan.router.address(number)
            assert np.array_equal(read[image][index], frame(number))
        if ENGINES[engine].format != "scratch":
            checks = [c for c in validate(output).checks if "validator" not in c.name]
            findings = [f for c in checks for f in c.findings]
            assert not findings, findings
        assert all("frame_metadata" in words for words in told)
        if kept:
            json.dumps(read_frame_metadata(output)[0], allow_nan=False)


@pytest.mark.parametrize("engine", FORMATS)
@LIMIT
@given(names=st.lists(TEXT, min_size=1, max_size=4))
@example(NASTY)
@example(["a", "A", "a "])
@example(["zarr.json", "ZARR.JSON", "0", "c"])
def test_positions_of_any_name(engine: str, names: list[str]) -> None:
    """Positions of any name have images of their own below the output, and every frame is in its own."""
    try:
        coords = [Position(name=name) for name in dict.fromkeys(names) if name.strip("\ud800")]
        axis = Dimension(name="p", type="position", coords=coords)
    except (ValidationError, NotImplementedError):
        return
    acquire(engine, axis)


@pytest.mark.parametrize("engine", FORMATS)
@LIMIT
@given(names=st.lists(TEXT, min_size=1, max_size=4), axis=TEXT)
@example(NASTY, "c")
def test_channels_and_axes_of_any_name(engine: str, names: list[str], axis: str) -> None:
    """Channels and axes of any name are stored, or refused before anything is."""
    try:
        coords = [Channel(name=name) for name in dict.fromkeys(names) if name.strip("\ud800")]
        axes = [Dimension(name="c", coords=coords), Dimension(name=axis, count=2, type="other")]
    except ValidationError:
        return
    acquire(engine, *axes)


@pytest.mark.parametrize("engine", FORMATS)
@LIMIT
@given(rows=st.lists(TEXT, min_size=1, max_size=3), columns=st.lists(TEXT, min_size=1, max_size=3))
@example(NASTY[:12], NASTY[12:24])
@example(["A/../..", "A"], ["1", "01"])
def test_wells_of_any_name(engine: str, rows: list[str], columns: list[str]) -> None:
    """Plates whose rows and columns have any names keep each well's frames apart, below the output."""
    try:
        rows, columns = list(dict.fromkeys(rows)), list(dict.fromkeys(columns))
        plate = Plate(name=rows[0] or "plate", row_names=rows, column_names=columns)
        wells = [
            Position(name=f"{i}", plate_row=row, plate_column=column)
            for i, (row, column) in enumerate((r, c) for r in rows[:3] for c in columns[:3])
        ]
        axis = Dimension(name="p", type="position", coords=wells)
    except ValidationError:
        return
    acquire(engine, axis, plate=plate)


@pytest.mark.parametrize("engine", FORMATS)
@LIMIT
@given(metadata=st.dictionaries(TEXT, VALUE, max_size=5))
@example({"delta_t": float("nan"), "position_x": float("inf"), "exposure_time": "long"})
@example({"delta_t": 2**70, "position_z": True, "storage": b""})
@example({name: name for name in NASTY if name != "\ud800"})
def test_facts_of_any_kind(engine: str, metadata: dict[str, Any]) -> None:
    """Facts about a frame never make `close` fail: they are refused at `append`, or kept as strict JSON."""
    acquire(engine, Dimension(name="t", count=2), metadata=metadata)
