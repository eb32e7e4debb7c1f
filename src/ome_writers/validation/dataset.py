"""Validation of a dataset: first this library's own checks, then third-party validators."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from os import PathLike
from pathlib import Path

from ome_writers.errors import OutputLockedError, UnsupportedError, checked_call
from ome_writers.formats import (
    Check,
    detect_format,
    local_copy,
    referenced_copy,
    resolve_entry_file,
)
from ome_writers.formats.ome_xml import parse_once
from ome_writers.repair import repair
from ome_writers.untrusted import ListingError, guard_reader, path_or_url, refuse_archive
from ome_writers.validation.report import Validation

_LEFTOVERS = "left over by a writer"


@parse_once()
@checked_call
def validate(path: str | PathLike[str], *, quick: bool = False) -> Validation:
    """Check the consistency of a dataset without changing it.

    The own checks: metadata is consistent with the arrays and with the status; every chunk matches its checksum, or
    decodes if it has none, and every shard index refers to chunks inside the shard; frame metadata journals contain
    complete lines with valid indices; no temporary files or locks remain of a writer that has ended (`repair` removes
    them). Then the installed third-party validators: yaozarrs and ome-zarr-models for OME-Zarr, the OME schema (with
    ome-types) for OME-TIFF.

    A remote dataset is copied to a temporary folder. If its server does not list files, those that the metadata refer
    to are copied, and the check for files that a writer has left over is skipped.

    Parameters
    ----------
    path
        An OME-Zarr 0.5 or 0.6 or its URL, or an OME-TIFF: a file, or the directory of a set. For datasets of other
        writers, the checks that need this library's metadata are skipped.
    quick
        Skip the checks that read all pixels.

    Returns
    -------
    Validation
        With `valid`, all `findings`, and the `checks` including the skipped ones.

    Raises
    ------
    FileNotFoundError
        If `path` does not exist.
    UnsupportedError
        If it is neither format.

    Examples
    --------
    >>> from ome_writers import AcquisitionSettings, create_stream, dims_from_standard_axes, validate
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     axes = dims_from_standard_axes({"t": 2, "y": 4, "x": 6})
    ...     path = f"{folder}/run.ome.zarr"
    ...     create_stream(AcquisitionSettings(root_path=path, dimensions=axes, dtype="uint8")).close()
    ...     validate(path).valid
    True
    """
    root = resolve_entry_file(path_or_url(path))
    refuse_archive(root)
    row = detect_format(root)
    with ExitStack() as stack:
        try:
            local = stack.enter_context(local_copy(root))
            leftovers = _check_leftovers(local)
        except ListingError as error:
            local = stack.enter_context(referenced_copy(root))
            leftovers = Check(_LEFTOVERS, skipped=error.reason)
        checks = (leftovers, *(row.check(local, quick=True) if quick else row.check(local)))
    if local != root:
        checks = tuple(_with_root(check, local, root) for check in checks)
    return Validation(root, checks)


def _with_root(check: Check, local: Path, root: Path) -> Check:
    """Return the check of a copy with the paths of its original."""

    def original(path: Path) -> Path:
        return root.joinpath(*path.relative_to(local).parts)

    findings = tuple(replace(f, path=original(f.path)) for f in check.findings)
    skipped = check.skipped and check.skipped.replace(str(local), str(root))
    return replace(check, findings=findings, skipped=skipped)


def _check_leftovers(root: Path) -> Check:
    """Run `repair` without changes: in a closed dataset it finds nothing."""
    try:
        with guard_reader(root):
            findings = repair(root, dry_run=True).findings
    except OutputLockedError:
        return Check(_LEFTOVERS, skipped="the dataset is being written")
    except (UnsupportedError, OSError) as error:
        return Check(_LEFTOVERS, skipped=" ".join(str(error).split()))
    return Check(_LEFTOVERS, tuple(replace(f, what=f.problem) for f in findings))
