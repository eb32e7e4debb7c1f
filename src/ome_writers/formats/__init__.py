"""File formats: a folder per format with all its verbs, and what they share. Writing of pixels belongs to `storage`.

`format_rows` has a row per format: a new format is one folder, which exports its row. Other packages ask the row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from ome_writers.formats.dataset_metadata import AddedMetadata as AddedMetadata
    from ome_writers.formats.dataset_metadata import DatasetMetadata as DatasetMetadata
    from ome_writers.formats.dataset_metadata import Layout as Layout
    from ome_writers.formats.dataset_metadata import ListsMissingPlanes as ListsMissingPlanes
    from ome_writers.formats.dataset_metadata import Outcome as Outcome
    from ome_writers.formats.dataset_metadata import Patch as Patch
    from ome_writers.formats.dataset_metadata import Status as Status
    from ome_writers.formats.dataset_metadata import SupportsCarryOver as SupportsCarryOver
    from ome_writers.formats.dataset_metadata import SupportsGrow as SupportsGrow
    from ome_writers.formats.dataset_metadata import check_global_metadata as check_global_metadata
    from ome_writers.formats.dataset_reader import dataset_files as dataset_files
    from ome_writers.formats.dataset_reader import dataset_ome_xml as dataset_ome_xml
    from ome_writers.formats.dataset_reader import (
        frame_metadata_by_image as frame_metadata_by_image,
    )
    from ome_writers.formats.dataset_reader import local_copy as local_copy
    from ome_writers.formats.dataset_reader import read as read
    from ome_writers.formats.dataset_reader import read_frame_metadata as read_frame_metadata
    from ome_writers.formats.dataset_reader import referenced_copy as referenced_copy
    from ome_writers.formats.derivation import Derivation as Derivation
    from ome_writers.formats.derivation import DerivedKind as DerivedKind
    from ome_writers.formats.frame_metadata import Journal as Journal
    from ome_writers.formats.frame_metadata import JournalEntry as JournalEntry
    from ome_writers.formats.frame_metadata import latest_entries as latest_entries
    from ome_writers.formats.frame_metadata_table import frame_columns as frame_columns
    from ome_writers.formats.frame_metadata_table import frame_table as frame_table
    from ome_writers.formats.in_place import edit_in_place as edit_in_place
    from ome_writers.formats.interrupted_edit import finish_edit as finish_edit
    from ome_writers.formats.ownership import SYSTEM_FILES as SYSTEM_FILES
    from ome_writers.formats.ownership import foreign_files as foreign_files
    from ome_writers.formats.ownership import (
        foreign_files_of_aborted_start as foreign_files_of_aborted_start,
    )
    from ome_writers.formats.path_names import check_output_path as check_output_path
    from ome_writers.formats.path_names import path_component as path_component
    from ome_writers.formats.plan_spec import spec_of_plan as spec_of_plan
    from ome_writers.formats.registry import FormatRow as FormatRow
    from ome_writers.formats.registry import OpenPixels as OpenPixels
    from ome_writers.formats.registry import abbreviated_list as abbreviated_list
    from ome_writers.formats.registry import archive_format as archive_format
    from ome_writers.formats.registry import create_metadata as create_metadata
    from ome_writers.formats.registry import detect_format as detect_format
    from ome_writers.formats.registry import entry_folder as entry_folder
    from ome_writers.formats.registry import find_format as find_format
    from ome_writers.formats.registry import format_row as format_row
    from ome_writers.formats.registry import format_rows as format_rows
    from ome_writers.formats.registry import lay_out as lay_out
    from ome_writers.formats.registry import resolve_entry_file as resolve_entry_file
    from ome_writers.formats.report import Check as Check
    from ome_writers.formats.report import Finding as Finding
    from ome_writers.formats.resumption import Attempt as Attempt
    from ome_writers.formats.resumption import Reopened as Reopened
    from ome_writers.formats.resumption import ResumableDataset as ResumableDataset
    from ome_writers.formats.ro_crate import crate_path as crate_path
    from ome_writers.formats.ro_crate import edit_crate as edit_crate
    from ome_writers.formats.ro_crate import refuse_foreign_crate as refuse_foreign_crate
    from ome_writers.formats.ro_crate import render_crate as render_crate
    from ome_writers.formats.settings_edit import UNITS as UNITS
    from ome_writers.formats.settings_edit import Changes as Changes
    from ome_writers.formats.settings_edit import image_name as image_name
    from ome_writers.formats.settings_edit import stage_numbers as stage_numbers
    from ome_writers.formats.settings_edit import z_shift as z_shift
    from ome_writers.formats.stored_settings import plan_from_settings as plan_from_settings
    from ome_writers.formats.stored_settings import stored_plan as stored_plan
else:
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            ".dataset_metadata": (
                "AddedMetadata",
                "DatasetMetadata",
                "Layout",
                "Outcome",
                "Patch",
                "ListsMissingPlanes",
                "Status",
                "SupportsCarryOver",
                "SupportsGrow",
                "check_global_metadata",
            ),
            ".dataset_reader": (
                "dataset_files",
                "dataset_ome_xml",
                "frame_metadata_by_image",
                "local_copy",
                "read",
                "read_frame_metadata",
                "referenced_copy",
            ),
            ".derivation": ("Derivation", "DerivedKind"),
            ".frame_metadata": ("Journal", "JournalEntry", "latest_entries"),
            ".frame_metadata_table": ("frame_columns", "frame_table"),
            ".in_place": ("edit_in_place",),
            ".interrupted_edit": ("finish_edit",),
            ".ownership": ("SYSTEM_FILES", "foreign_files", "foreign_files_of_aborted_start"),
            ".path_names": ("check_output_path", "path_component"),
            ".plan_spec": ("spec_of_plan",),
            ".registry": (
                "FormatRow",
                "OpenPixels",
                "abbreviated_list",
                "archive_format",
                "create_metadata",
                "detect_format",
                "entry_folder",
                "find_format",
                "format_row",
                "format_rows",
                "lay_out",
                "resolve_entry_file",
            ),
            ".report": ("Check", "Finding"),
            ".resumption": ("Attempt", "Reopened", "ResumableDataset"),
            ".ro_crate": ("crate_path", "edit_crate", "refuse_foreign_crate", "render_crate"),
            ".settings_edit": ("Changes", "UNITS", "image_name", "stage_numbers", "z_shift"),
            ".stored_settings": ("plan_from_settings", "stored_plan"),
        },
    )
