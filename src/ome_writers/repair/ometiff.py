"""An OME-TIFF whose writer died: its documents and journals are all that is known of it, and the pages."""

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
from ome_writers.repair.plane_survey import Left, Told
from ome_writers.storage import files
from ome_writers.storage.finding import Finding
from ome_writers.storage.lock_file import LOCK_NAME, lock_path
from ome_writers.storage.tiff.ifd_repair import IfdRepair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ome_writers.formats.ometiff import RecoveredImage

__all__ = ["findings"]

_COMPANION = ".companion.ome"


def findings(root: Path, *, dry_run: bool) -> Iterator[Finding]:
    """Make an OME-TIFF tidy, a file or the folder of a set, and yield what was found.

    Raises
    ------
    UnsupportedError
        If it is no OME-TIFF of this library.
    """
    return _Work(root, dry_run).findings()


class _Work:
    """One repair."""

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
            raise UnsupportedError(f"{root} is a file of a set: repair the folder that it is in.")
        self._text = next(iter(self._texts.values()))

    def findings(self) -> Iterator[Finding]:
        """Do the work, pages first, and yield what was found; the lock goes last."""
        journals = self._journals()
        waiting = {
            name: text
            for name, text in self._texts.items()
            if text.is_writing or any(not text.has_planes(number) for number in journals)
        }
        lock = lock_path(self._root, folder=self._root.is_dir())
        if waiting or lock.exists():
            yield from self._finish(waiting, journals)
        yield from self._renew_entry()
        for path in journals.values():
            self._remove(path)
            yield Finding(path, "the journal of the frames' metadata: moved into the OME-XML")
        if self._root.is_dir():
            own = {*self._texts, *self._tiffs(), LOCK_NAME.removeprefix(".")}
            for path in sorted(self._folder.iterdir()):
                if files.temporary_target(path.name) in own and path.is_file():
                    self._remove(path)
                    yield Finding(path, "a temporary file of a writer: removed")
        if lock.exists():
            self._remove(lock)
            yield Finding(lock, "the lock of a writer that has ended: removed")

    def _finish(
        self, waiting: dict[str, RecoveryXml], journals: dict[int, Path]
    ) -> Iterator[Finding]:
        """Bring pages and documents into the form that `close` gives them."""
        chains = {name: IfdRepair(self._path(name)) for name in self._tiffs()}
        for chain in chains.values():
            chain.refuse_foreign()
        told = next((t for t in self._texts.values() if not t.is_writing), None)
        left: Left | Told = (
            Left(self._text, chains, self._root.name, journals)
            if told is None
            else Told(told, chains, self._root.name)  # `close` had come so far
        )
        anew = set()
        for name, chain in chains.items():
            kept = left.kept[name]
            if len(kept) == len(chain.pages):
                if name not in waiting and chain.trailing_bytes:
                    yield Finding(
                        self._path(name), f"{chain.trailing_bytes} unreferenced trailing bytes"
                    )
                continue
            what = f"{len(kept)} of {len(chain.pages)} pages were reached: the others left out"
            yield Finding(self._path(name), what)
            if kept[-1] + 1 != len(kept):
                anew.add(name)  # together with what is said of them
            elif not self._dry_run:
                chain.truncate_chain(len(kept))
        for name, one in waiting.items():
            path = self._path(name)
            what = (
                f"status is writing: {left.status}"
                if one.is_writing
                else "not all metadata: embedded"
            )
            yield Finding(path, f"the OME-XML is not up to date, {what}")
            if self._dry_run:
                continue
            xml = one.render_finished(left.sizes, left.runs, journals, left.status, left.frames)
            if name.lower().endswith(_COMPANION):
                files.atomic_write(path, xml, durable=True)
            elif name in anew:
                chains[name].rewrite_chain(left.kept[name], xml)
            else:
                (chains.get(name) or IfdRepair(path)).write_description(xml)
        if not self._dry_run:
            for name in chains.keys() - waiting.keys():
                chains[name].trim_trailing_bytes()

    def _renew_entry(self) -> Iterator[Finding]:
        """Bring the entry file of a set up to date with it."""
        entry = find_entry_file(self._root) if self._root.is_dir() else None
        if entry is None:
            return
        xml = read_ome_xml(self._path(next(iter(self._texts))))
        if read_ome_xml(entry) != render_entry_xml(xml, self._root.name):
            yield Finding(entry, "the entry file is not up to date with its set: written again")
            if not self._dry_run:
                files.atomic_write(entry, render_entry_file(xml, self._root.name), durable=True)

    def _home(self, image: RecoveredImage) -> str:
        return image.file or self._root.name

    def _tiffs(self) -> list[str]:
        return sorted({self._home(image) for image in self._text.images})

    def _journals(self) -> dict[int, Path]:
        """Return the journals that lie beside the files, by image."""
        found = {}
        for number, image in enumerate(self._text.images):
            name = self._home(image)
            names = [f"{name}.jsonl"]
            if not self._root.is_dir():
                names = [f".{name}.{number}.jsonl"]
                if len(self._text.images) == 1:
                    names = [f".{name}.jsonl"]
            for each in names:
                path = self._folder / each
                if path.is_file() and not path.is_symlink():
                    found[number] = path
        return found

    def _path(self, name: str) -> Path:
        return files.path_below(self._folder, name)

    def _remove(self, path: Path) -> None:
        if not self._dry_run:
            path.unlink()
