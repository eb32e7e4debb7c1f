"""Description of an OME-Zarr 0.5 from its ``zarr.json`` files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ome_writers.cli.description.description import Axis, Description, ImageDescription, measure
from ome_writers.errors import InvalidFileError
from ome_writers.formats.omezarr import layout_and_groups, ome_writers_attributes
from ome_writers.untrusted import check_shape, member, read_json

if TYPE_CHECKING:
    from pathlib import Path


def describe_zarr(path: Path) -> Description:
    """Describe the OME-Zarr at `path`.

    Raises
    ------
    UnsupportedError
        If a ``zarr.json`` is missing, is not JSON, or lacks metadata that OME-Zarr 0.5 requires.
    """
    root = read_json(path / "zarr.json", root=path).get("attributes")
    ome = root.get("ome") if isinstance(root, dict) else None
    if not isinstance(ome, dict):
        raise InvalidFileError(f"{path} is a Zarr group, but its attributes have no `ome`")
    layout, groups = layout_and_groups(path)
    images = tuple(_image(path, group) for group in groups)
    files, size = measure(file for file in path.rglob("*") if file.is_file())
    ours = ome_writers_attributes(path)
    frames, status, version = ours.get("frames"), ours.get("status"), ours.get("version")
    counts = frames if isinstance(frames, dict) else {}
    return Description(
        path=str(path),
        format=f"OME-Zarr {ome.get('version', '(version unknown)')}",
        layout=layout,
        status=None if status is None else str(status),
        frames_written=_count(counts.get("written")),
        frames_expected=_count(counts.get("expected")),
        written_by=f"ome-writers {version}" if version else None,
        files=files,
        bytes_on_disk=size,
        images=images,
        updated=ours.get("updated"),
    )


def _image(path: Path, group: str) -> ImageDescription:
    try:
        return _describe_image(path, group)
    except KeyError as error:
        what = f"{error} is missing"
    except (IndexError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, InvalidFileError):
            raise
        what = str(error)
    raise InvalidFileError(f"{path} is not a valid OME-Zarr 0.5: {what} in image {group or '.'}")


def _describe_image(path: Path, group: str) -> ImageDescription:
    ome = read_json(path / group / "zarr.json", root=path)["attributes"]["ome"]
    multiscale = ome["multiscales"][0]
    level = multiscale["datasets"][0]
    folder = member(path / group, level["path"])
    array = read_json(folder / "zarr.json", root=path)
    scales: list[float | None] = [None] * len(multiscale["axes"])
    for transformation in level.get("coordinateTransformations", ()):
        if transformation["type"] == "scale":
            scales = [float(step) for step in transformation["scale"]]
    shape = check_shape(array["shape"], folder, axes=len(scales))
    axes = zip(multiscale["axes"], shape, scales, strict=True)
    return ImageDescription(
        path=group or ".",
        name=str(multiscale.get("name") or group or path.name),
        axes=tuple(Axis(str(axis["name"]), size, scale, _unit(axis)) for axis, size, scale in axes),
        dtype=str(array["data_type"]),
        channels=tuple(
            str(channel.get("label", "")) for channel in ome.get("omero", {}).get("channels", ())
        ),
        storage=_storage(array, levels=len(multiscale["datasets"])),
    )


def _count(value: Any) -> int | None:
    return value if type(value) is int else None


def _unit(axis: dict[str, Any]) -> str | None:
    unit = axis.get("unit")
    return None if unit is None else str(unit)


def _storage(array: dict[str, Any], *, levels: int) -> str:
    grid = array["chunk_grid"]["configuration"]["chunk_shape"]
    codecs = array["codecs"]
    words = []
    if codecs and codecs[0]["name"] == "sharding_indexed":
        words.append(f"shards {_by(grid)}")
        grid = codecs[0]["configuration"]["chunk_shape"]
        codecs = codecs[0]["configuration"]["codecs"]
    words.append(f"chunks {_by(grid)}")
    names = [codec["name"] for codec in codecs if codec["name"] not in ("bytes", "transpose")]
    words.append(", ".join(names) or "not compressed")
    if levels > 1:
        words.append(f"{levels} resolution levels")
    return ", ".join(words)


def _by(shape: list[int]) -> str:
    return "x".join(map(str, shape))
