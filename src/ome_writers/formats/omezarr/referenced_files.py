"""Copies of remote OME-Zarr datasets from servers that do not list files: the metadata name the files to request."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from ome_writers.errors import UnsupportedError
from ome_writers.formats.frame_metadata import JOURNAL_NAME
from ome_writers.formats.omezarr.layout import XML_KEY
from ome_writers.formats.omezarr.node_metadata import parse_array_metadata, read_settings
from ome_writers.untrusted import (
    MAX_FRAMES,
    call_concurrently,
    check_count,
    guard_reader,
    locate,
    member,
    read_json,
)

_MAX_DEPTH = 6  # a plate has 4: row, column, field of view, level


def copy_referenced(root: Path, copy: Path) -> None:
    """Copy the files of a remote OME-Zarr that its metadata refer to into the new folder `copy`.

    Chunks are copied only if ome-writers wrote the dataset. Missing files are left out, and metadata that cannot be
    parsed refer to nothing.

    Raises OSError if a request fails, UnsupportedError if this disk does not have enough space.
    """
    waiting, seen = [""], {""}
    while waiting:
        node = waiting.pop()
        if not _download(root, copy, _join(node, "zarr.json")):
            continue
        nodes: list[str] = []
        files: Iterable[str] = ()
        with suppress(UnsupportedError), guard_reader(copy):  # the checks of the copy report it
            metadata = read_json(copy.joinpath(node, "zarr.json"), root=copy)
            if metadata.get("node_type") != "array":
                files = [_join(node, JOURNAL_NAME), *([XML_KEY] if node == "OME" else [])]
                nodes = list(_references(node, metadata["attributes"]["ome"]))
            elif read_settings(copy) is not None:
                files = _chunk_keys(metadata, node)
        call_concurrently(partial(_download, root, copy), files)
        found = [key for key in dict.fromkeys(nodes) if key not in seen and _is_valid(copy, key)]
        waiting += found
        seen.update(found)


def _download(root: Path, copy: Path, key: str) -> bool:
    """Copy a file; return whether it exists."""
    try:
        locate(root, key).copy_to(member(copy, key))
    except FileNotFoundError:
        return False
    return True


def _is_valid(copy: Path, key: str) -> bool:
    try:
        member(copy, key)
    except UnsupportedError:
        return False
    return key.count("/") < _MAX_DEPTH


def _references(group: str, ome: dict[str, Any]) -> Iterator[str]:
    """Yield the keys of the groups and arrays that the attributes of a group refer to."""
    for multiscale in ome.get("multiscales", ()):
        for level in multiscale["datasets"]:
            yield _join(group, level["path"])
    for well in ome.get("plate", {}).get("wells", ()):
        yield _join(group, well["path"].partition("/")[0])
        yield _join(group, well["path"])
    for image in ome.get("well", {}).get("images", ()):
        yield _join(group, image["path"])
    if "bioformats2raw.layout" in ome:
        yield "OME"
    yield from ome.get("series", ())  # relative to the root


def _chunk_keys(metadata: dict[str, Any], array: str) -> Iterable[str]:
    """Return the keys of the chunks of an array, or of its shards."""
    parsed = parse_array_metadata(metadata, array)
    shape = parsed.shards or parsed.chunks
    grid = [math.ceil(n / size) for n, size in zip(parsed.shape, shape, strict=True)]
    check_count(math.prod(grid), f"{array}: the number of chunks", MAX_FRAMES)
    return ("/".join((array, "c", *map(str, index))) for index in product(*map(range, grid)))


def _join(parent: str, name: str) -> str:
    return f"{parent}/{name}" if parent else name
