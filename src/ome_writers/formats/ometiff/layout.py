"""Which file of an OME-TIFF holds which image, and which files hold the OME-XML."""

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

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ome_writers.routing import Plan

__all__ = ["TiffSet", "ifd_runs", "is_set", "lay_out"]

_UNTOLD = re.compile("[\x00-\x1f\ud800-\udfff\ufffe\uffff]")
_EACH_PLANE = 100_000  # planes; above, the companion file names runs of them


def is_set(plan: Plan) -> bool:
    """Whether the output is a folder with a file an image, and not one file."""
    prefer = getattr(plan.settings.format, "prefer_single_file", "auto")
    single = {"always": True, "never": False}.get(prefer, len(plan.settings.positions) <= 1)
    return not single


def lay_out(plan: Plan) -> Layout:
    """Return the layout of an OME-TIFF."""
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
    """Return the key of a set's entry file: a file of the name that one image would have, beside the folder.

    Empty where that is the folder's own name or not that of a TIFF, or where XML cannot hold the folder's name.
    """
    single = plan.settings.format.model_copy(update={"prefer_single_file": "always"})
    name = Path(single.get_output_path(plan.settings.root_path)).name
    fits = name != folder.name and name.lower().endswith((".tif", ".tiff"))
    return f"../{name}" if fits and not _UNTOLD.search(folder.name) else ""


@dataclass(frozen=True)
class TiffSet:
    """The documents of an OME-TIFF.

    Attributes
    ----------
    keys
        Number of each document to its key: the image's number for a TIFF file, -1 for a companion file.
    uuids
        Number to the UUID of the file.
    whole
        The numbers of the documents that say everything.
    parts
        The numbers of those that only point to the first of `whole`.
    """

    keys: dict[int, str]
    uuids: dict[int, str]
    whole: tuple[int, ...]
    parts: tuple[int, ...]

    @classmethod
    def of(cls, plan: Plan, layout: Layout) -> TiffSet:
        """Return the documents that `plan` asks for."""
        format_ = plan.settings.format
        mode = getattr(format_, "multi_file_metadata", "redundant")
        numbers = tuple(
            dict(zip(layout.arrays[::-1], range(len(layout.arrays))[::-1], strict=True)).values()
        )[::-1]
        keys = {n: layout.arrays[n] for n in numbers}
        whole: tuple[int, ...] = numbers
        parts: tuple[int, ...] = ()
        if is_set(plan) and mode == "companion-file":
            companion = _companion(
                getattr(format_, "companion_file", ""), _stem(layout.output.name)
            )
            keys = {-1: companion, **keys}
            whole, parts = (-1,), numbers
        elif is_set(plan) and mode == "master-tiff":
            whole, parts = numbers[:1], numbers[1:]
        random = os.urandom(16 * len(keys))  # at once: a call a file takes ten times as long
        uuids = [uuid.UUID(bytes=random[16 * i : 16 * i + 16], version=4) for i in range(len(keys))]
        urns = {n: each.urn for n, each in zip(keys, uuids, strict=True)}
        return cls(keys, urns, whole, parts)

    @property
    def has_companion(self) -> bool:
        """Whether the OME-XML is a file of its own."""
        return -1 in self.keys


def ifd_runs(
    plan: Plan,
    layout: Layout,
    files: TiffSet,
    shapes: Sequence[Sequence[int]],
    *,
    writing: bool,
) -> list[IfdRuns]:
    """Return in which directories each image's planes lie.

    The order of a file's directories is a rule that the engine keeps, too: image after image, each in storage
    order; in a file that grows, place after place along the growing axis, and so within each, where every image has its
    pages while the file is written. When the shapes have become smaller than planned, a file that alone tells of itself
    has its directories chained anew at the same moment; several files cannot change at once, and their directories
    keep their numbers.
    """
    if is_set(plan):
        each = files.has_companion and sum(math.prod(s[:-2]) for s in shapes) <= _EACH_PLANE
        renumbered = set(files.keys) == set(files.whole) == {0}
        found = []
        for n, shape in enumerate(shapes):
            array = plan.images[n].array
            places = shape if renumbered or array.growing is not None else array.shape
            found.append(IfdRuns(_runs(shape, places), layout.arrays[n], files.uuids[n], each))
        return found
    growing = [image.array.growing for image in plan.images]
    if len(shapes) > 1 and growing[0] is not None:
        return _interleaved([g or 0 for g in growing], shapes, writing=writing)
    pages, first = [], 0
    for shape in shapes:
        count = math.prod(shape[:-2])
        pages.append(IfdRuns([(0, first, count)]))
        first += count
    return pages


def _runs(shape: Sequence[int], places: Sequence[int]) -> list[tuple[int, int, int]]:
    """Return the runs of an image's planes, when its file has directories for an array of the shape `places`."""
    axes = len(shape) - 2
    cut = max((axis for axis in range(axes) if shape[axis] != places[axis]), default=0)
    steps = [math.prod(places[axis + 1 : axes]) for axis in range(cut)]
    count = math.prod(shape[cut:axes])
    outer = itertools.product(*map(range, shape[:cut]))
    return [(n * count, sum(map(mul, at, steps)), count) for n, at in enumerate(outer)]


def _interleaved(
    growing: Sequence[int], shapes: Sequence[Sequence[int]], *, writing: bool
) -> list[IfdRuns]:
    """Return the pages of images that grow side by side in one file; `writing` leaves room for all at each place."""
    runs: list[list[tuple[int, int, int]]] = [[] for _ in shapes]
    ifd = 0
    extents = [shape[axis] for axis, shape in zip(growing, shapes, strict=True)]
    inner = [math.prod(s[:-2]) // max(1, n) for s, n in zip(shapes, extents, strict=True)]
    for place in range(max(extents)):
        for image, count in enumerate(inner):
            if place < extents[image]:
                runs[image].append((place * count, ifd, count))
            if place < extents[image] or writing:
                ifd += count
    return [IfdRuns(run) for run in runs]


def _stem(name: str) -> str:
    """Return what the files of a set begin with; OME-XML names them, so it is what XML can hold."""
    name = _UNTOLD.sub("_", name)
    for suffix in (".ome.tiff", ".ome.tif", ".tiff", ".tif"):
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return name


def _suffix(plan: Plan) -> str:
    """Return the suffix of a set's files: always one that says OME."""
    suffix = plan.settings.format.suffix
    if suffix.lower().endswith((".ome.tiff", ".ome.tif")):
        return suffix
    return ".ome.tif" if suffix.lower().endswith(".tif") else ".ome.tiff"


def _companion(name: str, stem: str) -> str:
    """Return the companion file's name; readers find it by its end."""
    end = ".companion.ome"
    if name == "companion.ome":
        return stem + end
    return (
        name if name.endswith(end) and name != end else name.removesuffix(".ome").rstrip(".") + end
    )
