"""Recovery of an OME-TIFF, a file or the folder of a set, from its OME-XML, IFD chains and journals."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ome_writers.formats.frame_metadata import Journal
from ome_writers.formats.ometiff.entry_file import (
    find_entry_file,
    render_entry_file,
    render_entry_xml,
)
from ome_writers.formats.ometiff.file_sets import ome_xml_files
from ome_writers.formats.ometiff.first_page import read_ome_xml
from ome_writers.formats.ometiff.ifd_repair import IfdRepair
from ome_writers.formats.ometiff.layout import ifd_runs
from ome_writers.formats.ometiff.metadata import MISSING_AT_CLOSE, TiffMetadata
from ome_writers.formats.ometiff.plane_survey import kept_ifds, outcome_of_closed, survey
from ome_writers.formats.ometiff.stored_documents import load_documents
from ome_writers.formats.ometiff.stored_levels import StoredLevels
from ome_writers.formats.report import Finding
from ome_writers.formats.resumption import finish_attempts
from ome_writers.storage import LOCK_NAME, files, lock_path

if TYPE_CHECKING:
    from ome_writers.formats.dataset_metadata import Outcome

_COMPANION = ".companion.ome"


def find_problems(root: Path, *, dry_run: bool) -> Iterator[Finding]:
    """Repair an OME-TIFF and yield the findings; raise UnsupportedError if it was not written by this library."""
    return _TiffRepair(root, dry_run).findings()


class _TiffRepair:
    def __init__(self, root: Path, dry_run: bool) -> None:
        self._root = root
        self._dry_run = dry_run
        self._folder = root if root.is_dir() else root.parent
        for file in ome_xml_files(root) if root.is_dir() else [root]:
            self._path(file.name)  # refuses links
        self._stored = load_documents(root)
        layout = self._stored.layout
        self._journals = {
            number: path
            for number, key in enumerate(layout.journals)
            if (path := self._path(key)).is_file()
        }
        self._journal = Journal.open_existing(layout.root, layout.journals)

    def findings(self) -> Iterator[Finding]:
        """Repair IFD chains, then metadata, then remove journals and temporary files."""
        stored = self._stored
        unfinished = {
            stored.files.keys[number]: document.status
            for number, document in stored.documents.items()
            if document.status == "writing" or not all(map(document.has_planes, self._journals))
        }
        rendered: dict[str, bytes] = {}
        if unfinished or lock_path(self._root, folder=self._root.is_dir()).exists():
            yield from self._finish(unfinished, rendered)
        yield from self._update_entry_file(rendered)
        for path in self._journals.values():
            self._remove(path)
            yield Finding(path, "frame metadata in a temporary file: moved into the OME-XML")
        if self._root.is_dir():
            members = {*stored.files.keys.values(), LOCK_NAME.removeprefix(".")}
            for path in sorted(self._folder.iterdir()):
                if files.temporary_target(path.name) in members and path.is_file():
                    self._remove(path)
                    yield Finding(path, "temporary file of the writer: removed")

    def _finish(self, unfinished: dict[str, str], rendered: dict[str, bytes]) -> Iterator[Finding]:
        """Bring IFD chains and OME-XML to the state in which `close` leaves them.

        `unfinished` is file name to status, `rendered` receives file name to new OME-XML.
        """
        stored = self._stored
        chains = {
            name: IfdRepair(self._path(name))
            for name in sorted({image.key for image in stored.plan.images})
        }
        for chain in chains.values():
            chain.refuse_foreign()
        # `close` may have been killed after it had written the OME-XML of some files
        closed = stored.closed
        outcome = (
            outcome_of_closed(stored, closed) if closed else survey(stored, chains, self._journal)
        )
        kept = kept_ifds(stored, outcome)
        rewritten = set()
        for name, chain in chains.items():
            ifds = [ifd for ifd in kept[name] if ifd < len(chain)]
            if len(ifds) == len(chain):
                if name not in unfinished and chain.trailing_bytes:
                    yield Finding(
                        self._path(name), f"{chain.trailing_bytes} unreferenced trailing bytes"
                    )
                continue
            what = f"{len(ifds)} of {len(chain)} planes were written: the others removed"
            yield Finding(self._path(name), what)
            if ifds[-1] + 1 != len(ifds):
                rewritten.add(name)  # below, together with the OME-XML that numbers the IFDs
            elif not self._dry_run:
                chain.truncate_chain(len(ifds))
        documents = TiffMetadata(stored.plan, stored.layout)
        documents.adopt(stored)
        stored.latest.info.pop(MISSING_AT_CLOSE, None)
        if closed and "planes_without_frames" in closed.info:
            stored.latest.info["planes_without_frames"] = closed.info["planes_without_frames"]
        finish_attempts(stored.latest.info, outcome.frames_written)
        documents.finish(outcome, self._journal)
        for name, xml in documents.render():
            if name not in unfinished:
                continue
            rendered[name] = xml
            path = self._path(name)
            what = (
                f"status writing: set to {outcome.status}"
                if unfinished[name] == "writing"
                else "frame metadata missing: embedded"
            )
            yield Finding(path, f"OME-XML not up to date, {what}")
            if self._dry_run:
                continue
            if name.lower().endswith(_COMPANION):
                files.atomic_write(path, xml, durable=True)
            elif name in rewritten:
                chains[name].rewrite_chain(kept[name], xml)
            else:
                chains[name].write_description(xml)
        if not self._dry_run:
            for name in chains.keys() - unfinished.keys():
                chains[name].trim_trailing_bytes()
        yield from self._complete_levels(outcome, kept)

    def _complete_levels(self, outcome: Outcome, kept: dict[str, list[int]]) -> Iterator[Finding]:
        """Compute the planes of resolution levels that are not the reduction of the level above."""
        stored = self._stored
        runs = ifd_runs(stored.plan, stored.files, outcome.shapes, writing=False)
        for image, of_image in zip(stored.plan.images, runs, strict=True):
            if not image.reductions:
                continue
            path = self._path(image.key)
            pages = of_image.pages()
            if self._dry_run:  # the chain has all pages still
                pages = [kept[path.name][page] for page in pages]
            contiguous = stored.layout.root != stored.layout.output
            levels = StoredLevels(IfdRepair(path), image, pages, contiguous=contiguous)
            wrong = levels.differences()
            count = sum(1 for _ in wrong) if self._dry_run else levels.write(wrong)
            if count:
                what = f"{count} planes of resolution levels were not the reduction of the level above: computed"
                yield Finding(path, what)

    def _update_entry_file(self, rendered: dict[str, bytes]) -> Iterator[Finding]:
        entry = find_entry_file(self._root) if self._root.is_dir() else None
        if entry is None:
            return
        first = self._stored.files.keys[self._stored.files.complete[0]]
        xml = rendered.get(first) or read_ome_xml(self._path(first))
        if read_ome_xml(entry) != render_entry_xml(xml, self._root.name):
            yield Finding(entry, "entry file not up to date with its set: rewritten")
            if not self._dry_run:
                files.atomic_write(entry, render_entry_file(xml, self._root.name), durable=True)

    def _path(self, name: str) -> Path:
        return files.path_below(self._folder, name)

    def _remove(self, path: Path) -> None:
        if not self._dry_run:
            path.unlink()
