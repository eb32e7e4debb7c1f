"""Descriptions of datasets of any writer, from their metadata; pixels are not read."""

from __future__ import annotations

from pathlib import Path

from ome_writers.cli.description.acquisition import (
    AcquisitionDescription,
    ChannelDescription,
    describe_acquisition,
    parse_time,
    seconds_between,
)
from ome_writers.cli.description.description import (
    Description,
    ImageDescription,
    describe,
    describe_spec,
)
from ome_writers.cli.description.folder import FolderContent, list_datasets
from ome_writers.cli.description.plate_map import group_images, plate_map
from ome_writers.formats import resolve_entry_file
from ome_writers.storage import lock_owner, lock_path

__all__ = [
    "AcquisitionDescription",
    "ChannelDescription",
    "Description",
    "FolderContent",
    "ImageDescription",
    "describe",
    "describe_acquisition",
    "describe_spec",
    "group_images",
    "list_datasets",
    "parse_time",
    "plate_map",
    "seconds_between",
    "writer_has_ended",
]


def writer_has_ended(path: Path) -> bool:
    """Whether the lock of a dataset belongs to a process that has ended; False for a process of another machine."""
    path = resolve_entry_file(path)
    lock = lock_path(path, folder=path.is_dir())
    return lock.exists() and lock_owner(lock) is None
