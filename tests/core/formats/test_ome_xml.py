"""OME-XML rendering: valid documents with the metadata of plan and frames."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote
from xml.etree import ElementTree

import ome_types
import pytest

from ome_writers import AcquisitionSettings, Channel, Dimension, Plate, Position
from ome_writers.formats.ome_xml import (
    IfdRuns,
    assemble_document,
    binary_only,
    dimension_order,
    render_body,
    render_planes,
)
from ome_writers.routing import Plan, resolve
from ome_writers.settings.dtypes import PIXEL_TYPES, dtype_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ome_types.model import OME

BEGAN = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)


def plan(*dimensions: Dimension, dtype: str = "uint16", **more: Any) -> Plan:
    frame = (
        Dimension(name="y", count=8, scale=0.5, unit="um"),
        Dimension(name="x", count=6, scale=0.25, unit="um"),
    )
    settings = AcquisitionSettings(
        root_path="run.ome.tiff", dimensions=(*dimensions, *frame), dtype=dtype, **more
    )
    return resolve(settings)


def model(of: Plan, lines: Sequence[bytes] = (), **more: Any) -> OME:
    """Return the validated model of an acquisition; `lines` is the journal of image 0."""
    shapes = [image.array.shape for image in of.images]
    axes = {"T": 0}
    planes = {0: render_planes(0, lambda: iter(lines), axes)} if lines else {}
    pages = [IfdRuns([(0, 0, 1)]) for _ in shapes]
    body = render_body(of, shapes, began=BEGAN, **{"pages": pages, "planes": planes, **more})
    document = assemble_document(body, None)
    ome_types.validate_xml(document.decode())
    return ome_types.from_xml(document.decode())


def test_pixel_sizes_and_time_increment_have_units() -> None:
    made = model(
        plan(
            Dimension(name="t", count=3, scale=2, unit="min"),
            Dimension(name="z", count=4, scale=300, unit="nm"),
        )
    )
    pixels = made.images[0].pixels
    assert (pixels.size_t, pixels.size_c, pixels.size_z, pixels.size_y, pixels.size_x) == (
        3,
        1,
        4,
        8,
        6,
    )
    assert (pixels.physical_size_x, pixels.physical_size_y) == (0.25, 0.5)
    assert (pixels.physical_size_z, pixels.physical_size_z_unit.value) == (300, "nm")
    assert (pixels.time_increment, pixels.time_increment_unit.value) == (2, "min")
    assert pixels.significant_bits == 16
    assert made.images[0].acquisition_date == BEGAN.replace(tzinfo=None)
    assert made.images[0].name == "run"
    assert "slowest axis first: t, z" in (made.images[0].description or "")


def test_pixel_size_of_0_is_omitted() -> None:
    """0 means not calibrated."""
    settings = AcquisitionSettings(
        root_path="run.ome.tiff",
        dimensions=(
            Dimension(name="y", count=8, scale=0.0),
            Dimension(name="x", count=6, scale=0.0),
        ),
        dtype="uint8",
    )
    pixels = model(resolve(settings)).images[0].pixels
    assert pixels.physical_size_x is None
    assert pixels.physical_size_y is None


def test_channel_attributes() -> None:
    """Name, colour, wavelengths, fluorophore and camera."""
    channels = [
        Channel(
            name='<GFP> & "more"',
            color="#12345678",
            excitation_wavelength_nm=488,
            emission_wavelength_nm=520,
            fluorophore="EGFP",
            camera="Left",
        ),
        Channel(name="µ"),
    ]
    made = model(plan(Dimension(name="c", type="channel", coords=list(channels))))
    first, second = made.images[0].pixels.channels
    assert first.name == '<GFP> & "more"'
    assert (first.excitation_wavelength, first.emission_wavelength, first.fluor) == (
        488,
        520,
        "EGFP",
    )
    assert first.color.as_rgb_tuple(alpha=True)[:3] == (0x12, 0x34, 0x56)
    assert made.instruments[0].detectors[0].model == "Left"
    assert first.detector_settings.id == made.instruments[0].detectors[0].id
    assert second.name == "µ"


@pytest.mark.parametrize(
    ("axes", "order"),
    [
        ("tcz", "XYZCT"),
        ("tzc", "XYCZT"),
        ("ctz", "XYZTC"),
        ("czt", "XYTZC"),
        ("ztc", "XYCTZ"),
        ("zct", "XYTCZ"),
    ],
)
def test_dimension_order_is_the_storage_order(axes: str, order: str) -> None:
    assert dimension_order(plan(*(Dimension(name=a, count=2) for a in axes)).images[0]) == order


def test_growing_axis_is_the_slowest_of_dimension_order() -> None:
    made = plan(
        Dimension(name="t"), Dimension(name="c", count=2), storage_order=["c", "t", "y", "x"]
    )
    assert dimension_order(made.images[0]) == "XYCTZ"  # Z is missing and has one place


def test_custom_axis_gets_a_free_letter() -> None:
    """The first of C, T and Z that is free."""
    made = model(plan(Dimension(name="angle", count=3, type="other", coords=["a", "b", "c"])))
    pixels = made.images[0].pixels
    assert pixels.size_c == 3
    assert [channel.name for channel in pixels.channels] == ["a", "b", "c"]


def test_frame_metadata_becomes_plane_attributes_and_annotation() -> None:
    """Known keys become attributes with units, other keys an annotation with JSON values."""
    lines = [
        b'{"storage_index":[0],"delta_t":0.5,"exposure_time":0.01,"position_x":1,"position_y":-2.5,"position_z":3}\n',
        b'{"storage_index":[1],"delta_t":null,"who":"\xc3\xa9<&>","list":[1,2]}\n',
    ]
    made = model(plan(Dimension(name="t", count=2)), lines)
    first, second = made.images[0].pixels.planes
    assert (
        first.delta_t,
        first.exposure_time,
        first.position_x,
        first.position_y,
        first.position_z,
    ) == (0.5, 0.01, 1, -2.5, 3)
    assert (first.delta_t_unit.value, first.position_z_unit.value) == ("s", "µm")
    assert (second.the_t, second.delta_t) == (1, None)
    annotation = next(
        a
        for a in made.structured_annotations.map_annotations
        if a.id == second.annotation_refs[0].id
    )
    assert dict(annotation.value.items()) == {"delta_t": "null", "who": "é<&>", "list": "[1,2]"}


def test_later_line_of_a_plane_replaces_earlier_ones() -> None:
    lines = [b'{"storage_index":[0],"delta_t":%d}\n' % i for i in (1, 2)]
    planes = model(plan(Dimension(name="t", count=2)), lines).images[0].pixels.planes
    assert [plane.delta_t for plane in planes] == [2]


def test_damaged_line_is_skipped() -> None:
    lines = [b'{"storage_index":[0],"a":tr{"storage_index":[0]}\n', b'{"storage_index":[1]}\n']
    planes = model(plan(Dimension(name="t", count=2)), lines).images[0].pixels.planes
    assert [plane.the_t for plane in planes] == [1]


def test_plane_elements_have_the_values_of_the_frame_metadata() -> None:
    """Whichever are present, and in every number format."""
    facts = [
        b"",
        b',"delta_t":1e-07,"exposure_time":2,"position_x":-3.5,"position_y":0.0,"position_z":1e300',
        b',"position_z":-0.001,"delta_t":null,"gain":"<7>"',
        b',"exposure_time":12345678901234567890',
    ]
    lines = [b'{"storage_index":[%d,7]%s}\n' % (i, each) for i, each in enumerate(facts)]
    planes = render_planes(5, lambda: iter(lines), {"T": 0, "Z": 1})
    names = (
        "TheZ",
        "TheT",
        "TheC",
        "DeltaT",
        "ExposureTime",
        "PositionX",
        "PositionY",
        "PositionZ",
    )
    found = []
    for plane in ElementTree.fromstring(b"<P>" + planes.elements + b"</P>"):
        values = [plane.get(name) for name in names]
        references = [reference.get("ID") for reference in plane]
        found.append((*(None if v is None else float(v) for v in values), *references))
    assert found == [
        (7, 0, 0, None, None, None, None, None),
        (7, 1, 0, 1e-7, 2, -3.5, 0, 1e300),
        (7, 2, 0, None, None, None, None, -0.001, "Annotation:frame-5-2"),
        (7, 3, 0, None, 12345678901234567890.0, None, None, None),
    ]
    assert planes.annotations_only.elements == b""
    assert planes.annotations_only.annotations == planes.annotations


def test_large_planes_are_held_compressed() -> None:
    lines = [b'{"storage_index":[%d],"delta_t":%d,"n":%d}\n' % (i, i, i) for i in range(8000)]
    planes = render_planes(0, lambda: iter(lines), {"T": 0})
    assert len(planes.elements) + len(planes.annotations) > 2**20
    elements = ElementTree.fromstring(b"<P>" + planes.elements + b"</P>")
    assert [plane.get("DeltaT") for plane in elements] == [str(i) for i in range(8000)]
    assert (planes.annotations_only.elements, planes.annotations_only.annotations) == (
        b"",
        planes.annotations,
    )


def test_plate_wells_fields_and_positions() -> None:
    positions = [
        Position(name="f", plate_row=r, plate_column=c, x_coord=1.5, y_coord=2.5, z_coord=3.5)
        for r, c in (("A", "1"), ("B", "3"))
    ]
    made = model(
        plan(
            Dimension(name="p", type="position", coords=list(positions)),
            plate=Plate(row_names=["A", "B"], column_names=["1", "2", "3"], name="My plate"),
        )
    )
    plate = made.plates[0]
    assert (plate.name, plate.rows, plate.columns) == ("My plate", 2, 3)
    assert plate.row_naming_convention.value == "letter"
    assert plate.column_naming_convention.value == "number"
    assert [(w.row, w.column) for w in plate.wells] == [(0, 0), (1, 2)]
    sample = plate.wells[1].well_samples[0]
    assert (sample.image_ref.id, sample.position_x, sample.position_y) == ("Image:1", 1.5, 2.5)
    assert [r.id for r in plate.plate_acquisitions[0].well_sample_refs] == [
        "WellSample:0",
        "WellSample:1",
    ]
    label = made.images[1].stage_label
    assert (label.name, label.x, label.y, label.z) == ("f", 1.5, 2.5, 3.5)


def test_custom_row_names_have_no_naming_convention() -> None:
    made = model(
        plan(
            Dimension(
                name="p",
                type="position",
                coords=[Position(name="f", plate_row="top", plate_column="1")],
            ),
            plate=Plate(row_names=["top", "bottom"], column_names=["1"]),
        )
    )
    assert made.plates[0].row_naming_convention is None


def test_global_metadata_becomes_a_map_annotation_per_namespace() -> None:
    made = model(
        plan(), metadata={"my/space & <more>": {"a": 1, "b": [True, "µ"]}, "http://a:80/b#c": {}}
    )
    annotation, other = made.structured_annotations.map_annotations
    assert annotation.namespace == "my/space & <more>"
    assert other.namespace == "http://a:80/b#c"
    assert dict(annotation.value) == {"a": "1", "b": '[true,"µ"]'}


@pytest.mark.parametrize("name", ["]]>", "5 % [x]", "://", "a b:c", " //x[", "#1#2", "http://a:b/"])
def test_namespace_that_is_not_a_uri_is_escaped(name: str) -> None:
    (annotation,) = model(plan(), metadata={name: {"a": 1}}).structured_annotations.map_annotations
    assert unquote(annotation.namespace) == name


def test_no_numeric_character_references() -> None:
    """Bio-Formats corrupts them. Characters that XML forbids are replaced."""
    positions = [Position(name="µ\n\t€\x00\x0b😀")]
    of = plan(Dimension(name="p", type="position", coords=list(positions)))
    body = render_body(of, [i.array.shape for i in of.images], began=BEGAN)
    document = assemble_document(body, None)
    assert b"&#" not in document
    assert ome_types.from_xml(document.decode()).images[0].name == "µ  €\ufffd\ufffd😀"


def test_binary_only_document() -> None:
    uuid, other = (f"urn:uuid:{n * 8}-{n * 4}-{n * 4}-{n * 4}-{n * 12}" for n in "12")
    document = binary_only(uuid, "a & b.companion.ome", other).decode()
    ome_types.validate_xml(document)
    made = ome_types.from_xml(document)
    assert (made.uuid, made.binary_only.metadata_file, made.binary_only.uuid) == (
        uuid,
        "a & b.companion.ome",
        other,
    )


def test_pixel_types_are_those_of_the_schema() -> None:
    names = {
        "float32": "float",
        "float64": "double",
        "complex64": "complex",
        "complex128": "double-complex",
    }
    assert {d: PIXEL_TYPES[d] for d in names} == names
    assert not {"bool", "int64", "uint64", "float16"} & set(PIXEL_TYPES)
    assert {dtype_of(kind): kind for kind in names.values()} == names
