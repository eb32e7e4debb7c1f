"""Is this a dataset that this library wrote, or the start of one? Asked before anything is replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers.errors import UnsupportedError
from ome_writers.formats.omezarr.groups import group_attributes, image_groups, read_document

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["is_document", "is_ours"]

_SET_SUFFIXES = (".ome.tif", ".ome.tiff", ".companion.ome", ".jsonl", ".lock")


def is_ours(path: Path) -> bool:
    """Whether `path` is an OME-Zarr, an OME-TIFF (file or set) or a scratch store of this library.

    A symbolic link never is: what it points to may be anything.
    """
    if path.is_symlink():
        return False
    if path.is_file():
        return _is_our_tiff(path)
    if not path.is_dir():
        return False
    return _is_our_zarr(path) or _is_our_scratch(path) or _is_our_set(path)


def is_document(name: str) -> bool:
    """Whether a file's name is that of a document, which is there before the first frame."""
    return name == "zarr.json" or name.endswith(".companion.ome")


def _is_our_zarr(folder: Path) -> bool:
    attributes = group_attributes(folder)
    return "ome_writers" in attributes or (
        set(attributes) == {"ome"} and _is_of_an_older_version(folder)
    )


def _is_of_an_older_version(folder: Path) -> bool:
    """Whether an OME-Zarr may be from before 1.0, when not all said who had written them.

    Their images have neither a name nor a type, and collections no OME-XML. Other writers say at least one of these.
    """
    try:
        groups = image_groups(folder)
    except UnsupportedError:
        return False
    omes = [group_attributes(folder / group)["ome"] for group in groups]
    images = [multiscale for ome in omes for multiscale in ome.get("multiscales", ())]
    return (
        bool(images)
        and all(set(image) <= {"axes", "datasets"} for image in images)
        and not (folder / "OME" / "METADATA.ome.xml").exists()
    )


def _is_our_scratch(folder: Path) -> bool:
    return {"settings", "position_shapes"} <= set(read_document(folder / "manifest.json"))


def _is_our_set(folder: Path) -> bool:
    files = list(folder.iterdir())
    tiffs = [f for f in files if f.name.lower().endswith((".ome.tif", ".ome.tiff"))]
    return (
        bool(tiffs)
        and all(f.is_file() and f.name.lower().endswith(_SET_SUFFIXES) for f in files)
        and all(_is_our_tiff(f) for f in tiffs)
    )


def _is_our_tiff(file: Path) -> bool:
    with file.open("rb") as stream:
        head = stream.read(4)
        if head not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            return False
        stream.seek(0)
        # the name stands in the Software tag and in the OME-XML, near the start or at the very end
        start = stream.read(2**20)
        stream.seek(0, 2)
        stream.seek(max(0, stream.tell() - 2**20))
        return b"ome-writers" in start or b"ome-writers" in stream.read()
