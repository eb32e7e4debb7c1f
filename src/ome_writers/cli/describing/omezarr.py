"""Describes an OME-Zarr 0.5 from its ``zarr.json`` documents; no pixel is read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ome_writers.cli.command import CommandError
from ome_writers.cli.describing.description import Axis, Description, ImageDescription, measure

if TYPE_CHECKING:
    from pathlib import Path


def describe_zarr(path: Path) -> Description:
    """Read the documents below ``path``.

    Raises
    ------
    CommandError
        A document is missing, is no JSON, or lacks what OME-Zarr 0.5 requires.
    """
    root = _attributes(path)
    ome, ours = root.get("ome"), root.get("ome_writers", {})
    if not isinstance(ome, dict):
        raise CommandError(f"{path} is a Zarr group, but its attributes have no `ome`")
    try:
        layout, groups = _layout(path, ome)
        images = tuple(_image(path, group) for group in groups)
    except (KeyError, IndexError, TypeError) as error:
        raise CommandError(f"{path} is no valid OME-Zarr 0.5: {error} is missing") from None
    files, size = measure(file for file in path.rglob("*") if file.is_file())
    frames, status = ours.get("frames", {}), ours.get("status")
    version = ours.get("version")
    return Description(
        path=str(path),
        format=f"OME-Zarr {ome.get('version', '(version not said)')}",
        layout=layout,
        status=status,
        frames_written=None if status == "writing" else frames.get("written"),
        frames_expected=frames.get("expected"),
        written_by=f"ome-writers {version}" if version else None,
        files=files,
        bytes_on_disk=size,
        images=images,
    )


def _layout(path: Path, ome: dict[str, Any]) -> tuple[str, list[str]]:
    """Return the layout's name and the images' paths below ``path`` ("" is the root)."""
    if "multiscales" in ome:
        return "image", [""]
    if "plate" in ome:
        wells: list[str] = [well["path"] for well in ome["plate"]["wells"]]
        fields = []
        for well in wells:
            images = _attributes(path / well)["ome"]["well"]["images"]
            fields += [f"{well}/{image['path']}" for image in images]
        return "plate", fields
    if "bioformats2raw.layout" in ome:
        return "collection", list(_attributes(path / "OME")["ome"]["series"])
    raise CommandError(f"{path} is an OME-Zarr of a layout that this command does not know")


def _image(path: Path, group: str) -> ImageDescription:
    ome = _attributes(path / group)["ome"]
    multiscale = ome["multiscales"][0]
    level = multiscale["datasets"][0]
    array = _document(path / group / level["path"])
    scales: list[float | None] = [None] * len(multiscale["axes"])
    for transformation in level.get("coordinateTransformations", ()):
        if transformation["type"] == "scale":
            scales = list(transformation["scale"])
    axes = zip(multiscale["axes"], array["shape"], scales, strict=True)
    return ImageDescription(
        path=group or ".",
        name=multiscale.get("name") or group or path.name,
        axes=tuple(Axis(axis["name"], size, scale, axis.get("unit")) for axis, size, scale in axes),
        dtype=str(array["data_type"]),
        channels=tuple(
            str(channel.get("label", "")) for channel in ome.get("omero", {}).get("channels", ())
        ),
        storage=_storage(array, levels=len(multiscale["datasets"])),
    )


def _storage(array: dict[str, Any], *, levels: int) -> str:
    """Say chunks, shards and compression: ``"chunks 1x1x1x512x512, blosc"``."""
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


def _attributes(group: Path) -> dict[str, Any]:
    attributes: dict[str, Any] = _document(group).get("attributes", {})
    return attributes


def _document(node: Path) -> dict[str, Any]:
    path = node / "zarr.json"
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise CommandError(f"{path} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise CommandError(f"{path} is not a Zarr v3 document")
    return content
