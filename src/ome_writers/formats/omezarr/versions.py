"""The ``ome`` attributes of a group in OME-Zarr 0.5 and 0.6, translated into each other.

0.6 (RFC-5, https://ngff.openmicroscopy.org/rfc/5/) moves the axes of an image into named coordinate systems, gives each
level exactly one transformation with input and output, and drops the versions inside of multiscales, plates and wells.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from ome_writers.dataset import Reduction
from ome_writers.formats.omezarr.layout import compose
from ome_writers.formats.omezarr.ngff import as_transformations, level_entry, pyramid_fields
from ome_writers.settings import Position

Json = dict[str, Any]

VERSIONS = ("0.5", "0.6")
_INTRINSIC = "physical"
_STAGE = "stage"


def at_version(ome: Json, version: str) -> Json:
    """Return the ``ome`` attributes of any group as another version has them.

    Raises UnsupportedError if a level has a transformation other than scales and translations.
    """
    found = copy.deepcopy(ome)
    found["version"] = version
    for key in ("plate", "well"):
        if key in found:
            found[key] = _with_version(found[key], version)
    if isinstance(look := found.get("image-label"), dict) and "version" in look:
        look["version"] = version  # optional there
    if "multiscales" in found:
        translate = _to_06 if version == "0.6" else _to_05
        found["multiscales"] = [translate(each) for each in found["multiscales"]]
    if version == "0.5":
        found.pop("scene", None)
    return found


def scene(
    stages: Sequence[Position | None], groups: Sequence[str], attributes: Mapping[str, Json]
) -> Json:
    """Return the 0.6 scene of a collection: its images in the coordinate system of the stage; empty without positions.

    The translation of each image's levels contains the stage position already, so that readers without scenes place
    the images, too.
    """
    if all(stage is None or stage.x_coord is stage.y_coord is None for stage in stages):
        return {}
    (system,) = attributes[groups[0]]["ome"]["multiscales"][0]["coordinateSystems"]
    transformations = [
        {
            "type": "identity",
            "input": {"path": group, "name": system["name"]},
            "output": {"name": _STAGE},
        }
        for group in groups
    ]
    systems = [{"name": _STAGE, "axes": system["axes"]}]
    return {"scene": {"coordinateSystems": systems, "coordinateTransformations": transformations}}


def with_levels(ome: Json, reductions: Sequence[Reduction]) -> Json:
    """Return the ``ome`` attributes of an image of any version with its full resolution and these levels."""
    found = copy.deepcopy(ome)
    multiscale = found["multiscales"][0]
    full = multiscale["datasets"][0]
    own = full.get("coordinateTransformations") or []
    axes = len(reductions[0].factors)
    scale, translation = compose(own, axes, full["path"])
    for k, reduction in enumerate(reductions, start=1):
        entry = level_entry(k, reduction.scale(scale), reduction.translation(translation, scale))
        if "coordinateSystems" in multiscale:
            entry = _level_06(entry, axes, own[0]["output"])
        multiscale["datasets"].append(entry)
    multiscale.update(pyramid_fields(reductions))
    return found


def _with_version(model: Json, version: str) -> Json:
    rest = {key: value for key, value in model.items() if key != "version"}
    return {"version": version, **rest} if version == "0.5" else rest


def _to_06(multiscale: Json) -> Json:
    if "coordinateSystems" in multiscale:
        return multiscale
    axes = multiscale["axes"]
    common = multiscale.get("coordinateTransformations") or ()
    found: Json = {}
    for key, value in multiscale.items():
        if key == "axes":
            found["coordinateSystems"] = [
                {"name": _INTRINSIC, "axes": [_axis_06(axis) for axis in axes]}
            ]
        elif key == "datasets":
            found["datasets"] = [
                _level_06(level, len(axes), {"name": _INTRINSIC}, common) for level in value
            ]
        elif key not in ("version", "coordinateTransformations"):
            found[key] = value
    return found


def _axis_06(axis: Json) -> Json:
    return {**axis, "discrete": axis.get("type") == "channel"}


def _level_06(level: Json, axes: int, output: Json, common: Sequence[Json] = ()) -> Json:
    """Return a level of 0.5 as 0.6 has it: one transformation to the system `output`, which includes `common`."""
    own = level.get("coordinateTransformations") or ()
    scale, translation = compose((*own, *common), axes, level["path"])
    first, *others = steps = as_transformations(scale, translation)
    one = {"type": "sequence", "transformations": steps} if others else first
    ends = {"input": {"path": level["path"]}, "output": output}
    return {**level, "coordinateTransformations": [{**one, **ends}]}


def _to_05(multiscale: Json) -> Json:
    if "axes" in multiscale:
        return multiscale
    output = multiscale["datasets"][0]["coordinateTransformations"][0]["output"]["name"]
    systems = {system["name"]: system for system in multiscale["coordinateSystems"]}
    axes = systems[output]["axes"]
    found: Json = {}
    for key, value in multiscale.items():
        if key == "coordinateSystems":
            found["axes"] = [{k: v for k, v in axis.items() if k != "discrete"} for axis in axes]
        elif key == "datasets":
            found["datasets"] = [_level_05(level, len(axes)) for level in value]
        elif (
            key != "coordinateTransformations"
        ):  # to further coordinate systems, which 0.5 does not have
            found[key] = value
    return found


def _level_05(level: Json, axes: int) -> Json:
    scale, translation = compose(level["coordinateTransformations"], axes, level["path"])
    return {**level, "coordinateTransformations": as_transformations(scale, translation)}
