"""Files of an OME-TIFF: the images and OME-XML in each, and the IFDs of each image's planes."""

from __future__ import annotations

import itertools
import math
import os
import re
import uuid
from dataclasses import dataclass
from operator import mul
from pathlib import Path
from typing import TYPE_CHECKING

from ome_writers.formats.dataset_metadata import Layout
from ome_writers.formats.ome_xml import IfdRuns
from ome_writers.settings import OmeTiffFormat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ome_writers.routing import Plan

__all__ = ["TiffSet", "ifd_runs", "is_set", "lay_out"]

_NOT_IN_XML = re.compile("[\x00-\x1f\ud800-\udfff\ufffe\uffff]")
_MAX_TIFF_DATA = (
    100_000  # planes with a TiffData element each in a companion file; above, an element per run
)


def is_set(plan: Plan) -> bool:
    """Whether the output is a folder with a file per image."""
    prefer = getattr(plan.settings.format, "prefer_single_file", "auto")
    single = {"always": True, "never": False}.get(prefer, len(plan.settings.positions) <= 1)
    return not single


def lay_out(plan: Plan) -> Layout:
    output = Path(plan.settings.output_path)
    if not is_set(plan):
        count = len(plan.images)
        marks = [""] if count == 1 else [f".{i}" for i in range(count)]
        return Layout(
            root=output.parent,
            output=output,
            arrays=(output.name,) * count,
            images=(output.name,) * count,
            journals=tuple(f".{output.name}{mark}.jsonl" for mark in marks),
        )
    digits = max(3, len(str(len(plan.images) - 1)))
    stem, suffix = _stem(output.name), _suffix(plan)
    files = tuple(f"{stem}_p{i:0{digits}d}{suffix}" for i in range(len(plan.images)))
    return Layout(
        root=output,
        output=output,
        arrays=files,
        images=files,
        journals=tuple(f"{file}.jsonl" for file in files),
        entry=_entry(plan, output),
    )


def _entry(plan: Plan, folder: Path) -> str:
    """Return the key of a set's entry file, which has the output path of a single image.

    Empty if that is the folder itself or does not end in .tif or .tiff, or if XML cannot represent the folder's name.
    """
    single = plan.settings.format.model_copy(update={"prefer_single_file": "always"})
    name = Path(single.get_output_path(plan.settings.root_path)).name
    fits = name != folder.name and name.lower().endswith((".tif", ".tiff"))
    return f"../{name}" if fits and not _NOT_IN_XML.search(folder.name) else ""


@dataclass(frozen=True)
class TiffSet:
    """The OME-XML documents of an OME-TIFF, each in a file.

    Attributes
    ----------
    keys
        Document number to key: the number of the (first) image for a TIFF file, -1 for a companion file.
    uuids
        Document number to the UUID of the file.
    complete
        Numbers of the documents with all metadata.
    binary_only
        Numbers of the documents that only refer to the first of `complete`.
    """

    keys: dict[int, str]
    uuids: dict[int, str]
    complete: tuple[int, ...]
    binary_only: tuple[int, ...]

    @classmethod
    def of(cls, plan: Plan, layout: Layout) -> TiffSet:
        format_ = plan.settings.format
        mode = getattr(format_, "multi_file_metadata", "redundant")
        numbers = tuple(
            dict(zip(layout.arrays[::-1], range(len(layout.arrays))[::-1], strict=True)).values()
        )[::-1]
        keys = {n: layout.arrays[n] for n in numbers}
        complete: tuple[int, ...] = numbers
        binary_only: tuple[int, ...] = ()
        if is_set(plan) and mode == "companion-file":
            companion = _companion(
                getattr(format_, "companion_file", ""), _stem(layout.output.name)
            )
            keys = {-1: companion, **keys}
            complete, binary_only = (-1,), numbers
        elif is_set(plan) and mode == "master-tiff":
            complete, binary_only = numbers[:1], numbers[1:]
        random = os.urandom(16 * len(keys))  # in one call: a call per file takes ten times as long
        uuids = [uuid.UUID(bytes=random[16 * i : 16 * i + 16], version=4) for i in range(len(keys))]
        urns = {n: each.urn for n, each in zip(keys, uuids, strict=True)}
        return cls(keys, urns, complete, binary_only)

    @property
    def has_companion(self) -> bool:
        return -1 in self.keys


def ifd_runs(
    plan: Plan,
    layout: Layout,
    files: TiffSet,
    shapes: Sequence[Sequence[int]],
    *,
    writing: bool,
) -> list[IfdRuns]:
    """Return the IFDs of each image's planes.

    The TIFF engine writes IFDs in the same order: image by image, each in storage order. A growing file has all IFDs of
    one index along the growing axis before those of the next; while it is written, every image has its IFDs there. If
    the shapes are smaller than planned, the IFDs of a single file are renumbered when its OME-XML is replaced. Those of
    a set keep their numbers, because several files cannot be replaced atomically.
    """
    if is_set(plan):
        per_plane = files.has_companion and sum(math.prod(s[:-2]) for s in shapes) <= _MAX_TIFF_DATA
        renumbered = set(files.keys) == set(files.complete) == {0}
        pages = []
        for n, shape in enumerate(shapes):
            array = plan.images[n].array
            chain_shape = shape if renumbered or array.growing is not None else array.shape
            pages.append(
                IfdRuns(_runs(shape, chain_shape), layout.arrays[n], files.uuids[n], per_plane)
            )
        return pages
    growing = [image.array.growing for image in plan.images]
    if len(shapes) > 1 and growing[0] is not None:
        return _interleaved([g or 0 for g in growing], shapes, writing=writing)
    pages, first = [], 0
    for shape in shapes:
        count = math.prod(shape[:-2])
        pages.append(IfdRuns([(0, first, count)]))
        first += count
    return pages


def _runs(shape: Sequence[int], chain_shape: Sequence[int]) -> list[tuple[int, int, int]]:
    """Return the runs of an image's planes in a file that has IFDs for an array of `chain_shape`."""
    axes = len(shape) - 2
    cut = max((axis for axis in range(axes) if shape[axis] != chain_shape[axis]), default=0)
    steps = [math.prod(chain_shape[axis + 1 : axes]) for axis in range(cut)]
    count = math.prod(shape[cut:axes])
    outer = itertools.product(*map(range, shape[:cut]))
    return [(n * count, sum(map(mul, at, steps)), count) for n, at in enumerate(outer)]


def _interleaved(
    growing: Sequence[int], shapes: Sequence[Sequence[int]], *, writing: bool
) -> list[IfdRuns]:
    """Return the IFDs of images that grow in one file; while `writing`, every image has IFDs at each index."""
    runs: list[list[tuple[int, int, int]]] = [[] for _ in shapes]
    ifd = 0
    extents = [shape[axis] for axis, shape in zip(growing, shapes, strict=True)]
    inner = [math.prod(s[:-2]) // max(1, n) for s, n in zip(shapes, extents, strict=True)]
    for i in range(max(extents)):
        for image, count in enumerate(inner):
            if i < extents[image]:
                runs[image].append((i * count, ifd, count))
            if i < extents[image] or writing:
                ifd += count
    return [IfdRuns(run) for run in runs]


def _stem(name: str) -> str:
    """Return the common prefix of a set's file names, without characters that XML cannot represent."""
    name = _NOT_IN_XML.sub("_", name)
    for suffix in OmeTiffFormat.suffixes:
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return name


def _suffix(plan: Plan) -> str:
    """Return the suffix of a set's files: ``.ome.tiff`` or ``.ome.tif``."""
    suffix = plan.settings.format.suffix
    if suffix.lower().endswith((".ome.tiff", ".ome.tif")):
        return suffix
    return ".ome.tif" if suffix.lower().endswith(".tif") else ".ome.tiff"


def _companion(name: str, stem: str) -> str:
    """Return the companion file's name; readers require the suffix ``.companion.ome``."""
    suffix = ".companion.ome"
    if name == "companion.ome":
        return stem + suffix
    return (
        name
        if name.endswith(suffix) and name != suffix
        else name.removesuffix(".ome").rstrip(".") + suffix
    )
