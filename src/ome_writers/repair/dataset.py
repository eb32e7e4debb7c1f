"""Which way a dataset is made tidy, and what came of it."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ome_writers.errors import OutputLockedError
from ome_writers.formats import detect_format, resolve_entry_file
from ome_writers.repair import ometiff, omezarr
from ome_writers.storage.exclusive_lock import hold_claim
from ome_writers.storage.lock_file import lock_owner, lock_path
from ome_writers.untrusted import guard_reader

if TYPE_CHECKING:
    from os import PathLike

    from ome_writers.storage.finding import Finding

__all__ = ["Repair", "repair"]


@dataclass(frozen=True)
class Repair:
    """What was found in a dataset, and what became of it.

    Attributes
    ----------
    path
        The dataset.
    dry_run
        Whether nothing was changed.
    findings
        All that was not as `close` would have left it; empty for a tidy dataset.
    """

    path: Path
    dry_run: bool
    findings: tuple[Finding, ...]

    @property
    def unsolved(self) -> tuple[Finding, ...]:
        """What cannot be repaired."""
        return tuple(finding for finding in self.findings if not finding.solved)


def repair(path: str | PathLike[str], *, dry_run: bool = False) -> Repair:
    """Make a dataset tidy whose writer did not come to close it.

    Frames beyond the last flush become visible, what was never reached is cut off (with
    ``on_incomplete="trim"``), shards get their index in its place, frame metadata move from the journals
    into the documents, `status` becomes ``complete`` when every frame is there and ``failed`` otherwise,
    and temporary files and the lock go. In an OME-TIFF frames become visible with each flush, and no later.

    Parameters
    ----------
    path
        The dataset.
    dry_run
        Only say what would be done.

    Raises
    ------
    FileNotFoundError
        If there is nothing at `path`.
    OutputLockedError
        If a living process is writing there.
    UnsupportedError
        If it is neither an OME-Zarr nor an OME-TIFF of this library, or another program has rewritten it: then
        nothing is changed.
    """
    root = resolve_entry_file(Path(path))
    found = detect_format(root)
    with ExitStack() as stack:
        if not dry_run:
            with suppress(PermissionError):  # then nobody begins a stream beside it, either
                stack.enter_context(hold_claim(root))
        return Repair(root, dry_run, _findings(root, found, dry_run=dry_run))


def _findings(root: Path, found: str, *, dry_run: bool) -> tuple[Finding, ...]:
    lock = lock_path(root, folder=root.is_dir())
    owner = lock_owner(lock)
    if owner is not None:
        raise OutputLockedError(
            f"{root} is being written by {owner}. Repair it when that has "
            f"ended, or, if that process is gone, remove {lock} first."
        )
    findings = ometiff.findings if found == "ome-tiff" else omezarr.findings
    with guard_reader(root):
        return tuple(findings(root, dry_run=dry_run))
