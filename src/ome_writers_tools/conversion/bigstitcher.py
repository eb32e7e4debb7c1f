"""`write_bigstitcher`: the dataset XML with which BigStitcher and BigDataViewer open the positions of an OME-Zarr."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from ome_writers import (
    DatasetSpec,
    ImageSpec,
    OutputExistsError,
    SettingsError,
    UnsupportedError,
    read,
)
from ome_writers.toolkit import atomic_write, printable, si_value, split_suffix

_MICROMETER_M = 1e-6
# Attributes of the loader by format and version. Loaders without "zarr.version" read Zarr v2 only.
_LOADERS: dict[tuple[str, str], dict[str, str]] = {
    ("ome-zarr", "0.4"): {"version": "3.0"},
    ("ome-zarr", "0.5"): {"version": "3.1", "zarr.version": "ZarrV3"},
}
_SPATIAL = ("z", "y", "x")


def write_bigstitcher(path: Path, *, overwrite: bool = False) -> Path:
    """Write the dataset XML of an OME-Zarr beside it (``run.ome.zarr``: ``run.bigstitcher.xml``), and return its path.

    Each position and channel is a view setup, each time point a time point. The registration of a view is its pixel
    size and its stage position, in units of the smallest pixel size.

    Raises
    ------
    UnsupportedError
        The dataset is not an OME-Zarr, is being written, or has no axis z.
    SettingsError
        A pixel size is unknown.
    OutputExistsError
        The XML exists, which may contain registrations that BigStitcher has computed.
    """
    spec = read(path)
    _refuse_unsupported(path, spec)
    stem, _ = split_suffix(spec.path.name)
    file = spec.path.with_name(f"{stem}.bigstitcher.xml")
    if file.exists() and not overwrite:
        raise OutputExistsError(
            f"{file} exists, and may contain registrations that BigStitcher has computed. Replace it with --overwrite."
        )
    xml = _render(spec, list(_views(spec)))
    atomic_write(file, xml, durable=True)
    return file


@dataclass(frozen=True)
class _View:
    """One position in one channel: a view setup."""

    tile: int
    image: ImageSpec
    channel: int  # number of its values along the axes between t and z
    indices: tuple[int, ...]  # along these axes

    def entry(self, time: int) -> str:
        """Return the indices along the axes before z, fastest first, of a time point."""
        others = iter(self.indices)
        axes = self.image.axes[:-3]
        return " ".join([str(time if a.type == "time" else next(others)) for a in axes][::-1])


def _refuse_unsupported(path: Path, spec: DatasetSpec) -> None:
    if (spec.format, spec.version) not in _LOADERS:
        raise UnsupportedError(
            f"{path} is {spec.format} {spec.version}, and BigStitcher's loader reads OME-Zarr 0.4 and 0.5. Change the "
            f"version with `ome-writers convert {path} --ngff 0.5`. OME-TIFF needs no XML: use BigStitcher's Automatic "
            "Loader (Bio-Formats)."
        )
    if spec.status == "writing":
        raise UnsupportedError(
            f"{path} is being written, or its writer was killed. Wait until it is complete, or run "
            f"`ome-writers repair {path}`."
        )
    for image in spec.images:
        if image.dims[-3:] != _SPATIAL:
            raise UnsupportedError(
                f"{path}: image {image.name!r} has the axes {', '.join(image.dims)}, and BigStitcher takes the third "
                'axis from the end for z. Record with Dimension(name="z", count=1).'
            )


def _views(spec: DatasetSpec) -> Iterator[_View]:
    for tile, image in enumerate(spec.images):
        pairs = zip(image.axes[:-3], image.shape[:-3], strict=True)
        counts = [range(n) for axis, n in pairs if axis.type != "time"]
        for channel, indices in enumerate(product(*counts)):
            yield _View(tile, image, channel, indices)


def _times(image: ImageSpec) -> int:
    pairs = zip(image.axes, image.shape, strict=True)
    return next((n for axis, n in pairs if axis.type == "time"), 1)


def _pixel_size(path: Path, image: ImageSpec) -> tuple[float, float, float]:
    """Return the pixel size (x, y, z) in micrometers."""
    sizes = []
    for axis, scale, count in zip(
        image.axes[-3:], image.array.scale[-3:], image.shape[-3:], strict=True
    ):
        if scale is None and axis.name == "z" and count == 1:
            scale = image.array.scale[-1]
        if scale is None:
            raise SettingsError(
                f"{path}: image {image.name!r} has no pixel size along {axis.name}, which the registration of its "
                f"position needs. Set it with `ome-writers edit {path} --pixel-size`."
            )
        sizes.append(scale * si_value(axis.unit or "micrometer") / _MICROMETER_M)
    z, y, x = sizes
    return x, y, z


def _origin(image: ImageSpec) -> tuple[float, float, float]:
    """Return the coordinate (x, y, z) of the first pixel in micrometers: the stage position, and the offset in it."""
    position = image.position
    stage = (
        (None,) * 3 if position is None else (position.x_coord, position.y_coord, position.z_coord)
    )
    offsets = image.array.translation[-3:] or (0.0,) * 3
    units = [si_value(axis.unit or "micrometer") / _MICROMETER_M for axis in image.axes[-3:]]
    z, y, x = (offset * unit for offset, unit in zip(offsets, units, strict=True))
    return x + (stage[0] or 0), y + (stage[1] or 0), z + (stage[2] or 0)


def _render(spec: DatasetSpec, views: list[_View]) -> bytes:
    root = Element("SpimData", version="0.2")
    _add(root, "BasePath", ".", type="relative")
    sequence = SubElement(root, "SequenceDescription")
    loader = SubElement(
        sequence, "ImageLoader", _LOADERS[spec.format, spec.version], format="bdv.multimg.zarr"
    )
    _add(loader, "zarr", spec.path.name, type="relative")
    groups = SubElement(loader, "zgroups")
    setups = SubElement(sequence, "ViewSetups")
    times = max(_times(view.image) for view in views)
    points = SubElement(sequence, "Timepoints", type="pattern")
    _add(points, "integerpattern", f"0-{times - 1}" if times > 1 else "0")
    missing = SubElement(sequence, "MissingViews")
    registrations = SubElement(root, "ViewRegistrations")
    for number, view in enumerate(views):
        size = _pixel_size(spec.path, view.image)
        _add_setup(setups, number, view, size)
        for time in range(times):
            address = {"timepoint": str(time), "setup": str(number)}
            if time >= _times(view.image):
                SubElement(missing, "MissingView", address)
                continue
            where = {"setup": str(number), "tp": str(time), "path": view.image.key or "."}
            SubElement(groups, "zgroup", where, indicies=view.entry(time) or "[]")
            _add_registration(SubElement(registrations, "ViewRegistration", address), view, size)
    _add_attributes(setups, views)
    SubElement(root, "ViewInterestPoints")
    SubElement(root, "BoundingBoxes")
    SubElement(root, "PointSpreadFunctions")
    SubElement(root, "StitchingResults")
    SubElement(root, "IntensityAdjustments")
    indent(root)
    content: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return content


def _add_setup(setups: Element, number: int, view: _View, size: tuple[float, float, float]) -> None:
    setup = SubElement(setups, "ViewSetup")
    _add(setup, "id", number)
    _add(setup, "name", f"{_tile_name(view)} {_channel_name(view)}".strip())
    z, y, x = view.image.shape[-3:]
    _add(setup, "size", f"{x} {y} {z}")
    voxel = SubElement(setup, "voxelSize")
    _add(voxel, "unit", "µm")
    _add(voxel, "size", _numbers(size))
    attributes = SubElement(setup, "attributes")
    for kind, value in (
        ("illumination", 0),
        ("channel", view.channel),
        ("tile", view.tile),
        ("angle", 0),
    ):
        _add(attributes, kind, value)


def _add_attributes(setups: Element, views: list[_View]) -> None:
    names = {
        "illumination": {0: "0"},
        "channel": {view.channel: _channel_name(view) or str(view.channel) for view in views},
        "tile": {view.tile: _tile_name(view) for view in views},
        "angle": {0: "0"},
    }
    for kind, values in names.items():
        group = SubElement(setups, "Attributes", name=kind)
        for number, name in sorted(values.items()):
            each = SubElement(group, kind.capitalize())
            _add(each, "id", number)
            _add(each, "name", name)


def _add_registration(parent: Element, view: _View, size: tuple[float, float, float]) -> None:
    """Add the transformations of a view; the last one is applied first."""
    unit = min(size)
    x, y, z = (value / unit for value in _origin(view.image))
    a, b, c = (value / unit for value in size)
    for name, matrix in (
        ("Translation from stage position", (1.0, 0.0, 0.0, x, 0.0, 1.0, 0.0, y, 0.0, 0.0, 1.0, z)),
        ("calibration", (a, 0.0, 0.0, 0.0, 0.0, b, 0.0, 0.0, 0.0, 0.0, c, 0.0)),
    ):
        transform = SubElement(parent, "ViewTransform", type="affine")
        _add(transform, "Name", name)
        _add(transform, "affine", _numbers(matrix))


def _numbers(values: Iterable[float]) -> str:
    return " ".join(f"{value:.12g}" for value in values)


def _tile_name(view: _View) -> str:
    position = view.image.position
    return (position.name if position else "") or view.image.name or str(view.tile)


def _channel_name(view: _View) -> str:
    channels = view.image.channels
    return channels[view.channel].name if view.channel < len(channels) else ""


def _add(parent: Element, tag: str, text: str | int, **attributes: str) -> None:
    SubElement(parent, tag, attributes).text = printable(str(text))
