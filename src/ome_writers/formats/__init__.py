"""File formats: the metadata of each format, rendered and parsed. Pixels belong to `storage`.

`format_rows` has a row per format: a new format is one folder and one row.
"""

from __future__ import annotations

from ome_writers.formats.dataset_metadata import (
    STATUSES,
    DatasetMetadata,
    Layout,
    Outcome,
    Patch,
    Status,
    SupportsCarryOver,
    SupportsGrow,
    check_global_metadata,
)
from ome_writers.formats.dataset_reader import (
    dataset_files,
    dataset_ome_xml,
    frame_metadata_by_image,
    local_copy,
    read,
    read_frame_metadata,
    referenced_copy,
)
from ome_writers.formats.detection import abbreviated_list, detect_format
from ome_writers.formats.frame_metadata import (
    JOURNAL_NAME,
    Journal,
    JournalEntry,
    latest_entries,
    truncate_partial_line,
)
from ome_writers.formats.ometiff.entry_file import resolve_entry_file
from ome_writers.formats.ometiff.ownership import is_own_entry
from ome_writers.formats.ometiff.parse import OmeXml, load_ome_xml, parse_document
from ome_writers.formats.ownership import (
    SYSTEM_FILES,
    foreign_files,
    foreign_files_of_aborted_start,
)
from ome_writers.formats.path_names import check_output_path, make_distinct, path_component
from ome_writers.formats.plan_spec import spec_of_plan
from ome_writers.formats.registry import FormatRow, archive_format, format_row, format_rows
from ome_writers.formats.ro_crate import crate_path, refuse_foreign_crate, render_crate
from ome_writers.formats.stored_settings import plan_from_settings
from ome_writers.routing import Plan

__all__ = [
    "JOURNAL_NAME",
    "STATUSES",
    "SYSTEM_FILES",
    "DatasetMetadata",
    "FormatRow",
    "Journal",
    "JournalEntry",
    "Layout",
    "OmeXml",
    "Outcome",
    "Patch",
    "Status",
    "SupportsCarryOver",
    "SupportsGrow",
    "abbreviated_list",
    "archive_format",
    "check_global_metadata",
    "check_output_path",
    "crate_path",
    "create_metadata",
    "dataset_files",
    "dataset_ome_xml",
    "detect_format",
    "foreign_files",
    "foreign_files_of_aborted_start",
    "format_row",
    "format_rows",
    "frame_metadata_by_image",
    "is_own_entry",
    "latest_entries",
    "lay_out",
    "load_ome_xml",
    "local_copy",
    "make_distinct",
    "parse_document",
    "path_component",
    "plan_from_settings",
    "read",
    "read_frame_metadata",
    "referenced_copy",
    "refuse_foreign_crate",
    "render_crate",
    "resolve_entry_file",
    "spec_of_plan",
    "truncate_partial_line",
]


def lay_out(plan: Plan) -> Layout:
    """Return the keys of the arrays, metadata and journals of `plan`."""
    return format_row(plan.settings.format.name).lay_out(plan)


def create_metadata(plan: Plan, layout: Layout) -> DatasetMetadata:
    """Return the metadata of a new dataset; its first `render` yields all of it."""
    return format_row(plan.settings.format.name).create_metadata(plan, layout)
