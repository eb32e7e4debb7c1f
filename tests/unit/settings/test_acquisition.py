"""Settings of an acquisition: what is derived, what is filled in, and what clients do with them."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from ome_writers import (
    AcquisitionSettings,
    Channel,
    Dimension,
    OmeZarrFormat,
    Plate,
    Position,
    PositionDimension,
    ScratchFormat,
)
from ome_writers.settings import DimensionList, DTypeStr

COUNTS = {"t": 5, "c": 2, "z": 3, "p": 2, "y": 8, "x": 6}


def axes(names: str) -> list[Dimension]:
    """Return a dimension for each letter; unknown ones are of type other."""
    return [
        Dimension(name=n, count=COUNTS.get(n, 2), type=None if n in COUNTS else "other")
        for n in names
    ]


def settings(names: str, **fields: Any) -> AcquisitionSettings:
    """Return settings with these axes."""
    return AcquisitionSettings(
        **{"root_path": "a.zarr", "dtype": "u2", **fields, "dimensions": axes(names)}
    )


def letters(dimensions: Any) -> str:
    """Return the names of dimensions in a row."""
    return "".join(d.name for d in dimensions)


def test_compression_is_checked_where_the_backend_changes() -> None:
    """A backend without the chosen compression is refused when it is assigned; nothing changes."""
    chosen = AcquisitionSettings(root_path="a.ome.zarr", compression="gzip")
    with pytest.raises(ValueError, match="'gzip' is not supported for backend 'acquire-zarr'"):
        chosen.format = "acquire-zarr"  # type: ignore[assignment]  # a name is read as a format
    assert chosen.format.backend == "auto"
    chosen.format = "tensorstore"  # type: ignore[assignment]  # a name is read as a format
    assert (chosen.format.backend, chosen.compression) == ("tensorstore", "gzip")


def test_defaults() -> None:
    """Nothing needs to be given, and what is not given has the promised default."""
    empty = AcquisitionSettings()
    assert empty.format == ScratchFormat()
    assert empty.model_dump(exclude={"format"}) == {
        "root_path": "",
        "dimensions": (),
        "dtype": "",
        "compression": None,
        "storage_order": "ome",
        "plate": None,
        "overwrite": False,
        "schedule": None,
        "buffer_bytes": 256 * 1024**2,
        "durability": "process",
        "flush_interval": 1.0,
        "on_incomplete": "trim",
        "rgb": None,
        "direct_io": False,
    }


def test_the_path_is_a_string() -> None:
    """A Path is stored as the string that clients compare with."""
    path = Path("some") / "where.zarr"
    assert AcquisitionSettings(root_path=path).root_path == str(path)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("uint16", "uint16"),
        ("u2", "uint16"),
        (">u2", "uint16"),
        (np.uint8, "uint8"),
        (np.dtype("int32"), "int32"),
        (float, "float64"),
        ("complex64", "complex64"),
        ("bool", "bool"),
        ("", ""),
        (None, ""),
    ],
)
def test_dtypes(given: Any, kept: str) -> None:
    """Whatever numpy takes for a numeric dtype is stored by numpy's name."""
    assert AcquisitionSettings(dtype=given).dtype == kept
    assert TypeAdapter(DTypeStr).validate_python(given) == kept


def test_dimensions_are_a_tuple_of_copies() -> None:
    """The settings keep dimensions of their own: changing one's own later changes nothing."""
    mine = axes("tyx")
    kept = AcquisitionSettings(dimensions=mine)
    mine[0].count = 99
    assert isinstance(kept.dimensions, tuple)
    assert kept.shape == (5, 8, 6)
    assert mine[1].chunk_size is None


def test_chunk_sizes_are_filled_in() -> None:
    """A chunk is a frame where nothing else is said; positions have none."""
    chunked = [d.chunk_size for d in settings("ptczyx").dimensions]
    assert chunked == [None, 1, 1, 1, 8, 6]
    mine = [Dimension(name="t", count=5, chunk_size=3), Dimension(name="y", count=8, chunk_size=4)]
    given = AcquisitionSettings(dimensions=[*mine, *axes("x")])
    assert [d.chunk_size for d in given.dimensions] == [3, 4, 6]


def test_a_chunk_size_that_was_filled_in_follows_the_count() -> None:
    """A frame of another size has chunks of that size."""
    first = settings("tyx")
    wider = [*first.dimensions[:2], first.dimensions[2].model_copy(update={"count": 60})]
    assert AcquisitionSettings(dimensions=wider).dimensions[2].chunk_size == 60


def test_derived_properties() -> None:
    """Shapes, counts and dimensions follow from the dimensions."""
    one = settings("tpzcyx")
    assert one.output_path == "a.zarr"
    assert one.shape == (5, 2, 3, 2, 8, 6)
    assert one.is_unbounded is False
    assert one.num_frames == 60
    assert one.positions == (Position(name="0"), Position(name="1"))
    assert one.position_dimension_index == 1
    assert letters(one.frame_dimensions) == "yx"
    assert letters(one.index_dimensions) == "tzc"
    assert letters(one.array_dimensions) == "tzcyx"
    assert letters(one.storage_index_dimensions) == "tcz"
    assert one.storage_index_permutation == (0, 2, 1)
    assert letters(one.array_storage_dimensions) == "tczyx"


def test_derived_properties_of_a_single_frame() -> None:
    """A frame alone is one position and one frame."""
    one = settings("yx")
    assert (one.num_frames, one.positions) == (1, (Position(name="0"),))
    assert (one.index_dimensions, one.storage_index_permutation) == ((), None)
    assert one.position_dimension_index is None


def test_an_unbounded_acquisition_has_no_number_of_frames() -> None:
    """Without an end there is no number of frames, and the shape says None."""
    endless = AcquisitionSettings(dimensions=[Dimension(name="t"), *axes("cyx")])
    assert endless.is_unbounded
    assert endless.num_frames is None
    assert endless.shape == (None, 2, 8, 6)


@pytest.mark.parametrize(
    ("acquired", "zarr", "tiff"),
    [
        ("tczyx", "tcz", "tcz"),
        ("tzcyx", "tcz", "tzc"),
        ("ctzyx", "tcz", "ctz"),
        ("zcyx", "cz", "zc"),
        ("qtcyx", "tcq", "tcq"),
        ("zqcyx", "cqz", "zcq"),
        ("rqtyx", "trq", "trq"),
        ("tczpyx", "tcz", "tcz"),
    ],
)
def test_storage_order_of_the_formats(acquired: str, zarr: str, tiff: str) -> None:
    """OME-Zarr sorts to t, c, others, z; OME-TIFF keeps t, c, z; scratch keeps all."""
    for path, expected in (("a.zarr", zarr), ("a.tif", tiff), ("", acquired[:-2].replace("p", ""))):
        one = settings(acquired, root_path=path)
        assert letters(one.storage_index_dimensions) == expected
        moved = one.storage_index_permutation or tuple(range(len(expected)))
        assert "".join(one.index_dimensions[i].name for i in moved) == expected
        assert (one.storage_index_permutation is None) == (
            letters(one.index_dimensions) == expected
        )


def test_storage_order_as_acquired_or_as_named() -> None:
    """Acquisition order is kept on request, and any order can be named."""
    assert settings("tzcyx", storage_order="acquisition").storage_index_permutation is None
    named = settings("ptzcyx", storage_order=["p", "z", "c", "t", "y", "x"])
    assert letters(named.array_storage_dimensions) == "zctyx"
    assert named.storage_index_permutation == (1, 2, 0)
    assert settings("tcyx", storage_order=("c", "t", "y", "x")).storage_order == [
        "c",
        "t",
        "y",
        "x",
    ]


def test_axes_of_type_other_do_not_count() -> None:
    """Five axes may have as many others beside them as there are."""
    assert len(settings("ptczqrsyx").dimensions) == 9


def test_untyped_frame_axes_become_space() -> None:
    """The axes of a frame are made spatial: in silence for Y and X, with a warning for others."""
    plain = AcquisitionSettings(
        dimensions=[Dimension(name="Y", count=4), Dimension(name="X", count=4)]
    )
    assert {d.type for d in plain.dimensions} == {"space"}
    with pytest.warns(UserWarning, match="expected to have type='space'"):
        named = AcquisitionSettings(dimensions=[*axes("y"), Dimension(name="column", count=4)])
    assert named.dimensions[1].type == "space"


def test_the_list_of_dimensions_validates_alone() -> None:
    """DimensionList has the same rules for whoever validates a list by itself."""
    kept = TypeAdapter(DimensionList).validate_python(axes("tyx"))
    assert [d.chunk_size for d in kept] == [1, 8, 6]
    with pytest.raises(ValueError, match="At least 2 non-position dimensions"):
        TypeAdapter(DimensionList).validate_python(axes("px"))


def test_an_old_position_dimension_becomes_a_dimension() -> None:
    """The deprecated class is accepted and leaves no trace."""
    with pytest.warns(DeprecationWarning, match="PositionDimension"):
        old = PositionDimension(positions=["0", "1"])
    assert (
        AcquisitionSettings(dimensions=[old, *axes("yx")]).dimensions == settings("pyx").dimensions
    )


def test_what_model_copy_changed_is_checked() -> None:
    """model_copy checks nothing; the settings do."""
    chunked = axes("t")[0].model_copy(update={"chunk_size": 5})
    assert AcquisitionSettings(dimensions=[chunked, *axes("yx")]).dimensions[0].chunk_size == 5
    wrong = axes("t")[0].model_copy(update={"chunk_size": -5})
    with pytest.raises(ValueError, match="greater than 0"):
        AcquisitionSettings(dimensions=[wrong, *axes("yx")])


def test_the_way_of_published_clients() -> None:
    """Dump, replace dimensions by objects with a camera axis among them, validate again."""
    first = AcquisitionSettings(root_path="a.ome.zarr", overwrite=True, compression="zstd")
    dims = [d.model_copy(update={"chunk_size": 2}) if d.name == "t" else d for d in axes("tcyx")]
    dims.insert(len(dims) - 2, Dimension(name="cam", count=2, type="other"))
    second = AcquisitionSettings.model_validate(
        {**first.model_dump(), "dimensions": dims, "plate": None, "dtype": "uint16"}
    )
    assert second.num_frames == 20
    assert second.dimensions[0].chunk_size == 2
    assert (second.overwrite, second.compression) == (True, "zstd")
    assert second.format == OmeZarrFormat()


def test_copies_are_equal() -> None:
    """Deep copies, pickles and validated instances are equal to the settings."""
    one = settings("ptcyx", plate=None)
    copies = [
        copy.deepcopy(one),
        one.model_copy(deep=True),
        pickle.loads(pickle.dumps(one)),
        AcquisitionSettings.model_validate(one),
        AcquisitionSettings(**one.model_dump(exclude_unset=True)),
    ]
    assert all(twin == one for twin in copies)
    assert copies[1].dimensions[0] is not one.dimensions[0]


def test_fields_can_be_assigned_one_after_the_other() -> None:
    """Settings may be filled step by step, and each step is checked."""
    one = AcquisitionSettings()
    one.dimensions = axes("ptzcyx")
    one.dtype = np.uint8
    one.root_path = "a.ome.zarr"
    one.compression = "blosc-zstd"
    one.storage_order = list("ptzcyx")
    one.flush_interval = 0.5
    assert (one.dtype, one.compression, one.shape) == ("uint8", "blosc-zstd", (2, 5, 3, 2, 8, 6))
    one.validate_stream_ready()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dimensions", axes("x")),
        ("dimensions", axes("tcyx")),
        ("storage_order", ["t"]),
        ("compression", "lzw"),
        ("format", "tiff"),
        ("root_path", "b.tif"),
        ("plate", Plate(row_names=["A"], column_names=["1"])),
        ("schedule", {"axes": ["q"], "indices": [[0]]}),
        ("dtype", "no such"),
        ("buffer_bytes", 0),
        ("unknown", 1),
    ],
)
def test_a_refused_assignment_leaves_no_trace(name: str, value: Any) -> None:
    """After an assignment that is refused, the settings are what they were."""
    one = settings("tzyx", compression="blosc-lz4", storage_order=list("ztyx"))
    before = one.model_copy(deep=True)
    with pytest.raises(ValueError):
        setattr(one, name, value)
    assert one == before
    assert one.model_fields_set == before.model_fields_set


def test_one_warning_a_fact() -> None:
    """A doubtful plate or path is warned of where it is set, and not at each later assignment."""
    wells = [Position(name="a", plate_row="H", plate_column="12")]
    dims = [Dimension(name="p", coords=wells), *axes("yx")]
    with pytest.warns(UserWarning, match="not in the plate definition"):
        one = AcquisitionSettings(
            root_path="a.zarr", dimensions=dims, plate=Plate.from_standard_wells(6)
        )
    one.overwrite = True
    with pytest.warns(UserWarning, match="not in the plate definition"):
        one.dimensions = dims
    with pytest.warns(UserWarning, match="could not be inferred"):
        one.root_path = "b"
    one.overwrite = False


def test_settings_are_json_with_every_extra() -> None:
    """Colors, windows and plates are dumped as JSON, and come back equal."""
    channel = Channel(name="c", color=(1, 2, 3, 0.25), window=(0, 10), exposure_ms=5)
    wells = [Position(name="a", plate_row="A", plate_column="1", x_coord=1.5)]
    one = AcquisitionSettings(
        root_path="a.zarr",
        dimensions=[
            Dimension(name="p", coords=wells),
            Dimension(name="c", coords=[channel]),
            *axes("yx"),
        ],
        plate=Plate.from_standard_wells(6),
    )
    assert AcquisitionSettings.model_validate_json(one.model_dump_json()) == one


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [("count", None, "Only the first dimension may be unbounded"), ("name", "t", "must be unique")],
)
def test_what_was_changed_inside_is_checked_before_a_stream(
    field: str, value: Any, message: str
) -> None:
    """A dimension that was changed in place, and breaks a rule since, is refused before anything is written."""
    one = AcquisitionSettings(root_path="a.zarr", dimensions=axes("tzyx"), dtype="uint8")
    one.validate_stream_ready()
    setattr(one.dimensions[1], field, value)
    with pytest.raises(ValueError, match=message):
        one.validate_stream_ready()
