"""Reading of OME-Zarr group metadata: image groups, attributes, transformations, and the stored settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from ome_writers.errors import InvalidFileError, UnsupportedError
from ome_writers.untrusted import check_distinct, member, read_json_object

KEYS_04 = ("multiscales", "omero", "plate", "well", "bioformats2raw.layout", "series", "labels")


def image_groups(root: Path) -> list[str]:
    """Return the paths of all image groups below `root`, in acquisition order; ``""`` is `root` itself.

    Raises UnsupportedError if `root` is not an OME-Zarr, or a path in its metadata is outside `root`.
    """
    return layout_and_groups(root)[1]


def layout_and_groups(
    root: Path, ome: dict[str, Any] | None = None
) -> tuple[Literal["image", "plate", "collection"], list[str]]:
    """Return the layout of an OME-Zarr, and its image groups; see `image_groups`. `ome` is that of `root`, if known."""
    ome = _ome(root, root) if ome is None else ome
    if "multiscales" in ome:
        return "image", [""]
    try:
        if "plate" in ome:
            wells = [well["path"] for well in ome["plate"]["wells"]]
            check_distinct(wells, f"{root}: the list of wells")
            return "plate", _checked(root, [path for w in wells for path in well_fields(root, w)])
        if "bioformats2raw.layout" in ome:
            return "collection", _checked(root, _ome(root / "OME", root)["series"])
    except KeyError as error:
        raise InvalidFileError(f"{root} is not a valid OME-Zarr: {error} is missing.") from error
    except (TypeError, AttributeError) as error:
        raise InvalidFileError(f"{root} is not a valid OME-Zarr: {error}.") from error
    raise UnsupportedError(
        f"{root} is not an OME-Zarr image, collection or plate: its group metadata contains none of the keys "
        f"multiscales, bioformats2raw.layout and plate."
    )


def well_fields(root: Path, well: str) -> list[str]:
    """Return the paths of the images in the metadata of a well.

    Raises KeyError, TypeError if the group metadata is missing or is not that of a well; InvalidFileError if a path is
    outside `root`.
    """
    images = _ome(member(root, well), root)["well"]["images"]
    return _checked(root, [f"{well}/{image['path']}" for image in images])


def group_attributes(group: Path, root: Path | None = None) -> dict[str, Any]:
    """Return the attributes of a group; empty if it does not have any; see `read_json_object`."""
    content = read_json_object(group / "zarr.json", root or group)
    if not content and (old := read_json_object(group / ".zattrs", root or group)):
        return _as_05(old, group)
    attributes = content.get("attributes")
    return attributes if isinstance(attributes, dict) else {}


def _as_05(old: dict[str, Any], group: Path) -> dict[str, Any]:
    """Return the ``.zattrs`` of an OME-Zarr 0.4, whose keys are beside each other, as 0.5 nests them in ``ome``."""
    multiscales = old.get("multiscales")
    models = multiscales if isinstance(multiscales, list) else []
    models = [*models, old.get("plate"), old.get("well")]
    versions = {str(model.get("version", "0.4")) for model in models if isinstance(model, dict)}
    if versions - {"0.4"}:
        raise UnsupportedError(
            f"{group} is an OME-Zarr {'/'.join(sorted(versions))} in Zarr v2; of Zarr v2, only 0.4 is read."
        )
    ome = {key: value for key, value in old.items() if key in KEYS_04}
    rest = {k: v for k, v in old.items() if k not in (*KEYS_04, "ome")}
    own = rest.pop("ome_writers", None)
    if isinstance(own, dict):  # the copy of a dataset of this library
        rest["ome_writers"] = {k: v for k, v in own.items() if k != "settings"}
    return {**rest, "ome": {"version": "0.4", **ome}}


def ome_writers_attributes(group: Path, root: Path | None = None) -> dict[str, Any]:
    """Return ``attributes.ome_writers`` of a group; empty if it does not exist."""
    own = group_attributes(group, root).get("ome_writers")
    return own if isinstance(own, dict) else {}


def read_settings(root: Path) -> dict[str, Any] | None:
    """Return the settings that this library stored in an OME-Zarr; None without settings of an OME-Zarr."""
    settings = ome_writers_attributes(root).get("settings")
    format_ = settings.get("format") if isinstance(settings, dict) else None
    is_own = isinstance(format_, dict) and format_.get("name") == "ome-zarr"
    return settings if is_own else None


def _ome(group: Path, root: Path) -> dict[str, Any]:
    ome = group_attributes(group, root).get("ome", {})
    return ome if isinstance(ome, dict) else {}


def _checked(root: Path, groups: Any) -> list[str]:
    """Return the paths of image groups; refuse duplicates, too many, and paths outside `root`."""
    if not isinstance(groups, list):
        raise InvalidFileError(
            f"{root}: the list of images in its metadata must be a JSON array, got "
            f"{type(groups).__name__}."
        )
    check_distinct(groups, f"{root}: the list of images")
    for group in groups:
        member(root, group)
    return groups


def compose(
    transformations: Sequence[dict[str, Any]], axes: int, name: str
) -> tuple[list[float], list[float]]:
    """Return scale and translation of transformations that are applied one after the other.

    Raises UnsupportedError if one is not an identity, a scale, a translation or a sequence of these.
    """
    scale, translation = [1.0] * axes, [0.0] * axes
    for each in transformations:
        kind = each.get("type")
        if kind == "scale":
            factors = [float(factor) for factor in each["scale"]]
            scale = [a * b for a, b in zip(scale, factors, strict=True)]
            translation = [a * b for a, b in zip(translation, factors, strict=True)]
        elif kind == "translation":
            offsets = [float(offset) for offset in each["translation"]]
            translation = [a + b for a, b in zip(translation, offsets, strict=True)]
        elif kind == "sequence":
            factors, offsets = compose(each["transformations"], axes, name)
            scale = [a * b for a, b in zip(scale, factors, strict=True)]
            translation = [a * b + c for a, b, c in zip(translation, factors, offsets, strict=True)]
        elif kind != "identity":
            raise UnsupportedError(
                f"{name}: coordinate transformation {kind!r}; identity, scale, translation and sequences of "
                f"these are read."
            )
    return scale, translation


def check_expressible_in_05(ome: dict[str, Any], file: Path) -> None:
    """Raise UnsupportedError if 0.5 cannot express the coordinate systems of a group."""
    own_scene = ome.get("scene")
    steps = own_scene.get("coordinateTransformations", []) if isinstance(own_scene, dict) else []
    found = [step.get("type") for step in steps if step.get("type") != "identity"]
    for multiscale in ome.get("multiscales", []):
        if "coordinateSystems" not in multiscale:
            continue
        if len(multiscale["coordinateSystems"]) > 1:
            found.append(f"{len(multiscale['coordinateSystems'])} coordinate systems")
        found += [step.get("type") for step in multiscale.get("coordinateTransformations") or ()]
    if found:
        raise UnsupportedError(
            f"{file}: OME-Zarr 0.5 cannot express its coordinate transformations ({', '.join(map(str, found))}). "
            f"Keep the dataset at 0.6, or copy the pixels with `ome-writers convert`."
        )
