"""`edit`: correct pixel size, names, positions, channels, description and start of a dataset in place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

from ome_writers.toolkit import (
    checked_call,
    edit_crate,
    edit_in_place,
    format_row,
    guard_reader,
    local_path,
    resolve_entry_file,
)
from ome_writers_tools.conversion.requested_changes import requested_changes

if TYPE_CHECKING:
    from datetime import datetime
    from os import PathLike


@checked_call
def edit(
    path: str | PathLike[str],
    *,
    scale: Mapping[str, float] | None = None,
    names: Mapping[int | str, str] | None = None,
    channels: Mapping[int | str, Mapping[str, Any]] | None = None,
    positions: Mapping[int | str, Mapping[str, float]] | None = None,
    description: str | None = None,
    started: datetime | str | None = None,
) -> list[Path]:
    """Correct the metadata of a dataset in place; pixels are not touched.

    Each file changes atomically. If the edit of an OME-Zarr is interrupted, the next edit or `repair` completes it; of
    an OME-TIFF set, repeat it. An RO-Crate of this library gets the new description and start, too.

    Parameters
    ----------
    path
        An OME-Zarr of any program, or an OME-TIFF of this library.
    scale
        Step of ``x``, ``y`` and ``z`` in micrometers, of ``t`` in seconds. Resolution levels and labels keep their
        relation to the full resolution, and stage positions stay. The offset of a z-stack from its stage position
        follows the step.
    names
        New names of images, by number or present name; of a field of view on a plate also ``A1/f0``.
    channels
        By number or present name: ``name``, ``color`` (as `Channel.color` takes it) and ``window`` (low, high). They
        apply to every image.
    positions
        Stage position of images, by number or name as in `names`: ``x``, ``y`` and ``z`` in micrometers; an omitted
        axis stays. Of a single image without a stage position, it is the coordinate of the first pixel and plane. Each
        frame's own position in the frame metadata stays.
    description
        What the dataset is, in one or more sentences: `DatasetSpec.description`, and the description of each image in
        OME-XML.
    started
        When the acquisition began, a datetime or as in ``2026-11-24T09:00:00+01:00``; without a time zone, local time.

    Returns
    -------
    list of Path
        The files that were changed.

    Raises
    ------
    OutputLockedError
        If a running process is writing the dataset.
    UnsupportedError
        If the dataset does not have such an axis, image or channel, its writer was killed, or its format has no place
        for a value. Nothing is changed.
    """
    given = {"scale": scale, "names": names, "channels": channels, "positions": positions}
    for name, value in given.items():
        if not isinstance(value, (Mapping, NoneType)):
            raise TypeError(f"{name} must be a dict by axis, image or channel, got {value!r}.")
    if not isinstance(description, (str, NoneType)):
        raise TypeError(f"description must be a text, got {description!r}.")
    root = resolve_entry_file(local_path(path))
    with edit_in_place(root) as spec, guard_reader(root):
        changes = requested_changes(
            spec,
            scale or {},
            names or {},
            channels or {},
            positions or {},
            description,
            started,
        )
        files = list(format_row(spec.format).edit(spec, changes))
        crate = edit_crate(root, spec, changes)
        return [*files, crate] if crate else files
