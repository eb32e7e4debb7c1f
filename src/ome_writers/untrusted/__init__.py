"""Untrusted input: every reader opens files, parses JSON and XML, and accepts numbers through these functions.

Only regular files inside the dataset are opened, XML entities are never expanded, and a number is checked before memory
is allocated for it. Input that fails a check raises `ome_writers.errors.InvalidFileError`.
"""

from __future__ import annotations

from ome_writers.untrusted.archive import archive_members, refuse_archive
from ome_writers.untrusted.files import (
    Limit,
    guard_reader,
    is_link,
    member,
    open_range,
    open_regular,
    read_lines,
    read_regular,
)
from ome_writers.untrusted.parsing import parse_json, parse_xml, read_json
from ome_writers.untrusted.remote import (
    ARCHIVE_SUFFIX,
    check_space,
    is_archive,
    is_remote,
    local_path,
    path_or_url,
)
from ome_writers.untrusted.remote_store import ListingError
from ome_writers.untrusted.sizes import (
    MAX_FRAMES,
    MAX_IMAGES,
    check_count,
    check_distinct,
    check_memory,
    check_shape,
    memory_bytes,
    short_repr,
)
from ome_writers.untrusted.text import printable, printable_json
from ome_writers.untrusted.tiff import LoopDetector, TiffDirectory, TiffStructure, open_tiff
from ome_writers.untrusted.zarr import ArrayMetadata, array_metadata_file, parse_array_metadata

__all__ = [
    "ARCHIVE_SUFFIX",
    "MAX_FRAMES",
    "MAX_IMAGES",
    "ArrayMetadata",
    "Limit",
    "ListingError",
    "LoopDetector",
    "TiffDirectory",
    "TiffStructure",
    "archive_members",
    "array_metadata_file",
    "check_count",
    "check_distinct",
    "check_memory",
    "check_shape",
    "check_space",
    "guard_reader",
    "is_archive",
    "is_link",
    "is_remote",
    "local_path",
    "member",
    "memory_bytes",
    "open_range",
    "open_regular",
    "open_tiff",
    "parse_array_metadata",
    "parse_json",
    "parse_xml",
    "path_or_url",
    "printable",
    "printable_json",
    "read_json",
    "read_lines",
    "read_regular",
    "refuse_archive",
    "short_repr",
]
