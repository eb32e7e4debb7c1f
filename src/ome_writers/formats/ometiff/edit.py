"""Edits of the OME-XML of an OME-TIFF in place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ome_writers.errors import UnsupportedError
from ome_writers.formats.ome_xml import edited_xml
from ome_writers.formats.ometiff.entry_file import find_entry_file, render_entry_file
from ome_writers.formats.ometiff.file_sets import ome_xml_files
from ome_writers.formats.ometiff.first_page import read_ome_xml
from ome_writers.formats.ometiff.ifd_repair import IfdRepair
from ome_writers.storage import atomic_write

if TYPE_CHECKING:
    from ome_writers.dataset import DatasetSpec
    from ome_writers.formats.settings_edit import Changes


def edit(spec: DatasetSpec, changes: Changes) -> list[Path]:
    """Edit the OME-XML in each file that contains all of it, then that of the entry file."""
    path = spec.path
    settings_channels = [d.count for d in spec.dimensions if d.type == "channel"]
    for channel, fields in changes.channels.values():
        if "window" in fields and settings_channels != [changes.channel_count]:
            raise UnsupportedError(
                f"{path}: OME-TIFF has no element for display windows, and the dataset's settings have no channel for "
                f"{channel.name!r}. Convert it to OME-Zarr."
            )
    in_folder = path.is_dir()
    texts: dict[Path, bytes] = {}
    for file in ome_xml_files(path):
        text = read_ome_xml(file, path if in_folder else None)
        if b"<BinaryOnly" not in text[:4096]:
            texts[file] = edited_xml(text, file, changes)
    if not in_folder and (not texts or b"<UUID FileName=" in texts[path]):
        raise UnsupportedError(
            f"{path} is one file of a set: edit the folder {path.parent} instead."
        )
    chains = {file: IfdRepair(file) for file in texts if file.suffix.lower() != ".ome"}
    for chain in chains.values():
        chain.refuse_foreign()
    for file, text in texts.items():
        if file in chains:
            chains[file].write_description(text)
        else:
            atomic_write(file, text, durable=True)
    entry = find_entry_file(path) if in_folder else None
    if entry is not None:
        source = min(texts, key=lambda file: (file in chains, file.name))  # a companion file first
        atomic_write(entry, render_entry_file(texts[source], path.name), durable=True)
    return [*texts, *([entry] if entry else ())]
