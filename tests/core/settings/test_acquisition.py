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


def test_compression_is_checked_when_backend_changes() -> None:
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
        "instrument": None,
        "acquisition_date": None,
        "pyramid": None,
        "mirror": None,
        "experiment": None,
        "quantize": None,
    }


def test_root_path_is_a_string() -> None:
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
    """By default a chunk is one frame; position axes do not have a chunk size."""
    chunked = [d.chunk_size for d in settings("ptczyx").dimensions]
    assert chunked == [None, 1, 1, 1, 8, 6]
    mine = [Dimension(name="t", count=5, chunk_size=3), Dimension(name="y", count=8, chunk_size=4)]
    given = AcquisitionSettings(dimensions=[*mine, *axes("x")])
    assert [d.chunk_size for d in given.dimensions] == [3, 4, 6]


def test_default_chunk_size_follows_count() -> None:
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


def test_num_frames_of_unbounded_acquisition_is_none() -> None:
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


def test_storage_order_acquisition_and_list() -> None:
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


def test_limit_of_five_dimensions_ignores_type_other() -> None:
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


def test_dimension_list_type_adapter() -> None:
    kept = TypeAdapter(DimensionList).validate_python(axes("tyx"))
    assert [d.chunk_size for d in kept] == [1, 8, 6]
    with pytest.raises(ValueError, match="At least 2 non-position dimensions"):
        TypeAdapter(DimensionList).validate_python(axes("px"))


def test_position_dimension_becomes_dimension() -> None:
    with pytest.warns(DeprecationWarning, match="PositionDimension"):
        old = PositionDimension(positions=["0", "1"])
    assert (
        AcquisitionSettings(dimensions=[old, *axes("yx")]).dimensions == settings("pyx").dimensions
    )


def test_model_copy_updates_are_validated() -> None:
    chunked = axes("t")[0].model_copy(update={"chunk_size": 5})
    assert AcquisitionSettings(dimensions=[chunked, *axes("yx")]).dimensions[0].chunk_size == 5
    wrong = axes("t")[0].model_copy(update={"chunk_size": -5})
    with pytest.raises(ValueError, match="greater than 0"):
        AcquisitionSettings(dimensions=[wrong, *axes("yx")])


def test_revalidation_as_published_clients_do() -> None:
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


def test_incremental_assignment_of_fields() -> None:
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
def test_invalid_assignment_leaves_model_unchanged(name: str, value: Any) -> None:
    one = settings("tzyx", compression="blosc-lz4", storage_order=list("ztyx"))
    before = one.model_copy(deep=True)
    with pytest.raises(ValueError):
        setattr(one, name, value)
    assert one == before
    assert one.model_fields_set == before.model_fields_set


def test_each_warning_is_emitted_once() -> None:
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


def test_settings_round_trip_through_json() -> None:
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
def test_validate_stream_ready_checks_nested_changes(field: str, value: Any, message: str) -> None:
    one = AcquisitionSettings(root_path="a.zarr", dimensions=axes("tzyx"), dtype="uint8")
    one.validate_stream_ready()
    setattr(one.dimensions[1], field, value)
    with pytest.raises(ValueError, match=message):
        one.validate_stream_ready()


def test_json_schema_describes_each_field() -> None:
    """Forms are built from it."""
    schema = AcquisitionSettings.model_json_schema()
    models = {"AcquisitionSettings": schema, **schema["$defs"]}
    fields = {
        f"{model}.{name}": field.get("description")
        for model, definition in models.items()
        for name, field in definition.get("properties", {}).items()
        if "const" not in field  # the name of a format
    }
    assert [name for name, text in fields.items() if not text] == []
    assert fields["Position.y_coord"] == fields["Position.x_coord"]
    assert "\n" not in str(fields["AcquisitionSettings.storage_order"])
    assert schema["description"] == "What to acquire, and where and how to write it."


def test_more_than_32_dimensions_are_refused() -> None:
    """The array of all frames has an axis for each, and numpy before 2.0 has at most 32."""
    names = [f"d{number}" for number in range(30)]
    most = [Dimension(name=name, count=1, type="other") for name in names] + axes("yx")
    assert len(AcquisitionSettings(dimensions=most).dimensions) == 32
    with pytest.raises(ValueError, match="At most 32 dimensions are supported, got 33"):
        AcquisitionSettings(dimensions=[Dimension(name="e", count=1, type="other"), *most])
