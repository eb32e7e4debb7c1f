"""Image, Pixels, Channel and TiffData."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ome_writers.formats.ome_xml.text import escape_text, quote_attribute
from ome_writers.settings import PIXEL_TYPES, Channel
from ome_writers.units import ome_symbol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ome_writers.formats.ome_xml.planes import RenderedPlanes
    from ome_writers.routing import ImagePlan, Plan
    from ome_writers.settings import Dimension

__all__ = ["IfdRuns", "axis_letters", "cameras", "dimension_order", "images"]


@dataclass(frozen=True)
class IfdRuns:
    """In which directories of which file an image's planes lie.

    Attributes
    ----------
    runs
        (first plane, first directory, planes) of directories side by side, planes counted in storage order.
    file, uuid
        Name and UUID of the file; None for the file that the document is in.
    each
        Whether every plane gets an element of its own: some readers of sets (viv) take nothing else.
    """

    runs: Sequence[tuple[int, int, int]]
    file: str | None = None
    uuid: str | None = None
    each: bool = False


def axis_letters(plan: ImagePlan) -> dict[str, int]:
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
    """Return OME's DimensionOrder, fastest axis first: the storage order, a growing axis being the slowest."""
    found = axis_letters(plan)
    slow_first = sorted(found, key=lambda c: (found[c] != plan.array.growing, found[c]))
    missing = [c for c in "TCZ" if c not in found]
    return "XY" + "".join(reversed([*missing, *slow_first]))


def cameras(plan: Plan) -> dict[str, str]:
    """Return the cameras that the channels name, each with its Detector's ID."""
    channels = [c for i in plan.images for d in i.array.dimensions for c in d.coords or ()]
    names = dict.fromkeys(c.camera for c in channels if isinstance(c, Channel) and c.camera)
    return {str(name): f"Detector:0:{i}" for i, name in enumerate(names)}


@dataclass(frozen=True)
class _Alike:
    """What images of one array plan and shape have in common: there may be thousands of them.

    Attributes
    ----------
    pixels
        Pixels up to its first TiffData, the pieces between which the image's number stands.
    tiff_data
        Where its planes lie, the pieces between which the end of each element stands.
    """

    pixels: list[str]
    tiff_data: list[str]


def images(
    plan: Plan,
    shapes: Sequence[Sequence[int]],
    *,
    began: str,
    detectors: Mapping[str, str],
    pages: Sequence[IfdRuns] | None,
    planes: Mapping[int, RenderedPlanes],
) -> Iterator[bytes]:
    """Yield the Image elements; image `n` has an array of ``shapes[n]``."""
    known: dict[tuple[object, ...], _Alike] = {}
    begin = f"<AcquisitionDate>{began}</AcquisitionDate>"
    order = ", ".join(d.name for d in plan.settings.dimensions[:-2])
    if order:
        described = escape_text(f"Acquisition order, slowest axis first: {order}.")
        begin += f"<Description>{described}</Description>"
    if detectors:
        begin += '<InstrumentRef ID="Instrument:0"/>'
    unnamed = _stem(plan)
    for one in plan.images:
        number, shape = one.number, shapes[one.number]
        its = None if pages is None else pages[number]
        key = (id(one.array), tuple(shape), its and (tuple(its.runs), its.each))
        alike = known.get(key)
        if alike is None:
            alike = known[key] = _alike(one, shape, detectors, its)
        name = quote_attribute(one.name or unnamed)
        label = "" if one.position is None else f"<StageLabel Name={name}{_stage(one)}/>"
        pixels = str(number).join(alike.pixels)
        places = _end(its).join(alike.tiff_data)
        yield f'<Image ID="Image:{number}" Name={name}>{begin}{label}{pixels}{places}'.encode()
        if number in planes:
            yield planes[number].elements
        yield b"</Pixels></Image>"


def _alike(
    one: ImagePlan, shape: Sequence[int], detectors: Mapping[str, str], pages: IfdRuns | None
) -> _Alike:
    axes = axis_letters(one)
    sizes = {c: shape[axes[c]] if c in axes else 1 for c in "TCZ"}
    text = [f'" DimensionOrder="{dimension_order(one)}"']
    text.append(f' Type="{PIXEL_TYPES.get(one.array.dtype.name, "uint16")}"')
    if one.array.dtype.kind in "ui":
        text.append(f' SignificantBits="{one.array.dtype.itemsize * 8}"')
    if one.array.samples > 1:
        text.append(' Interleaved="true"')
    text.append(f' BigEndian="false" SizeX="{shape[-1]}" SizeY="{shape[-2]}" SizeZ="{sizes["Z"]}"')
    text.append(f' SizeC="{sizes["C"] * one.array.samples}" SizeT="{sizes["T"]}"')
    text.extend(_physical_sizes(one.array.dimensions, axes))
    text.append(">")
    pixels = ['<Pixels ID="Pixels:', "".join(text)]
    for channel in _channels(one, axes, sizes["C"], detectors):
        pixels[-1] += '<Channel ID="Channel:'
        pixels.append(channel)
    return _Alike(pixels, list(_tiff_data(one, shape, pages)))


def _stem(plan: Plan) -> str:
    """Return what an image is called that has no name: its file's name."""
    name = Path(plan.settings.output_path).name
    return name.split(".ome.")[0].removesuffix(".tiff").removesuffix(".tif") or "Image"


def _physical_sizes(dimensions: Sequence[Dimension], axes: Mapping[str, int]) -> Iterator[str]:
    space = [("X", dimensions[-1]), ("Y", dimensions[-2])]
    if "Z" in axes and dimensions[axes["Z"]].type == "space":
        space.append(("Z", dimensions[axes["Z"]]))
    for letter, dim in space:
        if dim.scale:
            unit = ome_symbol(dim.unit or "micrometer") or "µm"
            yield f' PhysicalSize{letter}="{dim.scale!r}" PhysicalSize{letter}Unit={quote_attribute(unit)}'
    if "T" in axes and dimensions[axes["T"]].type == "time" and dimensions[axes["T"]].scale:
        dim = dimensions[axes["T"]]
        unit = ome_symbol(dim.unit or "second") or "s"
        yield f' TimeIncrement="{dim.scale!r}" TimeIncrementUnit={quote_attribute(unit)}'


def _channels(
    plan: ImagePlan, axes: Mapping[str, int], count: int, detectors: Mapping[str, str]
) -> Iterator[str]:
    """Yield the Channel elements, each from what follows the image's number in its ID."""
    coords = (plan.array.dimensions[axes["C"]].coords or ()) if "C" in axes else ()
    for i in range(count):
        coord = coords[i] if i < len(coords) else None
        element = f':{i}" SamplesPerPixel="{plan.array.samples}"'
        if coord is not None:
            element += f" Name={quote_attribute(str(getattr(coord, 'name', coord)))}"
        if not isinstance(coord, Channel):
            yield element + "/>"
            continue
        if coord.fluorophore:
            element += f" Fluor={quote_attribute(coord.fluorophore)}"
        for word, length in (
            ("Excitation", coord.excitation_wavelength_nm),
            ("Emission", coord.emission_wavelength_nm),
        ):
            if length:
                element += f' {word}Wavelength="{length}" {word}WavelengthUnit="nm"'
        if coord.color is not None:
            element += f' Color="{_color(coord)}"'
        if coord.camera:
            yield f'{element}><DetectorSettings ID="{detectors[coord.camera]}"/></Channel>'
        else:
            yield element + "/>"


def _color(channel: Channel) -> int:
    """Return a colour as OME's signed 32-bit RGBA."""
    assert channel.color is not None
    red, green, blue, *alpha = channel.color.as_rgb_tuple(alpha=True)
    value = red << 24 | green << 16 | blue << 8 | round(float(alpha[0] if alpha else 1) * 255)
    return value - 2**32 if value >= 2**31 else value


def _end(pages: IfdRuns | None) -> str:
    """Return how each TiffData element ends: with the file, where it is another one."""
    if pages is None or pages.file is None:
        return "/>"
    return f"><UUID FileName={quote_attribute(pages.file)}>{pages.uuid}</UUID></TiffData>"


def _tiff_data(plan: ImagePlan, shape: Sequence[int], pages: IfdRuns | None) -> Iterator[str]:
    """Yield the pieces of the TiffData elements between their ends."""
    if pages is None:
        yield "<MetadataOnly/>"
        return
    axes = axis_letters(plan)
    order = dimension_order(plan)[:1:-1]  # slowest first
    extents = [shape[axes[c]] if c in axes else 1 for c in order]
    for plane, ifd, count in pages.runs:
        for at in range(count) if pages.each else (0,):
            first = _unravel(plane + at, extents)
            starts = "".join(f' First{c}="{i}"' for c, i in zip(order, first, strict=True))
            planes = 1 if pages.each else count
            yield f'<TiffData IFD="{ifd + at}"{starts} PlaneCount="{planes}"'
    yield ""


def _unravel(number: int, extents: Sequence[int]) -> list[int]:
    steps = [math.prod(extents[i + 1 :]) for i in range(len(extents))]
    return [number // step % extent for step, extent in zip(steps, extents, strict=True)]


def _stage(plan: ImagePlan) -> str:
    coords = [(c, getattr(plan.position, f"{c.lower()}_coord")) for c in "XYZ"]
    return "".join(f' {c}="{v!r}" {c}Unit="µm"' for c, v in coords if v is not None)
