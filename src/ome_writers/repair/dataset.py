"""`repair`: recovery of a dataset whose writer was killed."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from ome_writers.errors import OutputLockedError, checked_call
from ome_writers.formats import (
    Finding,
    FormatRow,
    detect_format,
    finish_edit,
    resolve_entry_file,
)
from ome_writers.storage import hold_claim, lock_owner, lock_path, remove_progress
from ome_writers.untrusted import guard_reader, local_path, refuse_archive


@dataclass(frozen=True)
class Repair:
    """Result of `repair`.

    Attributes
    ----------
    path
        The dataset.
    dry_run
        Whether the findings were only listed and nothing was changed.
    findings
        Every difference from a dataset that was closed; empty if there is nothing to repair.
    """

    path: Path
    dry_run: bool
    findings: tuple[Finding, ...]

    @property
    def unsolved(self) -> tuple[Finding, ...]:
        """Findings that cannot be repaired."""
        return tuple(finding for finding in self.findings if not finding.solved)


@checked_call
def repair(path: str | PathLike[str], *, dry_run: bool = False) -> Repair:
    """Recover a dataset that was not closed, because its writer was killed or the machine failed.

    Frames written after the last flush become visible (OME-Zarr), unwritten frames are trimmed (with
    ``on_incomplete="trim"``), shard indexes are rebuilt, and frame metadata move from the journals into
    ``zarr.json`` or the OME-XML. The status becomes ``complete`` if every frame was written, ``failed`` otherwise.
    Temporary files and the lock file are removed. Frames outside the shape of a closed OME-Zarr, which
    KeyboardInterrupt in `append` can leave, become visible, too.

    Parameters
    ----------
    path
        The dataset.
    dry_run
        List the findings without changing anything.

    Raises
    ------
    FileNotFoundError
        If `path` does not exist.
    OutputLockedError
        If a running process is writing the dataset.
    UnsupportedError
        If it is not a dataset written by this library, or another program has rewritten it. Nothing is changed.
    """
    root = resolve_entry_file(local_path(path))
    refuse_archive(root)
    found = detect_format(root)
    with ExitStack() as stack:
        if not dry_run:
            with suppress(PermissionError):  # without permission, no stream can start here either
                stack.enter_context(hold_claim(root))
        return Repair(root, dry_run, _findings(root, found, dry_run=dry_run))


def _findings(root: Path, found: FormatRow, *, dry_run: bool) -> tuple[Finding, ...]:
    lock = lock_path(root, folder=root.is_dir())
    owner = lock_owner(lock)
    if owner is not None:
        raise OutputLockedError(
            f"{root} is being written by {owner}. Repair it after that process has ended, "
            f"or, if the process no longer exists, remove {lock} first."
        )
    findings = []
    with guard_reader(root):
        if planned := finish_edit(root, dry_run=dry_run):
            findings.append(Finding(planned, "metadata of an edit that was interrupted: written"))
        findings += found.find_problems(root, dry_run=dry_run)
    if not dry_run:
        remove_progress(lock)
    if lock.exists():  # last: until then, the dataset counts as not repaired
        if not dry_run:
            lock.unlink()
        findings.append(Finding(lock, "lock file of a process that has ended: removed"))
    return tuple(findings)
