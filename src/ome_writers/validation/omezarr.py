"""An OME-Zarr: its documents by themselves, then its pixels and journals by what it was planned to be."""

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
from ome_writers.storage.zarr.array_survey import ArraySurvey
from ome_writers.untrusted import guard_reader, member, read_json, read_lines
from ome_writers.validation.report import Check, Finding
from ome_writers.validation.validators import ask_ome_zarr_models, ask_yaozarrs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ome_writers.routing import Plan

__all__ = ["checks"]

STORES_ZEROS = ("auto", "direct", "acquire-zarr")  # others leave out chunks that are all zero
_DOCUMENTS = {"zarr.json", ".zattrs", ".zgroup", ".zarray", ".zmetadata"}
_MAX_FINDINGS = 10_000
STATUSES = ("writing", "complete", "cancelled", "failed")


def checks(root: Path) -> Iterator[Check]:
    """Look at all that an OME-Zarr promises."""
    unread = tuple(islice(_unread(root), _MAX_FINDINGS))
    try:
        groups = image_groups(root)
    except UnsupportedError as error:
        # it may be a document that cannot be read that makes it say nothing
        yield Check("documents", unread or (Finding(root, str(error), solved=False),))
        return
    yield Check("documents", (*unread, *_found(root, _documents(root, groups))))
    yield Check("frame metadata", _found(root, _frame_metadata(root, groups)))
    yield _pixels(root, groups)
    if unread:
        for library in ("yaozarrs", "ome-zarr-models"):
            yield Check(library, skipped="there are documents that cannot be read")
        return
    yield ask_yaozarrs(root)
    # ome-zarr-models 1.7 knows neither collections of 0.5 nor fields of a grid (name_row_column): there, the images
    collection = layout_and_groups(root)[0] == "collection"
    whole = not collection and all(group.replace("/", "").isalnum() for group in groups if group)
    yield ask_ome_zarr_models(root, [""] if whole else groups)


def _found(root: Path, findings: Iterator[Finding]) -> tuple[Finding, ...]:
    """Return the first findings; what cannot be read at all is one."""
    found: list[Finding] = []
    try:
        with guard_reader(root):
            found.extend(islice(findings, _MAX_FINDINGS))
    except (UnsupportedError, OSError) as error:
        found.append(Finding(root, str(error), solved=False))
    return tuple(found)


def _documents(root: Path, groups: list[str]) -> Iterator[Finding]:
    """Yield what is wrong in documents with each other."""
    ours = ome_writers_attributes(root)
    # an image inside of a dataset says neither
    is_root = "settings" in ours or "status" in ours
    if is_root and ours.get("status") not in STATUSES:
        yield Finding(root / "zarr.json", f"unknown status {ours.get('status')!r}", solved=False)
    for group in groups:
        try:
            yield from _image(root, group)
        except (KeyError, IndexError, TypeError, AttributeError, InvalidFileError) as error:
            what = f"no valid image: {type(error).__name__}: {error}"
            yield Finding(root / group / "zarr.json", what, solved=False)


def _unread(root: Path) -> Iterator[Finding]:
    """Yield which documents cannot be read."""
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted({*folders, *names} & _DOCUMENTS):
            path = Path(folder, name)
            try:
                read_json(path, root=root, strict=True)
            except (OSError, ValueError) as error:
                yield Finding(path, f"no strict JSON: {error}", solved=False)


def _image(root: Path, group: str) -> Iterator[Finding]:
    """Yield where the document of an image does not agree with its arrays."""
    ome = group_attributes(root / group, root)["ome"]
    multiscale = ome["multiscales"][0]
    names = [axis["name"] for axis in multiscale["axes"]]
    kinds = [axis.get("type", {"c": "channel"}.get(axis["name"])) for axis in multiscale["axes"]]
    for level in multiscale["datasets"]:
        path = member(root / group, level["path"]) / "zarr.json"
        array = read_json_object(path, root)
        if array.get("node_type") != "array":
            yield Finding(path, "there is no array where the image names one", solved=False)
            continue
        shape, said = array["shape"], array.get("dimension_names")
        if said is not None and list(said) != names:
            yield Finding(path, f"axes {said}, and {names} in the image", solved=False)
        if len(shape) != len(names):
            yield Finding(path, f"{len(shape)} axes, and {names} in the image", solved=False)
            continue
        channels = ome.get("omero", {}).get("channels")
        extent = next((n for n, kind in zip(shape, kinds, strict=True) if kind == "channel"), 1)
        if channels is not None and len(channels) != extent:
            what = f"{extent} channels, and {len(channels)} in the image"
            yield Finding(path, what, solved=False)


def _frame_metadata(root: Path, groups: list[str]) -> Iterator[Finding]:
    """Yield where frame metadata is no JSON, or is said of places that do not exist."""
    for group in groups:
        folder = root / group
        said = ome_writers_attributes(folder, root).get("frame_metadata")
        path, frames = folder / "zarr.json", said
        if not isinstance(said, list):
            path = folder / JOURNAL_NAME
            try:
                frames = latest_entries(read_lines(path, root=root), strict=True)
            except (ValueError, KeyError, TypeError) as error:
                yield Finding(path, f"a line that cannot be read: {error}", solved=False)
                continue
            if isinstance(said, dict) and said.get("count", 0) > sum(1 for _ in read_lines(path)):
                yield Finding(path, f"fewer lines than the {said['count']} promised", solved=False)
        shape = read_json_object(folder / "0" / "zarr.json", root).get("shape", ())[:-2]
        indices = [f.get("storage_index") if isinstance(f, dict) else f for f in frames or ()]
        outside = [index for index in indices if not _inside(index, shape)]
        if outside:
            what = f"{len(outside)} frames outside of the array, the first at {outside[0]!r:.100}"
            yield Finding(path, what, solved=False)


def _inside(index: Any, shape: list[int]) -> bool:
    return (
        isinstance(index, list)
        and len(index) == len(shape)
        and all(type(i) is int and 0 <= i < n for i, n in zip(index, shape, strict=True))
    )


def _pixels(root: Path, groups: list[str]) -> Check:
    """Decode every chunk that is compressed, and measure those that are not."""
    plan = _plan(root)
    if plan is None or len(plan.images) != len(groups):
        return Check("pixels", skipped="only what this library wrote is known chunk by chunk")
    return Check("pixels", _found(root, _chunks(root, groups, plan)))


def _chunks(root: Path, groups: list[str], plan: Plan) -> Iterator[Finding]:
    """Yield which chunks cannot be read, or are missing."""
    writing = (
        ome_writers_attributes(root).get("status") == "writing"
    )  # there may be more than is shown
    for image, group in zip(plan.images, groups, strict=True):
        document = read_json_object(root / group / "0" / "zarr.json", root)
        shape = document.get("shape", image.array.shape)
        chunks = [math.ceil(n / c) for n, c in zip(shape, image.array.chunks, strict=True)]
        most = None if writing else tuple(chunks)
        remains = ArraySurvey(root / group / "0", image.array)
        yield from remains.check(most)
        if plan.settings.format.backend in STORES_ZEROS:
            yield from _lost(root / group, root, image.array.chunks, remains)


def _lost(
    folder: Path, root: Path, chunks: tuple[int, ...], remains: ArraySurvey
) -> Iterator[Finding]:
    """Yield that frames of which something is known have no pixels."""
    frames = _frames_told(folder, root)
    if not frames:
        return
    there = remains.complete_cells()
    lost = [
        index
        for index in (frame.get("storage_index") for frame in frames)
        if isinstance(index, list)
        and tuple(i // n for i, n in zip(index, chunks, strict=False)) not in there
    ]
    if lost:
        what = f"{len(lost)} frames that were taken have no pixels, the first at {lost[0]}"
        yield Finding(folder / "0", what, solved=False)


def _frames_told(folder: Path, root: Path) -> list[Any]:
    """Return what is known of an image's frames, in its document or its journal."""
    said = ome_writers_attributes(folder, root).get("frame_metadata")
    return (
        said
        if isinstance(said, list)
        else latest_entries(read_lines(folder / JOURNAL_NAME, root=root))
    )


def _plan(root: Path) -> Plan | None:
    from ome_writers.repair import plan_of

    try:
        return plan_of(root)
    except UnsupportedError:
        return None
