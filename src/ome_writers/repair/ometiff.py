"""Recovery of an OME-TIFF, a file or the folder of a set, from its OME-XML, IFD chains and journals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ome_writers.errors import UnsupportedError
from ome_writers.formats import ome_xml_files
from ome_writers.formats.ometiff import (
    RecoveryXml,
    find_entry_file,
    read_ome_xml,
    render_entry_file,
    render_entry_xml,
)
from ome_writers.repair.plane_survey import InterruptedAcquisition, planes_of_closed
from ome_writers.storage import LOCK_NAME, Finding, files, lock_path
from ome_writers.storage.tiff import IfdRepair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ome_writers.formats.ometiff import RecoveredImage

__all__ = ["findings"]

_COMPANION = ".companion.ome"


def findings(root: Path, *, dry_run: bool) -> Iterator[Finding]:
    """Repair an OME-TIFF and yield the findings.

    Raises
    ------
    UnsupportedError
        If it was not written by this library.
    """
    return _TiffRepair(root, dry_run).findings()


class _TiffRepair:
    def __init__(self, root: Path, dry_run: bool) -> None:
        self._root = root
        self._dry_run = dry_run
        self._folder = root if root.is_dir() else root.parent
        names = [root.name]
        if root.is_dir():
            names = sorted(f.name for f in ome_xml_files(root))
        self._texts: dict[str, RecoveryXml] = {}
        for name in names:
            xml = read_ome_xml(self._path(name), self._folder if root.is_dir() else None)
            if b"<BinaryOnly" not in xml[:4096]:
                try:
                    self._texts[name] = RecoveryXml(xml)
                except UnsupportedError as error:
                    raise UnsupportedError(
                        f"{self._path(name)} was not written by this library and cannot be repaired: {error}."
                    ) from None
        if not self._texts or any(
            Path(image.file).name != image.file or (image.file and not root.is_dir())
            for text in self._texts.values()
            for image in text.images
        ):
            raise UnsupportedError(
                f"{root} is one file of a set: repair the folder {root.parent} instead."
            )
        self._text = next(iter(self._texts.values()))

    def findings(self) -> Iterator[Finding]:
        """Repair IFD chains, then metadata, then remove journals and temporary files, and the lock file last."""
        journals = self._journals()
        unfinished = {
            name: text
            for name, text in self._texts.items()
            if text.is_writing or any(not text.has_planes(number) for number in journals)
        }
        lock = lock_path(self._root, folder=self._root.is_dir())
        if unfinished or lock.exists():
            yield from self._finish(unfinished, journals)
        yield from self._update_entry_file()
        for path in journals.values():
            self._remove(path)
            yield Finding(path, "journal of frame metadata: moved into the OME-XML")
        if self._root.is_dir():
            members = {*self._texts, *self._tiffs(), LOCK_NAME.removeprefix(".")}
            for path in sorted(self._folder.iterdir()):
                if files.temporary_target(path.name) in members and path.is_file():
                    self._remove(path)
                    yield Finding(path, "temporary file of the writer: removed")
        if lock.exists():
            self._remove(lock)
            yield Finding(lock, "lock file of a process that has ended: removed")

    def _finish(
        self, unfinished: dict[str, RecoveryXml], journals: dict[int, Path]
    ) -> Iterator[Finding]:
        """Bring IFD chains and OME-XML to the state in which `close` leaves them."""
        chains = {name: IfdRepair(self._path(name)) for name in self._tiffs()}
        for chain in chains.values():
            chain.refuse_foreign()
        # `close` may have been killed after it had written the OME-XML of some files
        closed = next((text for text in self._texts.values() if not text.is_writing), None)
        if closed is None:
            acquisition = InterruptedAcquisition(self._text, chains, self._root.name, journals)
            planes = acquisition.recovered()
        else:
            planes = planes_of_closed(closed, chains, self._root.name)
        rewritten = set()
        for name, chain in chains.items():
            ifds = planes.ifds[name]
            if len(ifds) == len(chain.pages):
                if name not in unfinished and chain.trailing_bytes:
                    yield Finding(
                        self._path(name), f"{chain.trailing_bytes} unreferenced trailing bytes"
                    )
                continue
            what = f"{len(ifds)} of {len(chain.pages)} IFDs were written: the others removed"
            yield Finding(self._path(name), what)
            if ifds[-1] + 1 != len(ifds):
                rewritten.add(name)  # below, together with the OME-XML that numbers the IFDs
            elif not self._dry_run:
                chain.truncate_chain(len(ifds))
        for name, text in unfinished.items():
            path = self._path(name)
            what = (
                f"status writing: set to {planes.status}"
                if text.is_writing
                else "frame metadata missing: embedded"
            )
            yield Finding(path, f"OME-XML not up to date, {what}")
            if self._dry_run:
                continue
            xml = text.render_finished(
                planes.sizes, planes.runs, journals, planes.status, planes.frames
            )
            if name.lower().endswith(_COMPANION):
                files.atomic_write(path, xml, durable=True)
            elif name in rewritten:
                chains[name].rewrite_chain(planes.ifds[name], xml)
            else:
                (chains.get(name) or IfdRepair(path)).write_description(xml)
        if not self._dry_run:
            for name in chains.keys() - unfinished.keys():
                chains[name].trim_trailing_bytes()

    def _update_entry_file(self) -> Iterator[Finding]:
        entry = find_entry_file(self._root) if self._root.is_dir() else None
        if entry is None:
            return
        xml = read_ome_xml(self._path(next(iter(self._texts))))
        if read_ome_xml(entry) != render_entry_xml(xml, self._root.name):
            yield Finding(entry, "entry file not up to date with its set: rewritten")
            if not self._dry_run:
                files.atomic_write(entry, render_entry_file(xml, self._root.name), durable=True)

    def _file_of(self, image: RecoveredImage) -> str:
        return image.file or self._root.name

    def _tiffs(self) -> list[str]:
        return sorted({self._file_of(image) for image in self._text.images})

    def _journals(self) -> dict[int, Path]:
        """Return the journal of each image that has one beside its file."""
        journals = {}
        for number, image in enumerate(self._text.images):
            name = f"{self._file_of(image)}.jsonl"
            if not self._root.is_dir():
                several = len(self._text.images) > 1
                name = f".{self._root.name}.{number}.jsonl" if several else f".{name}"
            path = self._folder / name
            if path.is_file() and not path.is_symlink():
                journals[number] = path
        return journals

    def _path(self, name: str) -> Path:
        return files.path_below(self._folder, name)

    def _remove(self, path: Path) -> None:
        if not self._dry_run:
            path.unlink()
