"""Names of positions, channels, wells and axes, and frame metadata of any content: stored exactly or refused."""

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
from support.dataset_readers import read_images
from system.invalid_input.cases import ONE_ENGINE_PER_FORMAT, contents, frame, settings

LIMIT = hypothesis_settings(
    max_examples=max(2, hypothesis_settings.default.max_examples // 25),  # each writes a dataset
    deadline=None,
    derandomize=hypothesis_settings.default.max_examples <= 100,  # the thorough profile is random
    suppress_health_check=list(HealthCheck),
)
UNUSUAL_NAMES = [
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
TEXT = st.text(max_size=30) | st.sampled_from(UNUSUAL_NAMES)
NUMBER = st.floats() | st.integers(-(2**70), 2**70)
VALUE: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBER | TEXT | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def acquire(engine: str, *axes: Dimension, metadata: Any = None, **more: Any) -> None:
    """Write and check an acquisition: pixels, paths, metadata. If it is refused, check that nothing was written."""
    errors = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "inner"
        folder.mkdir()
        (folder / "neighbour").write_text("unrelated")
        try:
            stream = create_stream(settings(folder, engine, *axes, **more))
        except (OMEWritersError, ValidationError) as error:
            errors.append(str(error))
            assert contents(Path(name)) == {"inner": None, "inner/neighbour": b"unrelated"}
            return
        metadata_stored = False
        with stream:
            frames = stream.plan.frames or 0
            for number in range(frames):
                if metadata is not None and not number:
                    try:
                        stream.append(frame(0), frame_metadata=metadata)
                        metadata_stored = True
                        continue
                    except MetadataError as error:
                        errors.append(str(error))
                stream.append(frame(number))
        output = Path(stream.settings.output_path)
        assert {p.name for p in Path(name).iterdir()} == {"inner"}
        entry = lay_out(stream.plan)[1].entry_path  # beside the folder of a set of OME-TIFF files
        assert set(folder.iterdir()) == {folder / "neighbour", output} | ({entry} - {None})
        assert (folder / "neighbour").read_text() == "unrelated"
        read = read_images(stream.plan, [i.array.shape for i in stream.plan.images])
        for number in range(frames):
            image, index = stream.plan.router.address(number)
            assert np.array_equal(read[image][index], frame(number))
        if ENGINES[engine].format != "scratch":
            checks = [c for c in validate(output).checks if "validator" not in c.name]
            findings = [f for c in checks for f in c.findings]
            assert not findings, findings
        assert all("frame_metadata" in message for message in errors)
        if metadata_stored:
            json.dumps(read_frame_metadata(output)[0], allow_nan=False)


@pytest.mark.parametrize("engine", ONE_ENGINE_PER_FORMAT)
@LIMIT
@given(names=st.lists(TEXT, min_size=1, max_size=4))
@example(UNUSUAL_NAMES[:20])
@example(UNUSUAL_NAMES[20:])
@example(["a", "A", "a "])
@example(["zarr.json", "ZARR.JSON", "0", "c"])
def test_positions_of_any_name(engine: str, names: list[str]) -> None:
    """Each position has a separate image below the output."""
    try:
        coords = [Position(name=name) for name in dict.fromkeys(names) if name.strip("\ud800")]
        axis = Dimension(name="p", type="position", coords=coords)
    except (ValidationError, NotImplementedError):
        return
    acquire(engine, axis)


@pytest.mark.parametrize("engine", ONE_ENGINE_PER_FORMAT)
@LIMIT
@given(names=st.lists(TEXT, min_size=1, max_size=4), axis=TEXT)
@example(UNUSUAL_NAMES, "c")
def test_channels_and_axes_of_any_name(engine: str, names: list[str], axis: str) -> None:
    try:
        coords = [Channel(name=name) for name in dict.fromkeys(names) if name.strip("\ud800")]
        axes = [Dimension(name="c", coords=coords), Dimension(name=axis, count=2, type="other")]
    except ValidationError:
        return
    acquire(engine, *axes)


@pytest.mark.parametrize("engine", ONE_ENGINE_PER_FORMAT)
@LIMIT
@given(rows=st.lists(TEXT, min_size=1, max_size=3), columns=st.lists(TEXT, min_size=1, max_size=3))
@example(UNUSUAL_NAMES[:12], UNUSUAL_NAMES[12:24])
@example(["A/../..", "A"], ["1", "01"])
def test_wells_of_any_name(engine: str, rows: list[str], columns: list[str]) -> None:
    """Each well has a separate image below the output."""
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


@pytest.mark.parametrize("engine", ONE_ENGINE_PER_FORMAT)
@LIMIT
@given(metadata=st.dictionaries(TEXT, VALUE, max_size=5))
@example({"delta_t": float("nan"), "position_x": float("inf"), "exposure_time": "long"})
@example({"delta_t": 2**70, "position_z": True, "storage": b""})
@example({name: name for name in UNUSUAL_NAMES if name != "\ud800"})
def test_frame_metadata_of_any_content(engine: str, metadata: dict[str, Any]) -> None:
    """Frame metadata is refused in `append` or stored as strict JSON; it never makes `close` fail."""
    acquire(engine, Dimension(name="t", count=2), metadata=metadata)
