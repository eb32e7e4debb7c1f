"""Pixel sizes, z steps, time intervals and stage positions in an OME-Zarr image and its derived images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ome_writers.dataset import ImageSpec
from ome_writers.formats.omezarr.labels import FOLDERS, names_in
from ome_writers.formats.omezarr.layout import compose, join_key
from ome_writers.formats.omezarr.ngff import as_transformations
from ome_writers.formats.omezarr.node_metadata import check_expressible_in_05
from ome_writers.formats.omezarr.stored_groups import StoredGroups
from ome_writers.formats.omezarr.versions import at_version
from ome_writers.formats.settings_edit import UNITS, Changes, edit_settings, unit_factor

Json = dict[str, Any]


def edit_derived(
    groups: StoredGroups,
    image: str,
    changes: Changes,
    old: Mapping[str, float],
    shift: Mapping[str, float],
) -> None:
    """Change the steps of the labels and other derived images of an image, and move them with the image."""
    keys = []
    for kind, folder in FOLDERS.items():
        group = join_key(image, folder)
        if groups.file(group).is_file():
            keys += [f"{group}/{name}" for name in names_in(groups.attributes(group), kind)]
    for key in keys:
        file = groups.file(key)
        if not file.is_file():
            continue
        ome = groups.attributes(key)["ome"]
        check_expressible_in_05(ome, file)
        changed = at_version(ome, "0.5")
        for multiscale in changed["multiscales"]:
            unknown = [axis for axis in multiscale["axes"] if "unit" not in axis]
            # labels without a translation do not contain the offset of the stack either
            placed = any(steps_of(multiscale, "translation").values())
            rescale(multiscale, changes.scale, old, changes.z_shift if placed else 0.0)
            move(multiscale, shift)
            for axis in unknown:
                axis.pop("unit", None)
        groups.attributes(key)["ome"] = at_version(changed, ome["version"])
        steps = replace(changes, positions={}, channels={}, description=None, started=None)
        edit_settings(groups.attributes(key).get("ome_writers"), steps)


def steps_of(multiscale: Json, what: str = "scale") -> dict[str, float]:
    """Return the step (or ``"translation"``) of each axis that can be edited, at full resolution, in standard units."""
    axes, level = multiscale["axes"], multiscale["datasets"][0]
    common = multiscale.get("coordinateTransformations", ())
    found = compose((*level["coordinateTransformations"], *common), len(axes), level["path"])
    values = found[what == "translation"]
    return {
        axis["name"]: value * unit_factor(axis["name"], axis.get("unit"))
        for axis, value in zip(axes, values, strict=True)
        if axis["name"] in UNITS
    }


def rescale(
    multiscale: Json, steps: Mapping[str, float], old: Mapping[str, float], z_shift: float
) -> None:
    """Change the `old` steps of an image to `steps`, in the multiscale of the image or of its labels.

    Its first plane along z moves by `z_shift` micrometers.
    """
    if not steps:
        return
    axes = multiscale["axes"]
    common = multiscale.pop("coordinateTransformations", ())
    factors = [
        unit_factor(axis["name"], axis.get("unit")) if axis["name"] in steps else 1.0
        for axis in axes
    ]
    ratios = [
        steps[axis["name"]] / old[axis["name"]] * factor if axis["name"] in steps else 1.0
        for axis, factor in zip(axes, factors, strict=True)
    ]
    origin: list[float] = []
    for level in multiscale["datasets"]:
        transformations = (*level["coordinateTransformations"], *common)
        scale, translation = compose(transformations, len(axes), level["path"])
        origin = origin or translation
        scale = [s * ratio for s, ratio in zip(scale, ratios, strict=True)]
        moved = [
            o * u + (t - o) * r + (z_shift if axis["name"] == "z" else 0.0)
            for axis, o, u, t, r in zip(axes, origin, factors, translation, ratios, strict=True)
        ]
        level["coordinateTransformations"] = as_transformations(scale, moved)
    for axis in axes:
        if axis["name"] in steps:
            axis["unit"] = UNITS[axis["name"]][0]


def stage_shift(
    multiscale: Json, image: ImageSpec, changes: Changes, number: int
) -> dict[str, float]:
    """Return by how much an image moves along each axis to be at its new stage position, in micrometers."""
    present = steps_of(multiscale, "translation")
    offsets = dict.fromkeys(present, 0.0)
    if image.position is not None:  # otherwise the translation contains no other offset
        level = image.levels[0]
        for axis, offset in zip(image.axes, level.translation, strict=True):
            offsets[axis.name] = offset * unit_factor(axis.name, axis.unit)
        offsets["z"] = offsets.get("z", 0.0) + changes.z_shift
    stage = changes.positions.get(number, {})
    return {a: value + offsets[a] - present[a] for a, value in stage.items() if a in present}


def move(multiscale: Json, shift: Mapping[str, float]) -> None:
    """Move a multiscale, by micrometers along each axis."""
    if not any(shift.values()):
        return
    axes = multiscale["axes"]
    common = multiscale.pop("coordinateTransformations", ())
    for level in multiscale["datasets"]:
        transformations = (*level["coordinateTransformations"], *common)
        scale, translation = compose(transformations, len(axes), level["path"])
        moved = [
            t + shift.get(axis["name"], 0.0) / unit_factor(axis["name"], axis.get("unit"))
            for axis, t in zip(axes, translation, strict=True)
        ]
        level["coordinateTransformations"] = as_transformations(scale, moved)
