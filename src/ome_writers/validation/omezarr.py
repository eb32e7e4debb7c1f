"""Checks of an OME-Zarr: its metadata, its frame metadata, and the chunks that its stored settings imply."""

from __future__ import annotations

import math
import os
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ome_writers.errors import InvalidFileError, UnsupportedError
from ome_writers.formats import JOURNAL_NAME, latest_entries
from ome_writers.formats.omezarr import (
    group_attributes,
    image_groups,
    layout_and_groups,
    ome_writers_attributes,
    read_json_object,
)
from ome_writers.settings import find_engine
from ome_writers.storage.zarr import ArraySurvey
from ome_writers.untrusted import guard_reader, member, read_json, read_lines
from ome_writers.validation.report import Check, Finding
from ome_writers.validation.validators import run_ome_zarr_models, run_yaozarrs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ome_writers.routing import Plan

_METADATA_FILES = {"zarr.json", ".zattrs", ".zgroup", ".zarray", ".zmetadata"}
_MAX_FINDINGS = 10_000
_STATUSES = ("writing", "complete", "cancelled", "failed")


def checks(root: Path) -> Iterator[Check]:
    """Yield all checks of an OME-Zarr."""
    unreadable = tuple(islice(_unreadable_files(root), _MAX_FINDINGS))
    try:
        groups = image_groups(root)
    except UnsupportedError as error:
        # an unreadable file is the more specific reason
        yield Check("documents", unreadable or (Finding(root, str(error), solved=False),))
        return
    yield Check("documents", (*unreadable, *_collect(root, _metadata(root, groups))))
    yield Check("frame metadata", _collect(root, _frame_metadata(root, groups)))
    yield _pixels(root, groups)
    if unreadable:
        for library in ("yaozarrs", "ome-zarr-models"):
            yield Check(library, skipped="metadata cannot be read")
        return
    yield run_yaozarrs(root)
    # ome-zarr-models 1.7 supports neither collections of 0.5 nor fields of a grid (name_row_column): check each image
    collection = layout_and_groups(root)[0] == "collection"
    whole = not collection and all(group.replace("/", "").isalnum() for group in groups if group)
    yield run_ome_zarr_models(root, [""] if whole else groups)


def _collect(root: Path, findings: Iterator[Finding]) -> tuple[Finding, ...]:
    """Return the first findings; an error that ends the iteration is the last one."""
    collected: list[Finding] = []
    try:
        with guard_reader(root):
            collected.extend(islice(findings, _MAX_FINDINGS))
    except (UnsupportedError, OSError) as error:
        collected.append(Finding(root, str(error), solved=False))
    return tuple(collected)


def _metadata(root: Path, groups: list[str]) -> Iterator[Finding]:
    """Yield inconsistencies of group and array metadata."""
    attributes = ome_writers_attributes(root)
    is_root = (
        "settings" in attributes or "status" in attributes
    )  # an image of a dataset has neither
    status = attributes.get("status")
    if is_root and status not in _STATUSES:
        yield Finding(root / "zarr.json", f"unknown status {status!r}", solved=False)
    for group in groups:
        try:
            yield from _image(root, group)
        except (KeyError, IndexError, TypeError, AttributeError, InvalidFileError) as error:
            what = f"not a valid image: {type(error).__name__}: {error}"
            yield Finding(root / group / "zarr.json", what, solved=False)


def _unreadable_files(root: Path) -> Iterator[Finding]:
    """Yield metadata files that are not strict JSON."""
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted({*folders, *names} & _METADATA_FILES):
            path = Path(folder, name)
            try:
                read_json(path, root=root, strict=True)
            except (OSError, ValueError) as error:
                yield Finding(path, f"not strict JSON: {error}", solved=False)


def _image(root: Path, group: str) -> Iterator[Finding]:
    """Yield inconsistencies between the metadata of an image and its arrays."""
    ome = group_attributes(root / group, root)["ome"]
    multiscale = ome["multiscales"][0]
    names = [axis["name"] for axis in multiscale["axes"]]
    kinds = [axis.get("type", {"c": "channel"}.get(axis["name"])) for axis in multiscale["axes"]]
    for level in multiscale["datasets"]:
        path = member(root / group, level["path"]) / "zarr.json"
        array = read_json_object(path, root)
        if array.get("node_type") != "array":
            yield Finding(path, "not an array, but the image refers to it", solved=False)
            continue
        shape, dimension_names = array["shape"], array.get("dimension_names")
        if dimension_names is not None and list(dimension_names) != names:
            what = f"dimension_names {dimension_names}, but the image has axes {names}"
            yield Finding(path, what, solved=False)
        if len(shape) != len(names):
            what = f"{len(shape)} dimensions, but the image has axes {names}"
            yield Finding(path, what, solved=False)
            continue
        channels = ome.get("omero", {}).get("channels")
        extent = next((n for n, kind in zip(shape, kinds, strict=True) if kind == "channel"), 1)
        if channels is not None and len(channels) != extent:
            what = f"{extent} channels, but the image has {len(channels)} in omero"
            yield Finding(path, what, solved=False)


def _frame_metadata(root: Path, groups: list[str]) -> Iterator[Finding]:
    """Yield frame metadata that is not JSON or has an index outside of the array."""
    for group in groups:
        folder = root / group
        embedded = ome_writers_attributes(folder, root).get("frame_metadata")
        path, frames = folder / "zarr.json", embedded
        if not isinstance(embedded, list):
            path = folder / JOURNAL_NAME
            try:
                frames = latest_entries(read_lines(path, root=root), strict=True)
            except (ValueError, KeyError, TypeError) as error:
                yield Finding(path, f"unreadable line: {error}", solved=False)
                continue
            expected = embedded.get("count", 0) if isinstance(embedded, dict) else 0
            if expected and (count := sum(1 for _ in read_lines(path))) < expected:
                yield Finding(path, f"{count} of {expected} lines", solved=False)
        shape = read_json_object(folder / "0" / "zarr.json", root).get("shape", ())[:-2]
        indices = [f.get("storage_index") if isinstance(f, dict) else f for f in frames or ()]
        outside = [index for index in indices if not _inside(index, shape)]
        if outside:
            what = f"{len(outside)} frames outside of the array, the first at index {outside[0]!r:.100}"
            yield Finding(path, what, solved=False)


def _inside(index: Any, shape: list[int]) -> bool:
    return (
        isinstance(index, list)
        and len(index) == len(shape)
        and all(type(i) is int and 0 <= i < n for i, n in zip(index, shape, strict=True))
    )


def _pixels(root: Path, groups: list[str]) -> Check:
    """Decode every compressed chunk, and check the size of the others."""
    plan = _plan(root)
    if plan is None or len(plan.images) != len(groups):
        return Check("pixels", skipped="not written by ome-writers")
    return Check("pixels", _collect(root, _chunks(root, groups, plan)))


def _chunks(root: Path, groups: list[str], plan: Plan) -> Iterator[Finding]:
    """Yield chunks that cannot be read or are missing."""
    # while it is written, there may be more chunks than the shape includes
    writing = ome_writers_attributes(root).get("status") == "writing"
    for image, group in zip(plan.images, groups, strict=True):
        array_metadata = read_json_object(root / group / "0" / "zarr.json", root)
        shape = array_metadata.get("shape", image.array.shape)
        grid = tuple(math.ceil(n / c) for n, c in zip(shape, image.array.chunks, strict=True))
        survey = ArraySurvey(root / group / "0", image.array)
        yield from survey.check(None if writing else grid)
        backend = plan.settings.format.backend
        row = find_engine(backend)
        if backend == "auto" or (row is not None and not row.omits_zeros):
            yield from _missing_frames(root / group, root, image.array.chunks, survey)


def _missing_frames(
    folder: Path, root: Path, chunks: tuple[int, ...], survey: ArraySurvey
) -> Iterator[Finding]:
    """Yield frames with frame metadata but without a chunk."""
    frames = ome_writers_attributes(folder, root).get("frame_metadata")
    if not isinstance(frames, list):
        frames = latest_entries(read_lines(folder / JOURNAL_NAME, root=root))
    if not frames:
        return
    stored = survey.complete_cells()
    missing = [
        index
        for index in (frame.get("storage_index") for frame in frames)
        if isinstance(index, list)
        and tuple(i // n for i, n in zip(index, chunks, strict=False)) not in stored
    ]
    if missing:
        what = f"{len(missing)} acquired frames have no pixels, the first at index {missing[0]}"
        yield Finding(folder / "0", what, solved=False)


def _plan(root: Path) -> Plan | None:
    from ome_writers.repair import plan_of

    try:
        return plan_of(root)
    except UnsupportedError:
        return None
