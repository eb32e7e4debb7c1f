"""The formats, and what a path says about them."""

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
"""The suffixes that name a format."""

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
"""The strings that are accepted where a format is."""


def split_suffix(path: str, also: str = "") -> tuple[str, str]:
    """Split a path into what comes before the suffix that names a format, and that suffix.

    `also` is a suffix to know beside the usual ones. A path that is nothing but a suffix has none.
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
        What writes; ``"auto"`` takes the first that is installed and can do what the settings ask for.
    suffix
        What the path that is written ends in.
    version
        Version of OME-Zarr; fewer programs read 0.6 (RFC-5) so far.
    """

    name: Literal["ome-zarr"] = "ome-zarr"
    backend: ZarrBackendName | Literal["auto"] = "auto"
    suffix: str = ".ome.zarr"
    version: Literal["0.5", "0.6"] = "0.5"

    _suffix = field_validator("suffix")(_check_suffix)

    def get_output_path(self, root_path: str | os.PathLike[str], *, num_positions: int = 1) -> str:
        """Return the path that is written: `root_path` with this format's suffix.

        Another format's suffix is replaced; ``suffix=""`` keeps the path as it is.
        """
        return _with_suffix(root_path, self.suffix)


class OmeTiffFormat(Model):
    """OME-TIFF.

    Attributes
    ----------
    backend
        What writes; ``"auto"`` takes the one that there is.
    suffix
        What the files that are written end in.
    prefer_single_file
        ``"auto"``: a file for one position, a folder of files for several; ``"always"`` (True):
        every position in one file; ``"never"`` (False): a folder also for one.
    multi_file_metadata
        Which files of a folder hold the whole OME-XML: each (``"redundant"``), the first, or a
        companion file.
    companion_file
        Name of that companion file.
    """

    name: Literal["ome-tiff"] = "ome-tiff"
    backend: TiffBackendName | Literal["auto"] = "auto"
    suffix: str = ".ome.tiff"
    prefer_single_file: Literal["auto", "always", "never"] = "auto"
    multi_file_metadata: Literal["redundant", "master-tiff", "companion-file"] = "redundant"
    companion_file: str = "companion.ome"

    # Type checkers do not see that the validators take more than what is read back.
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
    def _yes_or_no(cls, value: Any) -> Any:
        return {True: "always", False: "never"}[value] if isinstance(value, bool) else value

    @field_validator("companion_file", mode="after")
    @classmethod
    def _bare_file_name(cls, name: str) -> str:
        if name in ("", ".", "..") or "/" in name or "\\" in name:
            raise ValueError(f"companion_file must be the name of a file, got {name!r}.")
        return name

    def get_output_path(self, root_path: str | os.PathLike[str], *, num_positions: int = 1) -> str:
        """Return the path that is written: a file, or a folder of files.

        A folder is called as the file would be, without its suffix; ``suffix=""`` keeps the path
        as it is.
        """
        single = {"always": True, "never": False}.get(self.prefer_single_file, num_positions <= 1)
        if single or not self.suffix:
            return _with_suffix(root_path, self.suffix)
        return split_suffix(os.fspath(root_path), self.suffix)[0]


class ScratchFormat(Model):
    """Frames for looking at while they arrive: in memory, and on disk when there are too many.

    Attributes
    ----------
    max_memory_bytes
        How much is kept in memory.
    spill_to_disk
        What becomes of more: it goes to a temporary folder (True), or is refused.
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
    """Return what a path says about the format, and whether it says anything.

    The answer never depends on what is installed.
    """
    if not root_path:
        return {"name": "scratch"}, True
    suffix = split_suffix(root_path)[1].lower() or os.path.basename(root_path).lower()
    if suffix in SUFFIXES:
        return {"name": SUFFIXES[suffix], "suffix": suffix}, True
    return {"name": "ome-zarr"}, False


def read_format(value: Any, root_path: str) -> Any:
    """Turn what stands for a format into what a format's model validates.

    Raises
    ------
    ValueError
        If a string is not the name of a format or of a backend, or if the format is to be inferred from a path
        that names another one.
    """
    if isinstance(value, str):
        if value == "auto":
            fields, known = inferred_format(root_path)
            if not known and (ending := foreign_ending(root_path)):
                raise ValueError(
                    f"root_path {root_path!r} ends in {ending!r}, a format that ome-writers does not write. Let it "
                    f"end in .ome.zarr or .ome.tiff, or give the format (format='ome-zarr') to keep the name."
                )
            if not known:
                warn_user(
                    f"Output format could not be inferred from root_path {root_path!r}: OME-Zarr "
                    "is written. Give the format (format='ome-zarr'), or a suffix that says it "
                    f"({', '.join(SUFFIXES)})."
                )
            return fields
        value = _named(value)
    elif isinstance(value, Mapping):
        value = dict(value)
        if "name" in value or "backend" in value:
            value = _named(value.get("name", value.get("backend"))) | value
            value["name"] = _named(value["name"])["name"]
    else:
        return value
    suffix = split_suffix(root_path)[1].lower()
    if "suffix" not in value and suffix and SUFFIXES[suffix] == value.get("name"):
        value["suffix"] = suffix
    return value


def _named(name: Any) -> dict[str, str]:
    fields = FORMAT_NAMES.get(name) if isinstance(name, str) else None
    if fields is None:
        raise ValueError(
            f"Unknown format {name!r}. Use 'auto' or one of: {', '.join(FORMAT_NAMES)}."
        )
    return dict(fields)
