"""What a dataset says of itself, whoever wrote it. This room reads documents, and never a pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers.cli.command import CommandError
from ome_writers.cli.describing.description import Description
from ome_writers.cli.describing.ometiff import describe_tiff
from ome_writers.cli.describing.omezarr import describe_zarr

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Description", "describe"]


def describe(path: Path) -> Description:
    """Describe an OME-Zarr, an OME-TIFF, or a folder with a set of OME-TIFF files.

    Raises
    ------
    CommandError
        Nothing is there, or it is something else.
    """
    if not path.exists():
        raise CommandError(f"{path} does not exist")
    if (path / "zarr.json").is_file():
        return describe_zarr(path)
    if (path / ".zattrs").is_file():
        raise CommandError(f"{path} is a Zarr v2 store; only OME-Zarr 0.5 (Zarr v3) is understood")
    return describe_tiff(path)
