"""Edits of the OME-XML of an OME-TIFF in place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ome_writers.errors import UnsupportedError
from ome_writers.formats.ome_xml import edited_xml
from ome_writers.formats.ometiff.entry_file import find_entry_file, render_entry_file
from ome_writers.formats.ometiff.file_sets import ome_xml_files
from ome_writers.formats.ometiff.first_page import read_ome_xml
from ome_writers.formats.ometiff.ifd_repair import IfdRepair
from ome_writers.storage import LocalStore, atomic_write

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
    with open_metadata(path) as stored:
        for file, text in stored.texts.items():
            stored.texts[file] = edited_xml(text, file, changes)
    return stored.changed_files


def put(root: Path, key: str, content: bytes) -> None:
    """Replace the OME-XML in a file of a closed dataset, or another document."""
    if content.startswith(b"<") and not key.endswith(".ome"):
        IfdRepair(root / key).write_description(content)
    else:
        LocalStore(root).put(key, content)


@contextmanager
def open_metadata(path: Path) -> Iterator[StoredTexts]:
    """Yield the OME-XML of a file, or of the set in a folder, and save what the block changes; nothing if it raises.

    The caller keeps other processes from writing the dataset; see `formats.edit_in_place`.

    Raises UnsupportedError if it is one file of a set, or a file of another program.
    """
    stored = StoredTexts(path)
    yield stored
    stored.save()


class StoredTexts:
    """The OME-XML of each file that contains all of it, in `texts`, to be changed.

    `changed_files` are those that `save` has replaced; the entry file of a set is one of them.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._in_folder = path, path.is_dir()
        self.texts: dict[Path, bytes] = {}
        self.changed_files: list[Path] = []
        for file in ome_xml_files(path):
            text = read_ome_xml(file, path if self._in_folder else None)
            if b"<BinaryOnly" not in text[:4096]:
                self.texts[file] = text
        if not self._in_folder and (not self.texts or b"<UUID FileName=" in self.texts[path]):
            raise UnsupportedError(
                f"{path} is one file of a set: edit the folder {path.parent} instead."
            )
        tiffs = (file for file in self.texts if file.suffix.lower() != ".ome")
        self._chains = {file: IfdRepair(file) for file in tiffs}
        for chain in self._chains.values():
            chain.refuse_foreign()

    def save(self) -> None:
        for file, text in self.texts.items():
            if file in self._chains:
                self._chains[file].write_description(text)
            else:
                atomic_write(file, text, durable=True)
            self.changed_files.append(file)
        entry = find_entry_file(self._path) if self._in_folder else None
        if entry is not None:  # a companion file first
            source = min(self.texts, key=lambda file: (file in self._chains, file.name))
            atomic_write(
                entry, render_entry_file(self.texts[source], self._path.name), durable=True
            )
            self.changed_files.append(entry)
