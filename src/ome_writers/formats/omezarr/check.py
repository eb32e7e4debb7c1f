"""Checks of an OME-Zarr: its metadata, its frame metadata, and the chunks that its stored settings imply."""

# Longer than 300 lines: all checks of one format.
from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Literal

from ome_writers.dataset import DatasetSpec, ImageSpec, LevelSpec
from ome_writers.errors import InvalidFileError, UnsupportedError
from ome_writers.formats.dataset_metadata import STATUSES
from ome_writers.formats.dataset_reader import read
from ome_writers.formats.frame_metadata import JOURNAL_NAME, latest_entries
from ome_writers.formats.omezarr.array_metadata_check import array_metadata_problems
from ome_writers.formats.omezarr.array_survey import ArraySurvey
from ome_writers.formats.omezarr.derived import own_derived
from ome_writers.formats.omezarr.labels import FOLDERS
from ome_writers.formats.omezarr.node_metadata import (
    group_attributes,
    layout_and_groups,
    ome_writers_attributes,
    parse_array_metadata,
)
from ome_writers.formats.omezarr.parse import parse_image, read_image_frames
from ome_writers.formats.omezarr.stored_level import StoredLevel
from ome_writers.formats.omezarr.versions import VERSIONS
from ome_writers.formats.report import QUICK, Check, Finding
from ome_writers.formats.stored_settings import stored_plan
from ome_writers.formats.validators import run_ome_zarr_models, run_yaozarrs
from ome_writers.routing import Plan
from ome_writers.settings import find_engine
from ome_writers.untrusted import guard_reader, read_json, read_lines

_METADATA_FILES = {"zarr.json", ".zattrs", ".zgroup", ".zarray", ".zmetadata"}
_MAX_FINDINGS = 10_000
_MAX_INVALID_IMAGES = 1_000  # the list of images in a small file may be long


def check(root: Path, *, quick: bool = False) -> Iterator[Check]:
    """Yield all checks of an OME-Zarr; with `quick`, that of the pixels is skipped."""
    unreadable = tuple(islice(_unreadable_files(root), _MAX_FINDINGS))
    try:
        layout, groups = layout_and_groups(root)
    except UnsupportedError as error:
        # an unreadable file is the more specific reason
        yield Check("metadata", unreadable or (Finding(root, str(error), solved=False),))
        return
    invalid = 0
    for own in _own_checks(root, groups, unreadable, quick=quick):
        invalid += len(own.findings) if own.name == "metadata" else 0
        yield own
    yield from _derived_checks(root, groups, quick=quick)
    if unreadable or invalid > _MAX_INVALID_IMAGES:
        reason = "metadata cannot be read" if unreadable else f"{invalid:,} findings in metadata"
        for library in ("yaozarrs", "ome-zarr-models"):
            yield Check(library, skipped=reason)
        return
    version = str(group_attributes(root)["ome"].get("version"))
    yield run_yaozarrs(root, version)
    # ome-zarr-models 1.8 supports neither collections of 0.5 nor fields of a grid (name_row_column): check each image
    whole = layout != "collection" and all(g.replace("/", "").isalnum() for g in groups if g)
    model: Literal["HCS", "Image"] = "HCS" if whole and layout == "plate" else "Image"
    yield run_ome_zarr_models(root, [""] if whole else groups, version, model)


def _own_checks(
    root: Path, groups: list[str], unreadable: tuple[Finding, ...], *, quick: bool
) -> Iterator[Check]:
    """Yield the checks that take the parsed dataset."""
    skipped = "metadata cannot be read"
    try:
        dataset = read(root)
    except (UnsupportedError, OSError) as error:
        if isinstance(error, UnsupportedError) and not isinstance(error, InvalidFileError):
            yield Check("metadata", unreadable, skipped=None if unreadable else str(error))
        else:
            invalid = tuple(_invalid_images(root, groups))
            found = (*unreadable, *invalid) or (Finding(root, str(error), solved=False),)
            yield Check("metadata", found)
        yield Check("frame metadata", skipped=skipped)
        yield Check("pixels", skipped=skipped)
        return
    yield Check("metadata", (*unreadable, *_collect(root, _metadata(dataset))))
    yield Check("frame metadata", _collect(root, _frame_metadata(dataset)))
    yield Check("pixels", skipped=QUICK) if quick else _pixels(dataset)


def _derived_checks(root: Path, groups: list[str], *, quick: bool) -> Iterator[Check]:
    """Yield one check of the labels and other images that this library has derived, if there are any."""
    found: list[Finding] = []
    keys = own_derived(root, groups)
    for key in keys:
        for check in _own_checks(root / key, [""], (), quick=quick):
            found += check.findings
        image, folder, _ = key.rsplit("/", 2) if key.count("/") > 1 else ("", *key.split("/"))
        with suppress(UnsupportedError, OSError):
            levels = [len(parse_image(root, group).levels) for group in (image, key)]
            if folder == FOLDERS["labels"] and levels[0] != levels[1]:
                what = f"{levels[1]} levels, but its image has {levels[0]}"
                found.append(Finding(root / key / "zarr.json", what, solved=False))
    if keys:
        yield Check("labels and derived images", tuple(found))


def _invalid_images(root: Path, groups: list[str]) -> Iterator[Finding]:
    """Yield the first images that cannot be parsed; the last finding has the number of images that were not checked."""
    count = 0
    for number, group in enumerate(groups):
        if count == _MAX_INVALID_IMAGES:
            what = f"{count:,} images are invalid; {len(groups) - number:,} more are not checked"
            yield Finding(root, what, solved=False)
            return
        try:
            parse_image(root, group)
        except (UnsupportedError, OSError) as error:
            count += 1
            yield Finding(root / group / "zarr.json", str(error), solved=False)


def _collect(root: Path, findings: Iterator[Finding]) -> tuple[Finding, ...]:
    """Return the first findings; an error that ends the iteration is the last one."""
    collected: list[Finding] = []
    try:
        with guard_reader(root):
            collected.extend(islice(findings, _MAX_FINDINGS))
    except (UnsupportedError, OSError) as error:
        collected.append(Finding(root, str(error), solved=False))
    return tuple(collected)


def _metadata(dataset: DatasetSpec) -> Iterator[Finding]:
    """Yield inconsistencies of group and array metadata."""
    status, root = dataset.status, dataset.path
    is_root = "settings" in ome_writers_attributes(root)  # an image of a dataset has neither
    if (is_root or status is not None) and status not in STATUSES:
        yield Finding(root / "zarr.json", f"unknown status {status!r}", solved=False)
    if not dataset.version.startswith(VERSIONS):  # "0.6rc1" is a version, too
        what = f"unknown version {dataset.version!r} of OME-Zarr"
        yield Finding(root / "zarr.json", what, solved=False)
    for image in dataset.images:
        path = root / image.key / "zarr.json"
        for what in (*_channels(root, image), *_coordinates(image), *_resolutions(image)):
            yield Finding(path, what, solved=False)
        for level in image.levels:
            path = root / level.key / "zarr.json"
            metadata = read_json(path, root=root)
            for what in array_metadata_problems(metadata):
                yield Finding(path, what, solved=False)
            array = parse_array_metadata(metadata, path)
            if array.separator == "." and path.with_name("c").is_dir():
                what = "the separator of chunk keys is '.', but the chunks are in folders"
                yield Finding(path, what, solved=False)
            names = array.dimension_names
            if names is not None and names != image.dims:
                what = f"dimension_names {[*names]}, but the image has axes {[*image.dims]}"
                yield Finding(path, what, solved=False)


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


def _channels(root: Path, image: ImageSpec) -> Iterator[str]:
    omero = group_attributes(root / image.key, root)["ome"].get("omero")
    channels = omero.get("channels") if isinstance(omero, dict) else None
    axis = next((i for i, axis in enumerate(image.axes) if axis.type == "channel"), None)
    extent = 1 if axis is None else image.shape[axis]
    if isinstance(channels, list) and len(channels) != extent:
        yield f"{extent} channels, but the image has {len(channels)} in omero"


def _coordinates(image: ImageSpec) -> Iterator[str]:
    """Describe scales and translations that are not numbers, or map all samples to one coordinate."""
    for level in image.levels:
        for axis, scale, translation in zip(
            image.dims, level.scale, level.translation, strict=True
        ):
            if scale is not None and (scale == 0 or not math.isfinite(scale)):
                yield f"level {level.key}: the scale of {axis} is {scale}"
            if not math.isfinite(translation):
                yield f"level {level.key}: the translation of {axis} is {translation}"


def _resolutions(image: ImageSpec) -> Iterator[str]:
    """Describe levels that are not ordered from the largest to the smallest, or do not cover the same extent."""
    for finer, level in pairwise(image.levels):
        if math.prod(level.shape) > math.prod(finer.shape):
            yield f"level {level.key} is larger than {finer.key}, which precedes it"
        elif level.dtype != finer.dtype:
            yield f"level {level.key} is {level.dtype}, but {finer.key} is {finer.dtype}"
        for i, axis in enumerate(image.dims):
            factor = abs((level.scale[i] or 1.0) / (finer.scale[i] or 1.0))
            # an extent that the factor does not divide is rounded up or down
            if abs(level.shape[i] * factor - finer.shape[i]) >= max(factor, 1.0):
                yield (
                    f"level {level.key}: {level.shape[i]} samples along {axis} at {factor:g} times the scale of "
                    f"{finer.key}, which has {finer.shape[i]}"
                )


def _frame_metadata(dataset: DatasetSpec) -> Iterator[Finding]:
    """Yield frame metadata that is not JSON or has an index outside of the array."""
    root = dataset.path
    for image in dataset.images:
        folder = root / image.key
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
        indices = [f.get("storage_index") if isinstance(f, dict) else f for f in frames or ()]
        outside = [index for index in indices if not _inside(index, image.shape[:-2])]
        if outside:
            what = f"{len(outside)} frames outside of the array, the first at index {outside[0]!r:.100}"
            yield Finding(path, what, solved=False)


def _inside(index: Any, shape: tuple[int, ...]) -> bool:
    return (
        isinstance(index, list)
        and len(index) == len(shape)
        and all(type(i) is int and 0 <= i < n for i, n in zip(index, shape, strict=True))
    )


def _pixels(dataset: DatasetSpec) -> Check:
    """Decode every chunk with a compression or a checksum, and check the size of the others."""
    plan = stored_plan(dataset)
    if plan is None:
        return Check("pixels", skipped="not written by ome-writers")
    return Check("pixels", _collect(dataset.path, _chunks(dataset, plan)))


def _chunks(dataset: DatasetSpec, plan: Plan) -> Iterator[Finding]:
    """Yield chunks that cannot be read or are missing."""
    # while it is written, there may be more chunks than the shape includes
    writing = dataset.status == "writing"
    stored: float = 0.0
    one_plane = True
    settings = plan.settings
    for planned, image in zip(plan.images, dataset.images, strict=True):
        damaged = list(_damaged_chunks(dataset, planned, image, writing=writing))
        yield from damaged
        if not writing and not damaged:
            yield from _levels(dataset.path, planned, image)
        level = image.levels[0]
        survey = ArraySurvey(dataset.path / level.key, planned.array)
        row = find_engine(settings.format.backend)
        if settings.format.backend != "auto" and (row is None or row.omits_zeros):
            stored, one_plane = math.inf, False  # a frame of zeros does not have a chunk
            continue
        cells = survey.complete_cells()
        yield from _missing_frames(dataset.path, image, cells)
        stored += sum(_planes(cell, level) for cell in cells) / planned.addressing.planes
        one_plane &= math.prod(level.chunks[:-2]) == 1
    written = dataset.frames_written
    if (
        not writing
        and written is not None
        and (stored < written or (one_plane and stored > written))
    ):
        what = f"the metadata count {written} frames, the arrays contain {stored:g}"
        yield Finding(dataset.path / "zarr.json", what, solved=False)


def _damaged_chunks(
    dataset: DatasetSpec, planned: ImageSpec, image: ImageSpec, *, writing: bool
) -> Iterator[Finding]:
    """Yield chunks of all levels that cannot be read, with the frames that they contain."""
    for k, (level, stored) in enumerate(zip(planned.levels, image.levels, strict=False)):
        grid = tuple(math.ceil(n / c) for n, c in zip(stored.shape, stored.chunks, strict=True))
        survey = ArraySurvey(dataset.path / stored.key, level)
        where = f"image {planned.number}" + (f", level {k}" if k else "")
        for finding in survey.check(None if writing else grid):
            yield replace(finding, what=f"{where}, {finding.what}")


def _planes(cell: tuple[int, ...], level: LevelSpec) -> int:
    """Return the number of planes of a cell that are inside the array."""
    axes = zip(cell, level.chunks, level.shape, strict=False)
    return math.prod(max(0, min(chunk, extent - i * chunk)) for i, chunk, extent in axes)


def _levels(root: Path, planned: ImageSpec, image: ImageSpec) -> Iterator[Finding]:
    """Yield levels that are not the reduction of the level before."""
    if len(image.levels) < len(planned.levels):
        yield Finding(root / image.key, "resolution levels are missing", solved=False)
        return
    stored = planned.levels
    for k in range(1, len(stored)):
        level = StoredLevel(root, planned, k, image.shape)
        wrong = [index for index, _ in islice(level.differences(missing_only=False), _MAX_FINDINGS)]
        if wrong:
            above = stored[k - 1].key
            what = f"{len(wrong)} planes are not the reduction of level {above}, the first at index {wrong[0]}"
            yield Finding(root / stored[k].key, what, solved=False)


def _missing_frames(
    root: Path, image: ImageSpec, stored: set[tuple[int, ...]]
) -> Iterator[Finding]:
    """Yield frames with frame metadata but without a chunk."""
    frames, level = read_image_frames(root, image.key), image.levels[0]
    if not frames:
        return
    missing = [
        index
        for index in (frame.get("storage_index") for frame in frames)
        if isinstance(index, list)
        and tuple(i // n for i, n in zip(index, level.chunks, strict=False)) not in stored
    ]
    if missing:
        what = f"{len(missing)} acquired frames have no pixels, the first at index {missing[0]}"
        yield Finding(root / level.key, what, solved=False)
