"""Untrusted input: every reader opens files, parses JSON and XML, and accepts numbers through these functions.

`Location` is a file or folder on this disk, at a URL or in an archive. Only regular files inside the dataset are
opened, XML entities are never expanded, and a number is checked before memory is allocated for it. Input that
fails a check raises `ome_writers.errors.InvalidFileError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from ome_writers.untrusted.archive import archive_members as archive_members
    from ome_writers.untrusted.archive import refuse_archive as refuse_archive
    from ome_writers.untrusted.dataset_location import local_path as local_path
    from ome_writers.untrusted.dataset_location import locate as locate
    from ome_writers.untrusted.dataset_location import path_or_url as path_or_url
    from ome_writers.untrusted.dataset_location import read_lines as read_lines
    from ome_writers.untrusted.dataset_location import read_regular as read_regular
    from ome_writers.untrusted.files import ARCHIVE_SUFFIX as ARCHIVE_SUFFIX
    from ome_writers.untrusted.files import Limit as Limit
    from ome_writers.untrusted.files import check_space as check_space
    from ome_writers.untrusted.files import guard_reader as guard_reader
    from ome_writers.untrusted.files import is_link as is_link
    from ome_writers.untrusted.files import member as member
    from ome_writers.untrusted.files import open_regular as open_regular
    from ome_writers.untrusted.files import read_file as read_file
    from ome_writers.untrusted.files import read_file_lines as read_file_lines
    from ome_writers.untrusted.location import Location as Location
    from ome_writers.untrusted.moved_record import MovedFile as MovedFile
    from ome_writers.untrusted.moved_record import MovedFiles as MovedFiles
    from ome_writers.untrusted.moved_record import moved_file as moved_file
    from ome_writers.untrusted.moved_record import moved_files as moved_files
    from ome_writers.untrusted.parsing import MAX_DIMENSIONS as MAX_DIMENSIONS
    from ome_writers.untrusted.parsing import MAX_FRAMES as MAX_FRAMES
    from ome_writers.untrusted.parsing import MAX_IMAGES as MAX_IMAGES
    from ome_writers.untrusted.parsing import check_chunk_shape as check_chunk_shape
    from ome_writers.untrusted.parsing import check_count as check_count
    from ome_writers.untrusted.parsing import check_distinct as check_distinct
    from ome_writers.untrusted.parsing import check_memory as check_memory
    from ome_writers.untrusted.parsing import check_shape as check_shape
    from ome_writers.untrusted.parsing import memory_bytes as memory_bytes
    from ome_writers.untrusted.parsing import parse_json as parse_json
    from ome_writers.untrusted.parsing import parse_xml as parse_xml
    from ome_writers.untrusted.parsing import read_json as read_json
    from ome_writers.untrusted.parsing import read_json_object as read_json_object
    from ome_writers.untrusted.remote_store import ListingError as ListingError
    from ome_writers.untrusted.remote_store import call_concurrently as call_concurrently
    from ome_writers.untrusted.text import printable as printable
    from ome_writers.untrusted.text import printable_json as printable_json
else:
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            ".archive": ("archive_members", "refuse_archive"),
            ".dataset_location": (
                "local_path",
                "locate",
                "path_or_url",
                "read_lines",
                "read_regular",
            ),
            ".files": (
                "ARCHIVE_SUFFIX",
                "Limit",
                "check_space",
                "guard_reader",
                "is_link",
                "member",
                "open_regular",
                "read_file",
                "read_file_lines",
            ),
            ".location": ("Location",),
            ".moved_record": ("MovedFile", "MovedFiles", "moved_file", "moved_files"),
            ".parsing": (
                "MAX_DIMENSIONS",
                "MAX_FRAMES",
                "MAX_IMAGES",
                "check_chunk_shape",
                "check_count",
                "check_distinct",
                "check_memory",
                "check_shape",
                "memory_bytes",
                "parse_json",
                "parse_xml",
                "read_json",
                "read_json_object",
            ),
            ".remote_store": ("ListingError", "call_concurrently"),
            ".text": ("printable", "printable_json"),
        },
    )
