"""A dataset is looked at by our own promises first, then by the field's validators."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ome_writers.errors import OutputLockedError, UnsupportedError
from ome_writers.formats import detect_format, resolve_entry_file
from ome_writers.repair import repair
from ome_writers.untrusted import guard_reader
from ome_writers.validation import ometiff, omezarr
from ome_writers.validation.report import Check, Validation

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["validate"]


def validate(path: str | PathLike[str]) -> Validation:
    """Look whether a dataset is what it says it is; nothing is changed.

    Our own promises: the documents agree with the arrays, the status and each other; every chunk can be
    decoded, and every shard's index leads to its chunks; journals hold whole lines of places that exist;
    and nothing of a writer that died is left over (`repair` makes that tidy). Then the field's
    validators, those that are installed: yaozarrs and ome-zarr-models for OME-Zarr, the OME schema
    (by ome-types) for OME-TIFF.

    Parameters
    ----------
    path
        An OME-Zarr 0.5, or an OME-TIFF: a file, or the folder of a set. It may be anybody's; then only what
        does not depend on this library is looked at.

    Returns
    -------
    Validation
        Its `valid` says whether all is well; `findings` say what is not, `checks` what was looked at.

    Raises
    ------
    FileNotFoundError
        If there is nothing at `path`.
    UnsupportedError
        If it is neither of the two.

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
    root = resolve_entry_file(Path(path))
    if detect_format(root) == "ome-zarr":
        return Validation(root, (_tidiness(root), *omezarr.checks(root)))
    files = ometiff.files_of(root)
    if not files:
        raise UnsupportedError(f"{root} is neither an OME-Zarr 0.5 nor an OME-TIFF.")
    folder = root if root.is_dir() else None
    return Validation(root, (_tidiness(root), *ometiff.checks(files, folder)))


def _tidiness(root: Path) -> Check:
    """Ask `repair` what it would do: in a dataset that was closed, nothing."""
    name = "left over by a writer"
    try:
        with guard_reader(root):
            found = repair(root, dry_run=True).findings
    except OutputLockedError:
        return Check(name, skipped="it is being written now")
    except (UnsupportedError, OSError) as error:
        return Check(name, skipped=" ".join(str(error).split()))
    # what stands behind the colon is what repair makes of it
    return Check(name, tuple(replace(f, what=f.what.partition(": ")[0]) for f in found))
