"""What programs beside the writer build upon: the names of the core that `ome_writers_tools` imports.

A tool (the command line, conversion, processing, advice, the server) imports from `ome_writers` and from here, and
nothing else of the core. Unlike the names of `ome_writers`, these are provisional: a minor version may change them.
"""
# Longer than 300 lines: each name once for type checkers and once for the import on first use.

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers.lazy_exports import lazy_exports as lazy_exports

if TYPE_CHECKING:
    from ome_writers.codecs import COMPRESSIONS as COMPRESSIONS
    from ome_writers.codecs import TIFF_COMPRESSIONS as TIFF_COMPRESSIONS
    from ome_writers.codecs import ZARR_COMPRESSIONS as ZARR_COMPRESSIONS
    from ome_writers.codecs import zarr_codecs as zarr_codecs
    from ome_writers.downsampling import Method as Method
    from ome_writers.downsampling import downsample as downsample
    from ome_writers.errors import checked_call as checked_call
    from ome_writers.errors import describe_frames as describe_frames
    from ome_writers.file_sharing import rename as rename
    from ome_writers.file_sharing import retry_while_open as retry_while_open
    from ome_writers.file_sync import sync as sync
    from ome_writers.file_sync import sync_file as sync_file
    from ome_writers.file_sync import sync_files as sync_files
    from ome_writers.file_sync import sync_folder as sync_folder
    from ome_writers.file_sync import sync_folders as sync_folders
    from ome_writers.file_sync import sync_tree as sync_tree
    from ome_writers.formats import SYSTEM_FILES as SYSTEM_FILES
    from ome_writers.formats import UNITS as UNITS
    from ome_writers.formats import Changes as Changes
    from ome_writers.formats import Layout as Layout
    from ome_writers.formats import abbreviated_list as abbreviated_list
    from ome_writers.formats import archive_format as archive_format
    from ome_writers.formats import crate_path as crate_path
    from ome_writers.formats import dataset_files as dataset_files
    from ome_writers.formats import dataset_ome_xml as dataset_ome_xml
    from ome_writers.formats import detect_format as detect_format
    from ome_writers.formats import edit_crate as edit_crate
    from ome_writers.formats import edit_in_place as edit_in_place
    from ome_writers.formats import find_format as find_format
    from ome_writers.formats import format_row as format_row
    from ome_writers.formats import format_rows as format_rows
    from ome_writers.formats import frame_columns as frame_columns
    from ome_writers.formats import frame_metadata_by_image as frame_metadata_by_image
    from ome_writers.formats import image_name as image_name
    from ome_writers.formats import lay_out as lay_out
    from ome_writers.formats import local_copy as local_copy
    from ome_writers.formats import path_component as path_component
    from ome_writers.formats import refuse_foreign_crate as refuse_foreign_crate
    from ome_writers.formats import render_crate as render_crate
    from ome_writers.formats import resolve_entry_file as resolve_entry_file
    from ome_writers.formats import stage_numbers as stage_numbers
    from ome_writers.formats import z_shift as z_shift
    from ome_writers.formats.ome_xml import parse_ome_xml as parse_ome_xml
    from ome_writers.formats.ome_xml import parse_once as parse_once
    from ome_writers.formats.omezarr import ImageCopy as ImageCopy
    from ome_writers.formats.omezarr import add_label_levels as add_label_levels
    from ome_writers.formats.omezarr import open_metadata as open_metadata
    from ome_writers.locks import new_lock as new_lock
    from ome_writers.object_store import check_store_url as check_store_url
    from ome_writers.object_store import failure_reason as failure_reason
    from ome_writers.object_store import listed_prefix as listed_prefix
    from ome_writers.object_store import local_folder as local_folder
    from ome_writers.object_store import open_store as open_store
    from ome_writers.object_store import refuse_overlap as refuse_overlap
    from ome_writers.object_store import unreachable_error as unreachable_error
    from ome_writers.repair import Finding as Finding
    from ome_writers.repair import Repair as Repair
    from ome_writers.routing import Address as Address
    from ome_writers.routing import camera_axis as camera_axis
    from ome_writers.routing import resolve as resolve
    from ome_writers.settings import MAX_LEVELS as MAX_LEVELS
    from ome_writers.settings import Format as Format
    from ome_writers.settings import FormatSettings as FormatSettings
    from ome_writers.settings import PyramidMethod as PyramidMethod
    from ome_writers.settings import duplicates as duplicates
    from ome_writers.settings import engine_rows as engine_rows
    from ome_writers.settings import engines_of as engines_of
    from ome_writers.settings import find_engine as find_engine
    from ome_writers.settings import foreign_ending as foreign_ending
    from ome_writers.settings import format_models as format_models
    from ome_writers.settings import inferred_format as inferred_format
    from ome_writers.settings import mirror_of as mirror_of
    from ome_writers.settings import read_root_path as read_root_path
    from ome_writers.settings import split_suffix as split_suffix
    from ome_writers.storage import DERIVED as DERIVED
    from ome_writers.storage import LOCK_NAME as LOCK_NAME
    from ome_writers.storage import Background as Background
    from ome_writers.storage import Engine as Engine
    from ome_writers.storage import EngineStats as EngineStats
    from ome_writers.storage import EvictingEngine as EvictingEngine
    from ome_writers.storage import ExistingArray as ExistingArray
    from ome_writers.storage import LocalStore as LocalStore
    from ome_writers.storage import MemoryBudget as MemoryBudget
    from ome_writers.storage import Options as Options
    from ome_writers.storage import Unit as Unit
    from ome_writers.storage import WriteBuffer as WriteBuffer
    from ome_writers.storage import WriteFailure as WriteFailure
    from ome_writers.storage import acquire_lock as acquire_lock
    from ome_writers.storage import atomic_write as atomic_write
    from ome_writers.storage import available_cpus as available_cpus
    from ome_writers.storage import choose as choose
    from ome_writers.storage import is_part_of_lock as is_part_of_lock
    from ome_writers.storage import is_temporary as is_temporary
    from ome_writers.storage import lock_owner as lock_owner
    from ome_writers.storage import lock_path as lock_path
    from ome_writers.storage import lower_thread_priority as lower_thread_priority
    from ome_writers.storage import part_of as part_of
    from ome_writers.storage import read_fully as read_fully
    from ome_writers.storage import share as share
    from ome_writers.storage import sibling_path as sibling_path
    from ome_writers.storage.direct import open_engine as open_engine
    from ome_writers.storage.zarr import ArrayMetadataWriter as ArrayMetadataWriter
    from ome_writers.storage.zarr import Codec as Codec
    from ome_writers.storage.zarr import ShardReader as ShardReader
    from ome_writers.storage.zarr import render_array_metadata as render_array_metadata
    from ome_writers.streaming import resume_blocker as resume_blocker
    from ome_writers.units import ome_symbol as ome_symbol
    from ome_writers.units import si_value as si_value
    from ome_writers.untrusted import MAX_FRAMES as MAX_FRAMES
    from ome_writers.untrusted import Limit as Limit
    from ome_writers.untrusted import ListingError as ListingError
    from ome_writers.untrusted import MovedFile as MovedFile
    from ome_writers.untrusted import MovedFiles as MovedFiles
    from ome_writers.untrusted import archive_members as archive_members
    from ome_writers.untrusted import check_count as check_count
    from ome_writers.untrusted import guard_reader as guard_reader
    from ome_writers.untrusted import is_link as is_link
    from ome_writers.untrusted import local_path as local_path
    from ome_writers.untrusted import locate as locate
    from ome_writers.untrusted import member as member
    from ome_writers.untrusted import memory_bytes as memory_bytes
    from ome_writers.untrusted import moved_files as moved_files
    from ome_writers.untrusted import open_regular as open_regular
    from ome_writers.untrusted import path_or_url as path_or_url
    from ome_writers.untrusted import printable as printable
    from ome_writers.untrusted import printable_json as printable_json
    from ome_writers.untrusted import read_lines as read_lines
    from ome_writers.untrusted import read_regular as read_regular
    from ome_writers.validation import Check as Check
    from ome_writers.validation import Validation as Validation
    from ome_writers.views import OpenDataset as OpenDataset
    from ome_writers.views import open_dataset as open_dataset
    from ome_writers.views import view_names as view_names
else:
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            "ome_writers.codecs": (
                "COMPRESSIONS",
                "TIFF_COMPRESSIONS",
                "ZARR_COMPRESSIONS",
                "zarr_codecs",
            ),
            "ome_writers.downsampling": (
                "Method",
                "downsample",
            ),
            "ome_writers.errors": (
                "checked_call",
                "describe_frames",
            ),
            "ome_writers.file_sharing": (
                "retry_while_open",
                "rename",
            ),
            "ome_writers.file_sync": (
                "sync_folders",
                "sync",
                "sync_file",
                "sync_files",
                "sync_folder",
                "sync_tree",
            ),
            "ome_writers.formats": (
                "SYSTEM_FILES",
                "Changes",
                "Layout",
                "UNITS",
                "abbreviated_list",
                "archive_format",
                "crate_path",
                "dataset_files",
                "dataset_ome_xml",
                "detect_format",
                "edit_crate",
                "edit_in_place",
                "find_format",
                "format_row",
                "format_rows",
                "frame_columns",
                "frame_metadata_by_image",
                "image_name",
                "lay_out",
                "local_copy",
                "path_component",
                "refuse_foreign_crate",
                "render_crate",
                "resolve_entry_file",
                "stage_numbers",
                "z_shift",
            ),
            "ome_writers.formats.ome_xml": (
                "parse_ome_xml",
                "parse_once",
            ),
            "ome_writers.formats.omezarr": (
                "ImageCopy",
                "add_label_levels",
                "open_metadata",
            ),
            "ome_writers.locks": ("new_lock",),
            "ome_writers.object_store": (
                "check_store_url",
                "failure_reason",
                "listed_prefix",
                "local_folder",
                "open_store",
                "refuse_overlap",
                "unreachable_error",
            ),
            "ome_writers.repair": (
                "Finding",
                "Repair",
            ),
            "ome_writers.routing": (
                "Address",
                "camera_axis",
                "resolve",
            ),
            "ome_writers.settings": (
                "mirror_of",
                "Format",
                "FormatSettings",
                "MAX_LEVELS",
                "PyramidMethod",
                "duplicates",
                "engine_rows",
                "engines_of",
                "find_engine",
                "foreign_ending",
                "format_models",
                "inferred_format",
                "read_root_path",
                "split_suffix",
            ),
            "ome_writers.storage": (
                "Background",
                "EvictingEngine",
                "is_temporary",
                "share",
                "DERIVED",
                "Engine",
                "EngineStats",
                "ExistingArray",
                "LOCK_NAME",
                "LocalStore",
                "MemoryBudget",
                "Options",
                "Unit",
                "WriteBuffer",
                "WriteFailure",
                "acquire_lock",
                "atomic_write",
                "available_cpus",
                "choose",
                "is_part_of_lock",
                "lock_owner",
                "lock_path",
                "lower_thread_priority",
                "part_of",
                "read_fully",
                "sibling_path",
            ),
            "ome_writers.storage.direct": ("open_engine",),
            "ome_writers.storage.zarr": (
                "ArrayMetadataWriter",
                "Codec",
                "ShardReader",
                "render_array_metadata",
            ),
            "ome_writers.streaming": ("resume_blocker",),
            "ome_writers.units": ("ome_symbol", "si_value"),
            "ome_writers.untrusted": (
                "Limit",
                "MovedFile",
                "MovedFiles",
                "is_link",
                "moved_files",
                "read_lines",
                "read_regular",
                "ListingError",
                "MAX_FRAMES",
                "archive_members",
                "check_count",
                "guard_reader",
                "local_path",
                "locate",
                "member",
                "memory_bytes",
                "open_regular",
                "path_or_url",
                "printable",
                "printable_json",
            ),
            "ome_writers.validation": (
                "Check",
                "Validation",
            ),
            "ome_writers.views": (
                "OpenDataset",
                "open_dataset",
                "view_names",
            ),
        },
    )
