"""Files of an OME-TIFF: the images and OME-XML in each, and the IFDs of each image's planes."""

from __future__ import annotations

import math
import os
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ome_writers.dataset import LevelSpec
from ome_writers.formats.dataset_metadata import Layout
from ome_writers.formats.ome_xml import IfdRuns
from ome_writers.routing import PageOrder, Plan
from ome_writers.settings import OmeTiffFormat

_Runs = list[tuple[int, int, int]]

_NOT_IN_XML = re.compile("[\x00-\x1f\ud800-\udfff\ufffe\uffff]")
_MAX_TIFF_DATA = 100_000
"""Planes up to which a companion file has a TiffData element for each; above, an element per run."""


def is_set(plan: Plan) -> bool:
    """Whether the output is a folder with a file per image."""
    prefer = getattr(plan.settings.format, "prefer_single_file", "auto")
    single = {"always": True, "never": False}.get(prefer, len(plan.settings.positions) <= 1)
    return not single


def lay_out(plan: Plan) -> tuple[Plan, Layout]:
    output = Path(plan.settings.output_path)
    if not is_set(plan):
        files = (output.name,) * len(plan.images)
        journals = journal_keys(files, in_folder=False)
        return in_files(plan, files), Layout(output.parent, output, journals)
    from ome_writers.formats.ometiff.metadata_copies import warn_of_copies

    warn_of_copies(plan)
    digits = max(3, len(str(len(plan.images) - 1)))
    stem, suffix = _stem(output.name), _suffix(plan)
    files = tuple(f"{stem}_p{i:0{digits}d}{suffix}" for i in range(len(plan.images)))
    journals = journal_keys(files, in_folder=True)
    return in_files(plan, files), Layout(output, output, journals, _entry(plan, output))


def in_files(plan: Plan, files: Sequence[str]) -> Plan:
    """Return the plan with the file of each image; resolution levels are SubIFDs in the same file."""
    pairs = zip(plan.images, files, strict=True)
    return plan.with_keys(files, [(file,) * len(image.levels) for image, file in pairs])


def journal_keys(files: Sequence[str], *, in_folder: bool) -> tuple[str, ...]:
    """Return the key of each image's journal; `files` has the file of each image, `in_folder` is that of a set."""
    if in_folder:
        return tuple(f"{file}.jsonl" for file in files)
    marks = [""] if len(files) == 1 else [f".{i}" for i in range(len(files))]
    return tuple(f".{file}{mark}.jsonl" for file, mark in zip(files, marks, strict=True))


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
    """The OME-XML documents of an OME-TIFF, each in a file."""

    # document number to key: the number of the (first) image for a TIFF file, -1 for a companion file
    keys: dict[int, str]
    uuids: dict[int, str]  # document number to the UUID of the file
    complete: tuple[int, ...]  # numbers of the documents with all metadata
    # numbers of the documents that only refer to the first of `complete`
    binary_only: tuple[int, ...]

    @classmethod
    def of(cls, plan: Plan, layout: Layout) -> TiffSet:
        mode = _metadata_mode(plan)
        first_images: dict[str, int] = {}  # by file
        for image in plan.images:
            first_images.setdefault(image.key, image.number)
        keys = {number: file for file, number in first_images.items()}
        numbers = complete = tuple(keys)
        binary_only: tuple[int, ...] = ()
        if mode == "companion-file":
            name = getattr(plan.settings.format, "companion_file", "")
            companion = _companion(name, _stem(layout.output.name))
            keys = {-1: companion, **keys}
            complete, binary_only = (-1,), numbers
        elif mode == "master-tiff":
            complete, binary_only = numbers[:1], numbers[1:]
        random = os.urandom(16 * len(keys))  # in one call: a call per file takes ten times as long
        uuids = [uuid.UUID(bytes=random[16 * i : 16 * i + 16], version=4) for i in range(len(keys))]
        urns = {n: each.urn for n, each in zip(keys, uuids, strict=True)}
        return cls(keys, urns, complete, binary_only)

    @property
    def has_companion(self) -> bool:
        return -1 in self.keys

    @property
    def renumbers(self) -> bool:
        """Whether the IFDs of unused planes are removed at the end: only where one file has all metadata."""
        return self.keys.keys() == {0}


def _metadata_mode(plan: Plan) -> str:
    if not is_set(plan):
        return "single file"
    from ome_writers.formats.ometiff.metadata_copies import metadata_mode

    return metadata_mode(plan)


def ifd_runs(
    plan: Plan,
    files: TiffSet,
    shapes: Sequence[Sequence[int]],
    *,
    writing: bool,
) -> list[IfdRuns]:
    """Return the IFDs of each image's planes, in the order of the TIFF engine (see `PageOrder`).

    If the shapes are smaller than planned, the IFDs of a single file are renumbered when its OME-XML is replaced. Those
    of a set keep their numbers, because several files cannot be replaced atomically.
    """
    renumbered = files.renumbers and not writing
    in_file: dict[str, list[int]] = {}
    for image in plan.images:
        in_file.setdefault(image.key, []).append(image.number)
    cache: dict[tuple[object, ...], list[_Runs]] = {}
    runs: dict[int, _Runs] = {}
    for numbers in in_file.values():
        arrays = [plan.images[n].array for n in numbers]
        final = [tuple(shapes[n]) for n in numbers]
        kind = (*(array.storage for array in arrays), *final)
        if kind not in cache:
            cache[kind] = _runs(arrays, final, renumbered=renumbered)
        runs.update(zip(numbers, cache[kind], strict=True))
    if not is_set(plan):
        return [IfdRuns(runs[n]) for n in range(len(shapes))]
    per_plane = files.has_companion and sum(math.prod(s[:-2]) for s in shapes) <= _MAX_TIFF_DATA
    return [
        IfdRuns(runs[n], plan.images[n].key, files.uuids[n], per_plane) for n in range(len(shapes))
    ]


def _runs(
    arrays: Sequence[LevelSpec], shapes: Sequence[tuple[int, ...]], *, renumbered: bool
) -> list[_Runs]:
    """Return the runs of consecutive IFDs of each array in one file."""
    order = PageOrder(arrays)
    whole = all(a.growing is not None or a.shape == s for a, s in zip(arrays, shapes, strict=True))
    if whole and (len(arrays) == 1 or not order.grows):
        counts = [math.prod(shape[:-2]) for shape in shapes]
        return [[(0, *run)] for run in zip(order.firsts, counts, strict=True)]
    kept = order.pages_within(shapes) if renumbered else None
    found: list[_Runs] = []
    for number, (array, shape) in enumerate(zip(arrays, shapes, strict=True)):
        # in DimensionOrder, a growing axis is the slowest
        pages = np.moveaxis(order.pages(number, shape), array.growing or 0, 0).ravel()
        if kept is not None:
            pages = np.searchsorted(kept, pages)
        starts = np.flatnonzero(np.diff(pages, prepend=-2) != 1)
        counts = np.diff(starts, append=len(pages)).tolist()
        found.append(list(zip(starts.tolist(), pages[starts].tolist(), counts, strict=True)))
    return found


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
