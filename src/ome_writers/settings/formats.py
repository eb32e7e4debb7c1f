"""Output formats, and inference of the format from a path."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, get_args

from pydantic import Field, PositiveInt, field_validator

from ome_writers.settings.model import Model, warn_user
from ome_writers.settings.paths import foreign_ending

__all__ = [
    "FORMAT_NAMES",
    "BackendName",
    "Format",
    "OmeTiffFormat",
    "OmeZarrFormat",
    "ScratchFormat",
    "TiffBackendName",
    "ZarrBackendName",
    "inferred_format",
    "read_format",
    "split_suffix",
]

ZarrBackendName: TypeAlias = Literal[
    "direct", "tensorstore", "acquire-zarr", "zarrs-python", "zarr-python"
]
TiffBackendName: TypeAlias = Literal["tifffile"]
BackendName: TypeAlias = Literal[ZarrBackendName, TiffBackendName]

SUFFIXES = {
    ".ome.zarr": "ome-zarr",
    ".zarr": "ome-zarr",
    ".ome.tiff": "ome-tiff",
    ".ome.tif": "ome-tiff",
    ".tiff": "ome-tiff",
    ".tif": "ome-tiff",
}
"""File name suffix to format name."""

FORMAT_NAMES: dict[str, dict[str, str]] = {
    "ome-zarr": {"name": "ome-zarr"},
    "zarr": {"name": "ome-zarr"},
    "ome-tiff": {"name": "ome-tiff"},
    "tiff": {"name": "ome-tiff"},
    "scratch": {"name": "scratch"},
    "memory": {"name": "scratch"},
    **{backend: {"name": "ome-zarr", "backend": backend} for backend in get_args(ZarrBackendName)},
    **{backend: {"name": "ome-tiff", "backend": backend} for backend in get_args(TiffBackendName)},
}
"""The strings that are accepted as a format."""


def split_suffix(path: str, also: str = "") -> tuple[str, str]:
    """Split a path into stem and format suffix.

    `also` is recognized in addition to `SUFFIXES`. A path whose name is only a suffix does not have one.
    """
    path = path.rstrip(os.sep + "/")
    for suffix in sorted({also, *SUFFIXES} - {""}, key=len, reverse=True):
        if path.lower().endswith(suffix.lower()):
            stem = path[: -len(suffix)]
            return (stem, path[len(stem) :]) if os.path.basename(stem) else (path, "")
    return path, ""


def _check_suffix(suffix: str) -> str:
    if "/" in suffix or "\\" in suffix:
        raise ValueError(f"suffix must not contain a path separator, got {suffix!r}.")
    return suffix


def _with_suffix(root_path: str | os.PathLike[str], suffix: str) -> str:
    root = os.fspath(root_path)
    stem, found = split_suffix(root, suffix)
    if not suffix or suffix.lower() in (found.lower(), os.path.basename(stem).lower()):
        return root.rstrip(os.sep + "/") or root
    return stem + suffix


class OmeZarrFormat(Model):
    """OME-Zarr 0.5, on Zarr v3.

    Attributes
    ----------
    backend
        Engine; ``"auto"`` selects the first that is installed and supports the settings.
    suffix
        Suffix of the output path.
    version
        Version of OME-Zarr. Fewer programs support 0.6 (RFC-5) so far.
    """

    name: Literal["ome-zarr"] = "ome-zarr"
    backend: ZarrBackendName | Literal["auto"] = "auto"
    suffix: str = ".ome.zarr"
    version: Literal["0.5", "0.6"] = "0.5"

    _suffix = field_validator("suffix")(_check_suffix)

    def get_output_path(self, root_path: str | os.PathLike[str], *, num_positions: int = 1) -> str:
        """Return the output path: `root_path` with the suffix of this format.

        The suffix of another format is replaced; ``suffix=""`` keeps the path unchanged.
        """
        return _with_suffix(root_path, self.suffix)


class OmeTiffFormat(Model):
    """OME-TIFF.

    Attributes
    ----------
    backend
        Engine; ``"auto"`` selects the only one.
    suffix
        Suffix of the output files.
    prefer_single_file
        ``"auto"``: a file for one position, a folder of files for several; ``"always"`` (True): one file with all
        positions; ``"never"`` (False): a folder even for one position.
    multi_file_metadata
        Which files of a folder contain the full OME-XML: all (``"redundant"``), the first (``"master-tiff"``), or a
        companion file (``"companion-file"``).
    companion_file
        Name of the companion file.
    """

    name: Literal["ome-tiff"] = "ome-tiff"
    backend: TiffBackendName | Literal["auto"] = "auto"
    suffix: str = ".ome.tiff"
    prefer_single_file: Literal["auto", "always", "never"] = "auto"
    multi_file_metadata: Literal["redundant", "master-tiff", "companion-file"] = "redundant"
    companion_file: str = "companion.ome"

    # Type checkers do not know that validators accept more types than the fields have.
    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            name: Literal["ome-tiff"] = "ome-tiff",
            backend: TiffBackendName | Literal["auto"] = "auto",
            suffix: str = ".ome.tiff",
            prefer_single_file: Literal["auto", "always", "never"] | bool = "auto",
            multi_file_metadata: Literal["redundant", "master-tiff", "companion-file"] = ...,
            companion_file: str = "companion.ome",
        ) -> None: ...

    _suffix = field_validator("suffix")(_check_suffix)

    @field_validator("prefer_single_file", mode="before")
    @classmethod
    def _from_bool(cls, value: Any) -> Any:
        return {True: "always", False: "never"}[value] if isinstance(value, bool) else value

    @field_validator("companion_file", mode="after")
    @classmethod
    def _bare_file_name(cls, name: str) -> str:
        if name in ("", ".", "..") or "/" in name or "\\" in name:
            raise ValueError(f"companion_file must be the name of a file, got {name!r}.")
        return name

    def get_output_path(self, root_path: str | os.PathLike[str], *, num_positions: int = 1) -> str:
        """Return the output path: a file, or a folder of files.

        A folder has the name of the file without its suffix; ``suffix=""`` keeps the path unchanged.
        """
        single = {"always": True, "never": False}.get(self.prefer_single_file, num_positions <= 1)
        if single or not self.suffix:
            return _with_suffix(root_path, self.suffix)
        return split_suffix(os.fspath(root_path), self.suffix)[0]


class ScratchFormat(Model):
    """Frames for live viewing only, in memory and in temporary files.

    Attributes
    ----------
    max_memory_bytes
        Maximum size of the frames in memory.
    spill_to_disk
        Whether further frames are written to a temporary folder (True) or refused.
    """

    name: Literal["scratch"] = "scratch"
    backend: Literal["scratch"] = "scratch"
    max_memory_bytes: PositiveInt = 4 * 1024**3
    suffix: str = ""
    spill_to_disk: bool = True

    _suffix = field_validator("suffix")(_check_suffix)

    def get_output_path(self, root_path: str | os.PathLike[str], *, num_positions: int = 1) -> str:
        """Return `root_path`."""
        return os.fspath(root_path)


Format: TypeAlias = Annotated[
    OmeZarrFormat | OmeTiffFormat | ScratchFormat, Field(discriminator="name")
]


def inferred_format(root_path: str) -> tuple[dict[str, str], bool]:
    """Return the fields of the format that a path implies, and whether the path is conclusive.

    The result does not depend on installed libraries.
    """
    if not root_path:
        return {"name": "scratch"}, True
    suffix = split_suffix(root_path)[1].lower() or os.path.basename(root_path).lower()
    if suffix in SUFFIXES:
        return {"name": SUFFIXES[suffix], "suffix": suffix}, True
    return {"name": "ome-zarr"}, False


def read_format(value: Any, root_path: str) -> Any:
    """Convert a format, a name or a mapping to the input of a format model.

    Raises
    ------
    ValueError
        A string is not the name of a format or backend, or the format is inferred from a path with the suffix of an
        unsupported format.
    """
    if isinstance(value, str):
        if value == "auto":
            fields, known = inferred_format(root_path)
            if not known and (ending := foreign_ending(root_path)):
                raise ValueError(
                    f"root_path {root_path!r} ends in {ending!r}, a format that ome-writers does not write. Use "
                    f".ome.zarr or .ome.tiff, or set format='ome-zarr' to keep the name."
                )
            if not known:
                warn_user(
                    f"Output format could not be inferred from root_path {root_path!r}: writing OME-Zarr. "
                    f"Set format='ome-zarr', or use one of the suffixes {', '.join(SUFFIXES)}."
                )
            return fields
        value = _fields_of(value)
    elif isinstance(value, Mapping):
        value = dict(value)
        if "name" in value or "backend" in value:
            value = _fields_of(value.get("name", value.get("backend"))) | value
            value["name"] = _fields_of(value["name"])["name"]
    else:
        return value
    suffix = split_suffix(root_path)[1].lower()
    if "suffix" not in value and suffix and SUFFIXES[suffix] == value.get("name"):
        value["suffix"] = suffix
    return value


def _fields_of(name: Any) -> dict[str, str]:
    fields = FORMAT_NAMES.get(name) if isinstance(name, str) else None
    if fields is None:
        raise ValueError(
            f"Unknown format {name!r}. Use 'auto' or one of: {', '.join(FORMAT_NAMES)}."
        )
    return dict(fields)
