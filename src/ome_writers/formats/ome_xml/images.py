"""The OME-XML elements Image, Pixels, Channel and TiffData."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ome_writers.dataset import ImageSpec
from ome_writers.formats.ome_xml.instrument import significant_bits
from ome_writers.formats.ome_xml.text import attribute, escape_text, quote_attribute
from ome_writers.routing import Plan
from ome_writers.settings import PIXEL_TYPES, Channel, Dimension
from ome_writers.units import ome_symbol

if TYPE_CHECKING:
    from ome_writers.formats.ome_xml.instrument import InstrumentXml
    from ome_writers.formats.ome_xml.planes import RenderedPlanes


ACQUISITION_ORDER = "Acquisition order, slowest axis first: "
"""Begin of the last line of an image's description; the axes and a period follow."""


@dataclass(frozen=True)
class IfdRuns:
    """The IFDs of an image's planes."""

    # (first plane, first IFD, number of planes) of consecutive IFDs; planes are counted in storage order
    runs: Sequence[tuple[int, int, int]]
    # name and UUID of the file; None for the file that contains the document
    file: str | None = None
    uuid: str | None = None
    # whether to write a TiffData element per plane; some readers of sets (viv) require it
    one_element_per_plane: bool = False

    def pages(self) -> list[int]:
        """Return the IFD of each plane, in the order of `runs`."""
        return [ifd + i for _, ifd, count in self.runs for i in range(count)]


def axis_letters(image: ImageSpec) -> dict[str, int]:
    """Map T, C and Z to storage axes; an axis of another type gets a free letter."""
    kinds = {"time": "T", "channel": "C", "space": "Z"}
    axes: dict[str, int] = {}
    others = []
    for i, dim in enumerate(image.levels[0].dimensions[:-2]):
        letter = kinds.get(dim.type or "")
        if letter is None or letter in axes:
            others.append(i)
        else:
            axes[letter] = i
    for i in others:
        axes[next(c for c in "CTZ" if c not in axes)] = i
    return axes


def dimension_order(image: ImageSpec) -> str:
    """Return OME's DimensionOrder, fastest axis first: the storage order, but with a growing axis as slowest."""
    axes = axis_letters(image)
    slow_first = sorted(axes, key=lambda c: (axes[c] != image.array.growing, axes[c]))
    missing = [c for c in "TCZ" if c not in axes]
    return "XY" + "".join(reversed([*missing, *slow_first]))


@dataclass(frozen=True)
class _Template:
    """Text that images of the same axes, array and shape share; there may be thousands of them."""

    # the Pixels element up to its first TiffData; to be joined with the image number
    pixels: list[str]
    tiff_data: list[str]  # the TiffData elements; to be joined with the end of each element


def images(
    plan: Plan,
    shapes: Sequence[Sequence[int]],
    *,
    began: str,
    instrument: InstrumentXml,
    pages: Sequence[IfdRuns] | None,
    planes: Mapping[int, RenderedPlanes],
) -> Iterator[bytes]:
    """Yield the Image elements; image `n` has an array of ``shapes[n]``."""
    templates: dict[tuple[object, ...], _Template] = {}
    begin = f"<AcquisitionDate>{began}</AcquisitionDate>"
    order = ", ".join(d.name for d in plan.settings.dimensions[:-2])
    if order:
        description = escape_text(f"{ACQUISITION_ORDER}{order}.")
        begin += f"<Description>{description}</Description>"
    begin += instrument.references
    default_name = _stem(plan)
    for image in plan.images:
        number, shape = image.number, shapes[image.number]
        of_image = None if pages is None else pages[number]
        key = (
            image.array.storage,
            id(image.dimensions),
            image.camera,
            tuple(shape),
            of_image and (tuple(of_image.runs), of_image.one_element_per_plane),
        )
        template = templates.get(key)
        if template is None:
            template = templates[key] = _template(image, shape, instrument, of_image)
        name = quote_attribute(image.name or default_name)
        label = (
            "" if image.position is None else f"<StageLabel Name={name}{stage_attributes(image)}/>"
        )
        pixels = str(number).join(template.pixels)
        tiff_data = _tiff_data_end(of_image).join(template.tiff_data)
        yield f'<Image ID="Image:{number}" Name={name}>{begin}{label}{pixels}{tiff_data}'.encode()
        if number in planes:
            yield planes[number].elements
        yield b"</Pixels></Image>"


def _template(
    image: ImageSpec, shape: Sequence[int], instrument: InstrumentXml, pages: IfdRuns | None
) -> _Template:
    axes = axis_letters(image)
    sizes = {c: shape[axes[c]] if c in axes else 1 for c in "TCZ"}
    text = [f'" DimensionOrder="{dimension_order(image)}"']
    text.append(f' Type="{PIXEL_TYPES.get(image.array.dtype, "uint16")}"')
    dtype = image.array.numpy_dtype
    if dtype.kind in "ui":
        bits = significant_bits(image, instrument.instrument) or dtype.itemsize * 8
        text.append(f' SignificantBits="{bits}"')
    if image.samples > 1:
        text.append(' Interleaved="true"')
    text.append(f' BigEndian="false" SizeX="{shape[-1]}" SizeY="{shape[-2]}" SizeZ="{sizes["Z"]}"')
    text.append(f' SizeC="{sizes["C"] * image.samples}" SizeT="{sizes["T"]}"')
    text.extend(_physical_sizes(image.dimensions, axes))
    text.append(">")
    pixels = ['<Pixels ID="Pixels:', "".join(text)]
    for channel in _channels(image, axes, sizes["C"], instrument):
        pixels[-1] += '<Channel ID="Channel:'
        pixels.append(channel)
    return _Template(pixels, list(_tiff_data(image, shape, pages)))


def _stem(plan: Plan) -> str:
    """Return the default name of an image: the output's name without suffix."""
    name = Path(plan.settings.output_path).name
    return name.split(".ome.")[0].removesuffix(".tiff").removesuffix(".tif") or "Image"


def _physical_sizes(dimensions: Sequence[Dimension], axes: Mapping[str, int]) -> Iterator[str]:
    space = [("X", dimensions[-1]), ("Y", dimensions[-2])]
    if "Z" in axes and dimensions[axes["Z"]].type == "space":
        space.append(("Z", dimensions[axes["Z"]]))
    for letter, dim in space:
        unit = ome_symbol(dim.unit or "micrometer") or "µm"
        yield attribute(f"PhysicalSize{letter}", dim.scale or None, unit)
    if "T" in axes and dimensions[axes["T"]].type == "time":
        dim = dimensions[axes["T"]]
        unit = ome_symbol(dim.unit or "second") or "s"
        yield attribute("TimeIncrement", dim.scale or None, unit)


def _channels(
    image: ImageSpec, axes: Mapping[str, int], count: int, instrument: InstrumentXml
) -> Iterator[str]:
    """Yield the Channel elements, each beginning after the image number in its ID."""
    coords = (image.dimensions[axes["C"]].coords or ()) if "C" in axes else ()
    for i in range(count):
        coord = coords[i] if i < len(coords) else None
        element = f':{i}" SamplesPerPixel="{image.samples}"'
        if coord is not None:
            element += f" Name={quote_attribute(str(getattr(coord, 'name', coord)))}"
        channel = coord if isinstance(coord, Channel) else None
        if channel is not None:
            element += _optics(channel)
        settings = instrument.detector_settings(image, channel)
        yield f"{element}>{settings}</Channel>" if settings else element + "/>"


def _optics(channel: Channel) -> str:
    return (
        attribute("Fluor", channel.fluorophore)
        + attribute("ExcitationWavelength", channel.excitation_wavelength_nm or None, "nm")
        + attribute("EmissionWavelength", channel.emission_wavelength_nm or None, "nm")
        + attribute("Color", ome_color(channel))
    )


def ome_color(channel: Channel) -> int | None:
    """Return the display color as signed 32-bit RGBA; None if it is unknown."""
    color = channel.display_color
    if color is None:
        return None
    red, green, blue, *alpha = color.as_rgb_tuple(alpha=True)
    value = red << 24 | green << 16 | blue << 8 | round(float(alpha[0] if alpha else 1) * 255)
    return value - 2**32 if value >= 2**31 else value


def _tiff_data_end(pages: IfdRuns | None) -> str:
    """Return the end of a TiffData element, with the UUID element of a set."""
    if pages is None or pages.file is None:
        return "/>"
    return f"><UUID FileName={quote_attribute(pages.file)}>{pages.uuid}</UUID></TiffData>"


def _tiff_data(image: ImageSpec, shape: Sequence[int], pages: IfdRuns | None) -> Iterator[str]:
    """Yield the TiffData elements without their ends, and an empty piece to join with the last end."""
    if pages is None:
        yield "<MetadataOnly/>"
        return
    axes = axis_letters(image)
    order = dimension_order(image)[:1:-1]  # slowest first
    extents = [shape[axes[c]] if c in axes else 1 for c in order]
    for plane, ifd, count in pages.runs:
        for at in range(count) if pages.one_element_per_plane else (0,):
            first = _unravel(plane + at, extents)
            starts = "".join(f' First{c}="{i}"' for c, i in zip(order, first, strict=True))
            planes = 1 if pages.one_element_per_plane else count
            yield f'<TiffData IFD="{ifd + at}"{starts} PlaneCount="{planes}"'
    yield ""


def _unravel(number: int, extents: Sequence[int]) -> list[int]:
    steps = [math.prod(extents[i + 1 :]) for i in range(len(extents))]
    return [number // step % extent for step, extent in zip(steps, extents, strict=True)]


def stage_attributes(image: ImageSpec, axes: str = "XYZ", *, prefix: str = "") -> str:
    """Return the attributes of the stage position of an image."""
    coords = ((f"{prefix}{c}", getattr(image.position, f"{c.lower()}_coord", None)) for c in axes)
    return "".join(attribute(name, value, "µm") for name, value in coords)
