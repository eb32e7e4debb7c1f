"""An OME-Zarr: its documents by themselves, then its pixels and journals by what it was planned to be."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from ome_writers.errors import UnsupportedError
from ome_writers.formats.frame_metadata import JOURNAL_NAME, latest, read_lines
from ome_writers.formats.omezarr.groups import image_groups
from ome_writers.storage.zarr.remains import Remains
from ome_writers.validation.report import Check, Finding
from ome_writers.validation.validators import ask_ome_zarr_models, ask_yaozarrs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ome_writers.routing import Plan

__all__ = ["checks"]

STORES_ZEROS = ("auto", "direct", "acquire-zarr")  # others leave out chunks that are all zero
STATUSES = ("writing", "complete", "cancelled", "failed")


def checks(root: Path) -> Iterator[Check]:
    """Look at all that an OME-Zarr promises."""
    try:
        groups = image_groups(root)
    except UnsupportedError as error:
        unread = tuple(_unread(root))  # it may be this that makes it say nothing
        yield Check("documents", unread or (Finding(root, str(error), solved=False),))
        return
    yield Check("documents", tuple(_documents(root, groups)))
    yield Check("frame metadata", tuple(_frame_metadata(root, groups)))
    yield _pixels(root, groups)
    yield ask_yaozarrs(root)
    # ome-zarr-models 1.7 knows neither collections of 0.5 nor fields of a grid (name_row_column): there, the images
    collection = _ome(root).get("bioformats2raw.layout") is not None
    whole = not collection and all(group.replace("/", "").isalnum() for group in groups if group)
    yield ask_ome_zarr_models(root, [""] if whole else groups)


def _documents(root: Path, groups: list[str]) -> Iterator[Finding]:
    """Yield what is wrong in documents, by themselves and with each other."""
    yield from _unread(root)
    ours = _read(root / "zarr.json").get("attributes", {}).get("ome_writers")
    # an image inside of a dataset says neither
    is_root = isinstance(ours, dict) and ("settings" in ours or "status" in ours)
    if is_root and ours.get("status") not in STATUSES:
        yield Finding(root / "zarr.json", f"unknown status {ours.get('status')!r}", solved=False)
    for group in groups:
        try:
            yield from _image(root, group)
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            what = f"no valid image: {type(error).__name__}: {error}"
            yield Finding(root / group / "zarr.json", what, solved=False)


def _unread(root: Path) -> Iterator[Finding]:
    """Yield which documents cannot be read."""
    for path in sorted(root.rglob("zarr.json")):
        try:
            _strict(path)
        except (OSError, ValueError) as error:
            yield Finding(path, f"no strict JSON: {error}", solved=False)


def _image(root: Path, group: str) -> Iterator[Finding]:
    """Yield where the document of an image does not agree with its arrays."""
    ome = _ome(root / group)
    multiscale = ome["multiscales"][0]
    names = [axis["name"] for axis in multiscale["axes"]]
    kinds = [axis.get("type", {"c": "channel"}.get(axis["name"])) for axis in multiscale["axes"]]
    for level in multiscale["datasets"]:
        path = root / group / level["path"] / "zarr.json"
        array = _read(path)
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
        ours = _read(folder / "zarr.json").get("attributes", {}).get("ome_writers", {})
        said = ours.get("frame_metadata") if isinstance(ours, dict) else None
        path, frames = folder / "zarr.json", said
        if not isinstance(said, list):
            path = folder / JOURNAL_NAME
            try:
                frames = latest(read_lines(path), strict=True)
            except (ValueError, KeyError, TypeError) as error:
                yield Finding(path, f"a line that cannot be read: {error}", solved=False)
                continue
            if isinstance(said, dict) and said.get("count", 0) > sum(1 for _ in read_lines(path)):
                yield Finding(path, f"fewer lines than the {said['count']} promised", solved=False)
        shape = _read(folder / "0" / "zarr.json").get("shape", ())[:-2]
        outside = [f for f in frames or () if not _inside(f.get("storage_index"), shape)]
        if outside:
            at = outside[0].get("storage_index")
            what = f"{len(outside)} frames outside of the array, the first at {at}"
            yield Finding(path, what, solved=False)


def _inside(index: Any, shape: list[int]) -> bool:
    return (
        isinstance(index, list)
        and len(index) == len(shape)
        and all(0 <= i < n for i, n in zip(index, shape, strict=True))
    )


def _pixels(root: Path, groups: list[str]) -> Check:
    """Decode every chunk that is compressed, and measure those that are not."""
    plan = _plan(root)
    if plan is None or len(plan.images) != len(groups):
        return Check("pixels", skipped="only what this library wrote is known chunk by chunk")
    ours = _read(root / "zarr.json").get("attributes", {}).get("ome_writers", {})
    writing = ours.get("status") == "writing"  # then there may be more than is shown yet
    findings: list[Finding] = []
    for image, group in zip(plan.images, groups, strict=True):
        shape = _read(root / group / "0" / "zarr.json").get("shape", image.array.shape)
        chunks = [math.ceil(n / c) for n, c in zip(shape, image.array.chunks, strict=True)]
        most = None if writing else tuple(chunks)
        remains = Remains(root / group / "0", image.array)
        findings += remains.inspect(most)
        if plan.settings.format.backend in STORES_ZEROS:
            findings += _lost(root / group, image.array.chunks, remains)
    return Check("pixels", tuple(findings))


def _lost(folder: Path, chunks: tuple[int, ...], remains: Remains) -> Iterator[Finding]:
    """Yield that frames of which something is known have no pixels."""
    frames = _frames_told(folder)
    if not frames:
        return
    there = remains.filled()
    lost = [
        index
        for index in (frame.get("storage_index") for frame in frames)
        if isinstance(index, list)
        and tuple(i // n for i, n in zip(index, chunks, strict=False)) not in there
    ]
    if lost:
        what = f"{len(lost)} frames that were taken have no pixels, the first at {lost[0]}"
        yield Finding(folder / "0", what, solved=False)


def _frames_told(folder: Path) -> list[Any]:
    """Return what is known of an image's frames, in its document or its journal."""
    ours = _read(folder / "zarr.json").get("attributes", {}).get("ome_writers", {})
    said = ours.get("frame_metadata") if isinstance(ours, dict) else None
    return said if isinstance(said, list) else latest(read_lines(folder / JOURNAL_NAME))


def _plan(root: Path) -> Plan | None:
    from ome_writers.repair import plan_of

    try:
        return plan_of(root)
    except UnsupportedError:
        return None


def _ome(group: Path) -> dict[str, Any]:
    ome = _read(group / "zarr.json").get("attributes", {}).get("ome", {})
    return ome if isinstance(ome, dict) else {}


def _read(path: Path) -> dict[str, Any]:
    try:
        return _strict(path)
    except (OSError, ValueError):
        return {}


def _strict(path: Path) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    document = json.loads(path.read_bytes(), parse_constant=refuse)
    if not isinstance(document, dict):
        raise ValueError("it is no object")
    return document
