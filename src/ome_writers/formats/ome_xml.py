"""OME-XML, rendered as text: no object a plane, so that a million planes stay fast.

Source of names, order and types: https://www.openmicroscopy.org/Schemas/OME/2016-06/ome.xsd
"""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape, quoteattr

from pydantic_core import from_json

from ome_writers.formats.frame_metadata import to_strict_json
from ome_writers.settings import Channel
from ome_writers.units import ome_symbol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ome_writers.formats.documents import Outcome
    from ome_writers.formats.frame_metadata import Journal
    from ome_writers.routing import ImagePlan, Plan
    from ome_writers.settings import Dimension

__all__ = ["PlaneFile", "dimension_order", "pixel_type", "render"]

NAMESPACE = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    f'<OME xmlns="{NAMESPACE}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
    f'xsi:schemaLocation="{NAMESPACE} {NAMESPACE}/ome.xsd"'
)
_PIXEL_TYPES = {
    "int8": "int8",
    "int16": "int16",
    "int32": "int32",
    "uint8": "uint8",
    "uint16": "uint16",
    "uint32": "uint32",
    "float32": "float",
    "float64": "double",
    "complex64": "complex",
    "complex128": "double-complex",
}
_PLANE_KEYS = {
    "delta_t": "DeltaT",
    "exposure_time": "ExposureTime",
    "position_x": "PositionX",
    "position_y": "PositionY",
    "position_z": "PositionZ",
}
_PLANE_UNITS = {"DeltaT": "s", "ExposureTime": "s"}  # positions: µm


@dataclass(frozen=True)
class PlaneFile:
    """Where an image's planes lie in a TIFF: the file, its UUID, and the first of their directories."""

    name: str
    uuid: str
    first_ifd: int = 0


def pixel_type(dtype: str) -> str | None:
    """Return OME's name of a dtype; None when OME-XML has none."""
    return _PIXEL_TYPES.get(dtype)


def letters(plan: ImagePlan) -> dict[str, int]:
    """Return T, C and Z to the storage axis that each is; an axis of another kind takes a free letter."""
    kinds = {"time": "T", "channel": "C", "space": "Z"}
    found: dict[str, int] = {}
    others = []
    for i, dim in enumerate(plan.array.dimensions[:-2]):
        letter = kinds.get(dim.type or "")
        if letter is None or letter in found:
            others.append(i)
        else:
            found[letter] = i
    for i in others:
        found[next(c for c in "CTZ" if c not in found)] = i
    return found


def dimension_order(plan: ImagePlan) -> str:
    """Return OME's DimensionOrder: the fastest axis first."""
    found = letters(plan)
    slow_first = sorted(found, key=lambda c: found[c])
    missing = [c for c in "TCZ" if c not in found]
    return "XY" + "".join(reversed([*missing, *slow_first]))


def render(
    plan: Plan,
    outcome: Outcome,
    journal: Journal | None,
    *,
    metadata: Mapping[str, Mapping[str, Any]] = {},
    files: Sequence[PlaneFile] | None = None,
    uuid: str | None = None,
) -> bytes:
    """Return the OME-XML of an acquisition.

    Parameters
    ----------
    plan, outcome
        What was planned, and how it stands.
    journal
        The frames' metadata, or None while they arrive.
    metadata
        Global metadata by namespace: a MapAnnotation each.
    files
        Where each image's planes lie; None for planes in other files (OME-Zarr).
    uuid
        The UUID of the file that this document is for.
    """
    annotations = _Annotations()
    parts = [
        _HEAD,
        f" UUID={quoteattr(uuid)}" if uuid else "",
        ' Creator="ome-writers ',
        _version(),
    ]
    parts.append('">')
    if plan.settings.plate is not None and plan.settings.position_dimension_index is not None:
        parts.extend(_plate(plan))
    for image in plan.images:
        file = files[image.number] if files is not None else None
        parts.extend(_image(image, outcome, journal, file, annotations))
    for namespace, mapping in metadata.items():
        pairs = {key: to_strict_json(value).decode() for key, value in mapping.items()}
        annotations.add(namespace, pairs)
    parts.extend(annotations.render())
    parts.append("</OME>")
    return "".join(parts).encode()


def _image(
    plan: ImagePlan,
    outcome: Outcome,
    journal: Journal | None,
    file: PlaneFile | None,
    annotations: _Annotations,
) -> Iterator[str]:
    number, array = plan.number, plan.array
    shape = outcome.shapes[number]
    axes = letters(plan)
    sizes = {c: shape[axes[c]] if c in axes else 1 for c in "TCZ"}
    name = plan.name or "Image"
    yield f'<Image ID="Image:{number}" Name={_attr(name)}>'
    yield f"<AcquisitionDate>{_now()}</AcquisitionDate>"
    if plan.position is not None:
        yield f"<StageLabel Name={_attr(name)}{_stage(plan)}/>"
    yield f'<Pixels ID="Pixels:{number}" DimensionOrder="{dimension_order(plan)}"'
    yield f' Type="{pixel_type(array.dtype.name) or "uint16"}" BigEndian="false"'
    yield f' SizeX="{shape[-1]}" SizeY="{shape[-2]}" SizeZ="{sizes["Z"]}"'
    yield f' SizeC="{sizes["C"] * array.samples}" SizeT="{sizes["T"]}"'
    yield from _physical_sizes(array.dimensions)
    if array.samples > 1:
        yield ' Interleaved="true"'
    yield ">"
    yield from _channels(plan, sizes["C"])
    if file is None:
        yield "<MetadataOnly/>"
    else:
        count = sizes["T"] * sizes["C"] * sizes["Z"]
        yield f'<TiffData IFD="{file.first_ifd}" PlaneCount="{count}">'
        yield f"<UUID FileName={_attr(file.name)}>{file.uuid}</UUID></TiffData>"
    if journal is not None:
        yield from _planes(journal.lines(number), axes, annotations)
    yield "</Pixels></Image>"


def _physical_sizes(dimensions: Sequence[Dimension]) -> Iterator[str]:
    for dim in dimensions:
        if not dim.scale:
            continue
        if dim.type == "space" and dim.name.upper() in ("X", "Y", "Z"):
            axis = dim.name.upper()
            yield f' PhysicalSize{axis}="{dim.scale!r}"'
            yield f" PhysicalSize{axis}Unit={_attr(ome_symbol(dim.unit or 'micrometer') or 'µm')}"
        elif dim.type == "time":
            yield f' TimeIncrement="{dim.scale!r}"'
            yield f" TimeIncrementUnit={_attr(ome_symbol(dim.unit or 'second') or 's')}"


def _channels(plan: ImagePlan, count: int) -> Iterator[str]:
    dim = next((d for d in plan.array.dimensions if d.type == "channel"), None)
    coords = (dim.coords or ()) if dim is not None else ()
    for i in range(count):
        coord = coords[i] if i < len(coords) else None
        yield f'<Channel ID="Channel:{plan.number}:{i}" SamplesPerPixel="{plan.array.samples}"'
        if isinstance(coord, Channel):
            yield f" Name={_attr(coord.name)}"
            if coord.fluorophore:
                yield f" Fluor={_attr(coord.fluorophore)}"
            if coord.excitation_wavelength_nm:
                yield f' ExcitationWavelength="{coord.excitation_wavelength_nm}"'
                yield ' ExcitationWavelengthUnit="nm"'
            if coord.emission_wavelength_nm:
                yield f' EmissionWavelength="{coord.emission_wavelength_nm}"'
                yield ' EmissionWavelengthUnit="nm"'
            if coord.color is not None:
                yield f' Color="{_color(coord)}"'
        elif coord is not None:
            yield f" Name={_attr(str(coord))}"
        yield "/>"


def _color(channel: Channel) -> int:
    """Return a colour as OME's signed 32-bit RGBA."""
    assert channel.color is not None
    red, green, blue, *alpha = channel.color.as_rgb_tuple(alpha=True)
    value = red << 24 | green << 16 | blue << 8 | round(float(alpha[0] if alpha else 1) * 255)
    return value - 2**32 if value >= 2**31 else value


def _planes(
    lines: Iterable[bytes], axes: Mapping[str, int], annotations: _Annotations
) -> Iterator[str]:
    """Render the planes whose metadata is known; of one that was filled twice the later counts."""
    last: dict[tuple[int, ...], bytes] = {}
    for line in lines:
        last[tuple(from_json(line)["storage_index"])] = line
    for index, line in last.items():
        entry = from_json(line)
        del entry["storage_index"]
        the = {c: index[axes[c]] if c in axes else 0 for c in "ZTC"}
        yield f'<Plane TheZ="{the["Z"]}" TheT="{the["T"]}" TheC="{the["C"]}"'
        for key, attribute in _PLANE_KEYS.items():
            value = entry.get(key)
            if isinstance(value, (int, float)):
                del entry[key]
                yield f' {attribute}="{value!r}" {attribute}Unit="{_PLANE_UNITS.get(attribute, "µm")}"'
        if entry:
            yield f'><AnnotationRef ID="{annotations.add("ome_writers/frame", _texts(entry))}"/></Plane>'
        else:
            yield "/>"


def _texts(entry: Mapping[str, Any]) -> dict[str, str]:
    return {k: v if isinstance(v, str) else json.dumps(v) for k, v in entry.items()}


def _stage(plan: ImagePlan) -> str:
    coords = [(c, getattr(plan.position, f"{c.lower()}_coord")) for c in "XYZ"]
    return "".join(f' {c}="{v!r}" {c}Unit="µm"' for c, v in coords if v is not None)


def _plate(plan: Plan) -> Iterator[str]:
    from ome_writers.formats.zarr_layout import plate_layout

    plate = plan.settings.plate
    assert plate is not None
    layout = plate_layout(plan)
    rows, columns = list(layout.rows), list(layout.columns)
    yield f'<Plate ID="Plate:0" Name={_attr(plate.name or "Plate")} Rows="{len(rows)}" Columns="{len(columns)}"'
    yield f' RowNamingConvention="{_convention(rows)}" ColumnNamingConvention="{_convention(columns)}">'
    sample = 0
    refs = []
    for number, ((row, column), fields) in enumerate(layout.fields.items()):
        yield f'<Well ID="Well:{number}" Row="{rows.index(row)}" Column="{columns.index(column)}">'
        for image, _ in fields:
            yield f'<WellSample ID="WellSample:{sample}" Index="{sample}"{_sample(plan.images[image])}>'
            yield f'<ImageRef ID="Image:{image}"/></WellSample>'
            refs.append(sample)
            sample += 1
        yield "</Well>"
    most = max(map(len, layout.fields.values()))
    yield f'<PlateAcquisition ID="PlateAcquisition:0" MaximumFieldCount="{most}">'
    yield from (f'<WellSampleRef ID="WellSample:{i}"/>' for i in refs)
    yield "</PlateAcquisition></Plate>"


def _sample(plan: ImagePlan) -> str:
    coords = [(c, getattr(plan.position, f"{c.lower()}_coord")) for c in "XY"]
    return "".join(f' Position{c}="{v!r}" Position{c}Unit="µm"' for c, v in coords if v is not None)


def _convention(names: Sequence[str]) -> str:
    return "number" if all(n.isdigit() for n in names) else "letter"


class _Annotations:
    """The structured annotations of a document, numbered as they come."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._count = 0

    def add(self, namespace: str, pairs: Mapping[str, str]) -> str:
        """Add a MapAnnotation; return its ID."""
        identifier = f"Annotation:{self._count}"
        self._count += 1
        values = "".join(f"<M K={_attr(k)}>{_text(v)}</M>" for k, v in pairs.items())
        self._parts.append(
            f'<MapAnnotation ID="{identifier}" Namespace={_attr(namespace)}><Value>{values}</Value>'
            "</MapAnnotation>"
        )
        return identifier

    def render(self) -> Iterator[str]:
        """Yield the element that holds all; nothing when there are none."""
        if self._parts:
            yield "<StructuredAnnotations>"
            yield from self._parts
            yield "</StructuredAnnotations>"


def _attr(text: str) -> str:
    return quoteattr(_clean(text))


def _text(text: str) -> str:
    return escape(_clean(text))


def _clean(text: str) -> str:
    """Leave out characters that XML 1.0 cannot hold at all."""
    return "".join(
        c
        for c in text
        if c in "\t\n\r" or (c >= " " and not "\ud800" <= c <= "\udfff" and c not in "\ufffe\uffff")
    )


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _version() -> str:
    from importlib.metadata import version

    return version("ome-writers")
