"""Every message of the settings is read: what is refused and what is warned of."""

from __future__ import annotations

import inspect
import re
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from ome_writers import (
    AcquisitionSettings,
    Channel,
    Dimension,
    OmeTiffFormat,
    OmeZarrFormat,
    Plate,
    Position,
    PositionDimension,
    Schedule,
    SettingsError,
    StandardAxis,
    codecs,
    create_stream,
    dims_from_standard_axes,
)

if TYPE_CHECKING:
    from collections.abc import Callable

Y, X = Dimension(name="y", count=4), Dimension(name="x", count=6)
T, C, Z, P = (Dimension(name=name, count=2) for name in "tczp")
WELL_A1 = Position(name="one", plate_row="A", plate_column="1")
WELL_C7 = Position(name="far", plate_row="C", plate_column="7")
PLATE = Plate(row_names=["A"], column_names=["1"])


def dimension(**fields: Any) -> Callable[[], Dimension]:
    """Return a call that makes a dimension."""
    return lambda: Dimension(**{"name": "q", **fields})


def settings(*dimensions: Dimension, **fields: Any) -> Callable[[], AcquisitionSettings]:
    """Return a call that makes settings."""
    return lambda: AcquisitionSettings(dimensions=dimensions, **fields)


def positions(*coords: Position | str) -> Dimension:
    """Return a position axis."""
    return Dimension(name="p", type="position", coords=list(coords))


def derived(name: str) -> Callable[[], Any]:
    """Return a call that reads a property of settings without dimensions."""
    return lambda: getattr(AcquisitionSettings(), name)


REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    # channels and positions
    (lambda: Channel(name=""), ValueError, "at least 1 character"),
    (lambda: Channel(name="a", excitation_wavelength_nm=0), ValueError, "greater than 0"),
    (lambda: Channel(name="a", color="no such"), ValueError, "not a valid color"),
    (lambda: Channel(name="a", window=(3, 3)), ValueError, "window must be (low, high)"),
    (lambda: Channel(name="a", exposure_ms=-1), ValueError, "greater than or equal to 0"),
    (lambda: Channel(name="a", colour="red"), ValueError, "unknown field colour='red'"),
    (
        lambda: Position(name="a", plate_row="A"),
        ValueError,
        "plate_row and plate_column must both be set or both be None",
    ),
    (
        lambda: Position(name="a", grid_column=1),
        ValueError,
        "grid_row and grid_column must both be set or both be None",
    ),
    (lambda: Position(name="a", x_coord=float("nan")), ValueError, "finite number"),
    (
        lambda: positions("a", "a"),
        ValueError,
        "All positions without row/column must have unique names. Duplicates: ['a']",
    ),
    (
        lambda: positions(WELL_A1, WELL_A1),
        ValueError,
        "Position names must be unique within each group. "
        'In well ("A", "1"). Duplicates: [\'one\']',
    ),
    (
        lambda: positions(*[Position(name="a", grid_row=0, grid_column=1)] * 2),
        ValueError,
        "Position names must be unique within each group. In grid cell (0, 1).",
    ),
    # dimensions
    (dimension(name=""), ValueError, "at least 1 character"),
    (dimension(count=0), ValueError, "greater than 0"),
    (dimension(chunk_size=0), ValueError, "greater than 0"),
    (dimension(shard_size_chunks=0), ValueError, "greater than 0"),
    (dimension(size=3), ValueError, "unknown field size=3"),
    (dimension(type="spatial"), ValueError, "type must be 'space', 'time', 'channel'"),
    (
        dimension(coords=[Channel(name="a")], unit="um"),
        ValueError,
        "Conflicting dimension type inference: coords suggests type='channel' but unit suggests "
        "type='space'.",
    ),
    (
        dimension(count=2, coords=[1, 2, 3]),
        ValueError,
        "Length of coords (3) does not match count (2)",
    ),
    (dimension(coords=[]), ValueError, "coords may not be empty."),
    (dimension(coords=[1.0, float("inf")]), ValueError, "Numeric coords must be finite, got inf."),
    (
        dimension(type="space", coords=[Channel(name="a")]),
        ValueError,
        "Channel objects in coords require type='channel', got type='space'",
    ),
    (
        dimension(type="time", coords=[Position(name="a")]),
        ValueError,
        "Position objects in coords require type='position', got type='time'",
    ),
    (
        dimension(coords=[Channel(name="a"), 1.0]),
        ValueError,
        "May not mix Channel objects with other coord types.",
    ),
    (
        dimension(coords=[Channel(name="a"), Position(name="b")]),
        ValueError,
        "May not mix Channel objects with other coord types.",
    ),
    (
        dimension(coords=[Position(name="a"), 1.0]),
        ValueError,
        "May not mix Position objects with other coord types.",
    ),
    (
        dimension(type="channel", coords=[1.0]),
        ValueError,
        "Coords of a channel dimension are names or Channel objects, got 1.0.",
    ),
    (
        dimension(type="position", coords=[1.0]),
        ValueError,
        "Coords of a position dimension are names or Position objects, got 1.0.",
    ),
    (
        dimension(coords=[Channel(name="a"), "a"]),
        ValueError,
        "Channel names must be unique. Duplicates: ['a']",
    ),
    (dimension(name="c", coords=["a", "a"]), ValueError, "Channel names must be unique."),
    (
        dimension(type="position"),
        NotImplementedError,
        "Unbounded position dimensions (count=None) are not yet implemented.",
    ),
    (
        dimension(type="position", coords=[]),
        NotImplementedError,
        "Empty coords for position dimensions are not yet implemented.",
    ),
    (
        StandardAxis.POSITION.to_dimension,
        NotImplementedError,
        "Unbounded position dimensions (count=None) are not yet implemented.",
    ),
    (
        dimension(type="space", unit="s"),
        ValueError,
        "Unrecognized unit of length: 's'. Use one of:",
    ),
    (dimension(name="t", unit="foo"), ValueError, "Unrecognized unit of time: 'foo'. Use one of:"),
    (dimension(scale=-1), ValueError, "scale must be greater than 0 and finite, got -1.0."),
    (
        dimension(scale=float("nan")),
        ValueError,
        "scale must be greater than 0 and finite, got nan.",
    ),
    (
        dimension(scale=float("inf")),
        ValueError,
        "scale must be greater than 0 and finite, got inf.",
    ),
    (dimension(translation=float("-inf")), ValueError, "translation must be finite, got -inf."),
    # standard axes
    (
        lambda: dims_from_standard_axes({"t": 1, "q": 2}),
        ValueError,
        "Standard axes names must be one of ['x', 'y', 'z', 'c', 't', 'p']. Got: ['t', 'q']",
    ),
    (
        lambda: dims_from_standard_axes({"y": 1, "x": 2}, chunk_shapes={"yy": 1}),
        ValueError,
        "Standard axes names must be one of ['x', 'y', 'z', 'c', 't', 'p']. Got: ['yy']",
    ),
    # plates
    (
        lambda: Plate.from_standard_wells(7),
        ValueError,
        "Unrecognized standard plate size: 7. Supported sizes: [6, 12, 24, 48, 96, 384, 1536]",
    ),
    (
        lambda: Plate.from_standard_wells(True),
        ValueError,
        "Unrecognized standard plate size: True.",
    ),
    *[
        (
            lambda shape=shape: Plate.from_standard_wells(shape),
            ValueError,
            "it must be (n_rows, n_columns) with positive integers",
        )
        for shape in [(0, 1), (1, 2, 3), (1.5, 2), (True, 2), ()]
    ],
    (
        lambda: Plate(row_names=["A", "A"], column_names=["1"]),
        ValueError,
        "Row names and column names must be unique, duplicates: ['A']",
    ),
    # formats
    (
        settings(format="h5"),
        ValueError,
        "Unknown format 'h5'. Use 'auto' or one of: ome-zarr, zarr,",
    ),
    (settings(format={"name": "h5"}), ValueError, "Unknown format 'h5'."),
    (settings(format={"backend": 3}), ValueError, "Unknown format 3."),
    (settings(format={"suffix": ".x"}), ValueError, "A dict for the format needs its name, got"),
    (
        lambda: OmeZarrFormat(backend="tifffile"),
        ValueError,
        "backend must be 'direct', 'tensorstore'",
    ),
    (lambda: OmeZarrFormat(suffix="/x"), ValueError, "suffix must not contain a path separator"),
    (
        lambda: OmeTiffFormat(companion_file="../c.ome"),
        ValueError,
        "companion_file must be the name of a file, got '../c.ome'.",
    ),
    (
        lambda: OmeTiffFormat(tile=500),
        ValueError,
        "tile must be multiples of 16 from 16 to 8192, as TIFF requires, got 500. Set 496 or 512, or None",
    ),
    (
        lambda: OmeTiffFormat(tile=(100, 9000)),
        ValueError,
        "got (100, 9000). Set (96, 8192) or (112, 8192), or None",
    ),
    (lambda: OmeTiffFormat(tile=0), ValueError, "got 0. Set 16, or None for no tiles."),
    (lambda: OmeTiffFormat(tile=True), ValueError, "tile must be"),
    (lambda: OmeTiffFormat(tile="512"), ValueError, "tile must be"),
    # dimensions of an acquisition
    (
        settings(P, Dimension(name="q", count=1, type="position"), Y, X),
        ValueError,
        "Only one position dimension is allowed.",
    ),
    (
        settings(T, Dimension(name="z"), Y, X),
        ValueError,
        "Only the first dimension may be unbounded (count=None).",
    ),
    (
        settings(P, X),
        ValueError,
        "At least 2 non-position dimensions are required (usually Y and X).",
    ),
    (
        settings(T, C, Z, Dimension(name="t2", type="time", count=1), Y, X),
        ValueError,
        "At most 5 non-position dimensions are allowed for both OME-Zarr and OME-TIFF, got 6",
    ),
    (settings(Z, Z, Y, X), ValueError, "Dimension names must be unique, duplicates: ['z']"),
    (
        settings(Y, T),
        ValueError,
        "The last two dimensions must be spatial dimensions (type='space'). 't' has type='time'.",
    ),
    (
        settings(Dimension(name="y"), X),
        ValueError,
        "The last two dimensions are y and x of a frame and need a count: 'y' has count=None.",
    ),
    # storage order
    (
        settings(T, C, Y, X, storage_order=["t", "c", "x", "y"]),
        ValueError,
        "storage_order may not (yet) permute the last two dimensions.",
    ),
    (
        settings(T, C, Y, X, storage_order=["t", "y", "x"]),
        ValueError,
        "storage_order names ['t', 'y', 'x'] don't match acquisition dimension names "
        "['t', 'c', 'y', 'x']",
    ),
    (settings(storage_order="best"), ValueError, "storage_order must be 'acquisition' or 'ome'"),
    # plates of an acquisition
    (
        settings(T, Y, X, plate=PLATE),
        ValueError,
        "Plate mode requires a position dimension in dimensions.",
    ),
    (
        settings(positions(WELL_A1, "b"), Y, X, plate=PLATE),
        ValueError,
        "All positions must have row and column for plate mode. Missing row/column for "
        "positions: ['b']",
    ),
    # compression and dtype
    (
        settings(root_path="a.zarr", compression="lzw"),
        ValueError,
        f"Compression 'lzw' is not supported for OME-Zarr. Supported: {tuple(codecs.ZARR)}.",
    ),
    (
        settings(root_path="a.tif", compression="blosc-lz4"),
        ValueError,
        f"Compression 'blosc-lz4' is not supported for OME-TIFF. Supported: {tuple(codecs.TIFF)}.",
    ),
    (
        settings(root_path="a.zarr", format="acquire-zarr", compression="gzip"),
        ValueError,
        "Compression 'gzip' is not supported for backend 'acquire-zarr'. Supported: "
        "('blosc-zstd', 'blosc-lz4', 'zstd', 'none').",
    ),
    (
        settings(compression="jpeg"),
        ValueError,
        f"{', '.join(map(repr, [*codecs.COMPRESSIONS][:-1]))} or {[*codecs.COMPRESSIONS][-1]!r}",
    ),
    (settings(dtype="foo"), ValueError, "Invalid dtype: 'foo'. Give the dtype of the frames"),
    (settings(dtype="U5"), ValueError, "Invalid dtype: 'U5': pixels must be numbers, not str160."),
    (settings(dtype="u1,u1"), ValueError, "Invalid dtype: 'u1,u1': pixels must be numbers"),
    # schedules
    (lambda: Schedule("t", [[0]]), ValueError, "axes of a schedule must be a tuple of names"),
    (lambda: Schedule((), [[]]), ValueError, "axes of a schedule must be distinct names, got ()."),
    (
        lambda: Schedule(("t", "t"), [[0, 0]]),
        ValueError,
        "axes of a schedule must be distinct names, got ('t', 't').",
    ),
    (
        lambda: Schedule(("t", "c"), [0, 1]),
        ValueError,
        "indices of a schedule must have shape (rows, 2) with at least one row for the axes "
        "('t', 'c'), got (2,).",
    ),
    (lambda: Schedule(("t",), []), ValueError, "indices of a schedule must have shape (rows, 1)"),
    (
        lambda: Schedule(("t", "c"), [[0, 1], [0]]),
        ValueError,
        "indices of a schedule must be rows of one length.",
    ),
    (
        lambda: Schedule(("t",), [[0.5]]),
        ValueError,
        "indices of a schedule must be integers, got float64.",
    ),
    (
        lambda: Schedule(("t",), [[-1]]),
        ValueError,
        "indices of a schedule must not be negative, got -1.",
    ),
    (
        settings(T, Y, X, schedule=3),
        ValueError,
        "A schedule is a Schedule or {'axes': ..., 'indices': ...}, got 3.",
    ),
    (
        settings(T, Y, X, schedule=Schedule(("t", "y"), [[0, 0]])),
        ValueError,
        "schedule names the axes ['y'], but the dimensions before y and x are ['t'].",
    ),
    (
        settings(T, Y, X, schedule=Schedule(("t",), [[0], [2]])),
        ValueError,
        "schedule reaches index 2 along 't', but the dimension has count 2.",
    ),
    (
        settings(Dimension(name="t"), C, Y, X, schedule=Schedule(("c",), [[0]])),
        ValueError,
        "schedule must name the unbounded dimension 't', got ('c',).",
    ),
    # the rest
    (settings(buffer_bytes=0), ValueError, "greater than 0"),
    (settings(flush_interval=0), ValueError, "greater than 0"),
    (settings(flush_interval=float("inf")), ValueError, "finite number"),
    (settings(durability="none"), ValueError, "durability must be 'process' or 'disk', got 'none'"),
    (
        settings(on_incomplete="pad"),
        ValueError,
        "on_incomplete must be 'trim' or 'keep', got 'pad'",
    ),
    (
        lambda: AcquisitionSettings().validate_stream_ready(),
        ValueError,
        "settings.dimensions must be set before creating a stream",
    ),
    (
        lambda: AcquisitionSettings(dimensions=[Y, X]).validate_stream_ready(),
        ValueError,
        "settings.dtype must be set before creating a stream",
    ),
    (
        lambda: AcquisitionSettings(
            dimensions=[Y, X], dtype="u1", format="tiff"
        ).validate_stream_ready(),
        ValueError,
        "root_path is required for ome-tiff format: set settings.root_path",
    ),
    *[
        (derived(name), ValueError, f"Cannot access {name!r}: dimensions has not been set yet.")
        for name in (
            "output_path",
            "shape",
            "is_unbounded",
            "num_frames",
            "positions",
            "position_dimension_index",
            "frame_dimensions",
            "index_dimensions",
            "array_dimensions",
            "storage_index_dimensions",
            "storage_index_permutation",
            "array_storage_dimensions",
        )
    ],
]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    REFUSED,
    ids=[f"{i}-{row[2][:40]}" for i, row in enumerate(REFUSED)],
)
def test_error_messages(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        make()


WARNED: list[tuple[Callable[[], Any], type[Warning], str]] = [
    (
        settings(root_path="somewhere"),
        UserWarning,
        "Output format could not be inferred from root_path 'somewhere': writing OME-Zarr to 'somewhere.ome.zarr'.",
    ),
    (
        settings(Y, Dimension(name="b", count=1)),
        UserWarning,
        "The last two dimensions are expected to have type='space'. Setting type='space' for 'b'.",
    ),
    (
        settings(positions(WELL_A1, WELL_C7), Y, X, plate=PLATE),
        UserWarning,
        "Some positions have row/column values not in the plate definition: ['far (C, 7)']",
    ),
    (
        lambda: PositionDimension(positions=["a"]),
        DeprecationWarning,
        "PositionDimension is deprecated. Use Dimension(name='p', type='position', coords=[...])",
    ),
]


@pytest.mark.parametrize(
    ("make", "category", "message"), WARNED, ids=[row[2][:40] for row in WARNED]
)
def test_warning_messages(make: Callable[[], Any], category: type[Warning], message: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make()
    assert [w.category for w in caught] == [category]
    assert message in str(caught[0].message)
    assert caught[0].filename == __file__


MISTAKES: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda: AcquisitionSettings(overwite=True),
        ValueError,
        "AcquisitionSettings: unknown field overwite=True. Did you mean 'overwrite'?",
    ),
    (
        lambda: AcquisitionSettings(overwite=True, mirrow="x"),
        ValueError,
        "AcquisitionSettings:\n  unknown field overwite=True. Did you mean 'overwrite'?\n"
        "  unknown field mirrow='x'. Did you mean 'mirror'?",
    ),
    (
        lambda: AcquisitionSettings(dimensions=[{"name": "t", "cuont": 3}]),
        ValueError,
        "AcquisitionSettings: dimensions[0]: unknown field cuont=3. Did you mean 'count'?",
    ),
    (
        lambda: AcquisitionSettings(format={"name": "ome-zarr", "bakend": 3}),
        ValueError,
        "AcquisitionSettings: format: unknown field bakend=3. Did you mean 'backend'?",
    ),
    (
        lambda: AcquisitionSettings.model_validate({"dtpye": "u2"}),
        ValueError,
        "AcquisitionSettings: unknown field dtpye='u2'. Did you mean 'dtype'?",
    ),
    (
        lambda: setattr(AcquisitionSettings(), "dtpye", "u2"),
        ValueError,
        "AcquisitionSettings: unknown field dtpye='u2'. Did you mean 'dtype'?",
    ),
    (
        lambda: AcquisitionSettings(dimensions={"t": 3}),
        ValueError,
        "AcquisitionSettings: dimensions must be a tuple, got {'t': 3}. Write dims_from_standard_axes({'t': 3})",
    ),
    (
        lambda: Dimension("t", 3),
        TypeError,
        "Dimension takes keyword arguments only, got 2 without a name. Write Dimension(name='t', count=3).",
    ),
    (
        lambda: dims_from_standard_axes({"t": 0}),
        ValueError,
        "Dimension 't': count must be greater than 0, got 0",
    ),
    (
        lambda: Channel(name="a", color="gren"),
        ValueError,
        "Channel 'a': color: 'gren' is not a valid color. Did you mean 'green'?",
    ),
    (
        lambda: AcquisitionSettings(dtype="unit16"),
        ValueError,
        "AcquisitionSettings: dtype: Invalid dtype: 'unit16'. Did you mean 'uint16'?",
    ),
    (
        lambda: Dimension(name="x", unit="micormeter"),
        ValueError,
        "Dimension 'x': Unrecognized unit of length: 'micormeter'. Did you mean 'micrometer'?",
    ),
    (
        lambda: AcquisitionSettings(buffer_bytes="1GB"),
        ValueError,
        "AcquisitionSettings: buffer_bytes must be an integer, got '1GB'. Give a number of bytes, such as 2**30",
    ),
    (
        lambda: AcquisitionSettings(durability="disc"),
        ValueError,
        "AcquisitionSettings: durability must be 'process' or 'disk', got 'disc': did you mean 'disk'?",
    ),
    (
        lambda: AcquisitionSettings(storage_order="best"),
        ValueError,
        "AcquisitionSettings: storage_order must be 'acquisition' or 'ome' or a list, got 'best'",
    ),
    (
        lambda: Dimension(name="x", scale="0.1 um", unit="mm"),
        ValueError,
        "Dimension 'x': scale must be a number, got '0.1 um'. Write a number, and its unit as unit='micrometer'",
    ),
    (
        lambda: create_stream("run.ome.zarr", [3], "uint16"),
        TypeError,
        "create_stream takes settings or keyword arguments, got 3 without a name. Write "
        "create_stream(root_path='run.ome.zarr', dimensions=[3], dtype='uint16', ...).",
    ),
]


@pytest.mark.parametrize(
    ("make", "error", "message"), MISTAKES, ids=[row[2][:60] for row in MISTAKES]
)
def test_complete_message(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        make()
    assert str(caught.value) == message


def test_error_of_settings_is_also_that_of_pydantic() -> None:
    with pytest.raises(ValidationError) as caught:
        AcquisitionSettings(overwite=True)
    assert isinstance(caught.value, SettingsError)
    assert [(e["loc"], e["type"], e["input"]) for e in caught.value.errors()] == [
        (("overwite",), "extra_forbidden", True)
    ]


def test_signature_lists_settings() -> None:
    """IPython and editors complete the keywords of a signature."""
    assert (
        AcquisitionSettings.model_fields.keys() < inspect.signature(create_stream).parameters.keys()
    )
