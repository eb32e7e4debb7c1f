"""The settings of each format, and what its arrays can represent."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias, get_args

from pydantic import Field, PositiveInt, ValidationInfo, field_validator

from ome_writers.settings.dtypes import PIXEL_TYPES
from ome_writers.settings.engines import (
    ENGINES,
    TiffCompression,
    ZarrCompression,
    engines_of,
    find_engine,
)
from ome_writers.settings.format_names import split_suffix
from ome_writers.settings.model import Model

__all__ = [
    "BackendName",
    "Format",
    "FormatSettings",
    "OmeTiffFormat",
    "OmeZarrFormat",
    "ScratchFormat",
    "TiffBackendName",
    "ZarrBackendName",
]

# The names of the engines of this library, for clients that list them. Type checkers accept those of other packages.
if TYPE_CHECKING:
    ZarrBackendName: TypeAlias = str
    TiffBackendName: TypeAlias = str
    BackendName: TypeAlias = str
else:
    ZarrBackendName = Literal[tuple(r.name for r in ENGINES.values() if r.format == "ome-zarr")]
    TiffBackendName = Literal[tuple(r.name for r in ENGINES.values() if r.format == "ome-tiff")]
    BackendName = Literal[ZarrBackendName, TiffBackendName]


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


class FormatSettings(Model):
    """What the settings of every format have in common, and what its arrays can represent.

    Attributes
    ----------
    title
        Name in messages.
    compressions, dtypes
        The compressions and dtypes that it can represent; `dtypes` None: all.
    axis_order
        Type of an axis to its rank: ``storage_order="ome"`` sorts by it. None: the order of acquisition is kept.
    samples_as_channels
        Whether the samples of RGB frames are stored as channels instead of as samples of a pixel.
    """

    title: ClassVar[str]
    compressions: ClassVar[tuple[str, ...]] = ()
    dtypes: ClassVar[frozenset[str] | None] = None
    axis_order: ClassVar[Mapping[str, int] | None] = None
    samples_as_channels: ClassVar[bool] = False

    _suffix = field_validator("suffix", check_fields=False)(_check_suffix)

    @field_validator("backend", check_fields=False)
    @classmethod
    def _backend_of_this_format(cls, backend: str, info: ValidationInfo) -> str:
        if backend == "auto":
            return backend
        format_name = cls.model_fields["name"].default
        row = find_engine(backend)
        if row is None and (info.context or {}).get(
            "any_backend"
        ):  # for reading, no engine is needed
            return backend
        if row is None or row.format != format_name:
            names = ", ".join(repr(row.name) for row in engines_of(format_name))
            raise ValueError(f"Input should be {names} or 'auto', got {backend!r}.")
        return backend


class OmeZarrFormat(FormatSettings):
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

    title: ClassVar[str] = "OME-Zarr"
    compressions: ClassVar[tuple[str, ...]] = get_args(ZarrCompression)
    # as NGFF 0.5 requires
    axis_order: ClassVar[Mapping[str, int] | None] = {
        "time": 0,
        "channel": 1,
        "other": 2,
        "space": 3,
    }
    samples_as_channels: ClassVar[bool] = True

    name: Literal["ome-zarr"] = "ome-zarr"
    backend: str = "auto"
    suffix: str = ".ome.zarr"
    version: Literal["0.5", "0.6"] = "0.5"

    def get_output_path(self, root_path: str | os.PathLike[str], *, num_positions: int = 1) -> str:
        """Return the output path: `root_path` with the suffix of this format.

        The suffix of another format is replaced; ``suffix=""`` keeps the path unchanged.
        """
        return _with_suffix(root_path, self.suffix)


class OmeTiffFormat(FormatSettings):
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

    title: ClassVar[str] = "OME-TIFF"
    compressions: ClassVar[tuple[str, ...]] = get_args(TiffCompression)
    dtypes: ClassVar[frozenset[str] | None] = frozenset(PIXEL_TYPES)
    # DimensionOrder has every order of t, c and z, but no other axis between them
    axis_order: ClassVar[Mapping[str, int] | None] = {
        "time": 0,
        "channel": 0,
        "other": 1,
        "space": 0,
    }

    name: Literal["ome-tiff"] = "ome-tiff"
    backend: str = "auto"
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
            backend: str = "auto",
            suffix: str = ".ome.tiff",
            prefer_single_file: Literal["auto", "always", "never"] | bool = "auto",
            multi_file_metadata: Literal["redundant", "master-tiff", "companion-file"] = ...,
            companion_file: str = "companion.ome",
        ) -> None: ...

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


class ScratchFormat(FormatSettings):
    """Frames for live viewing only, in memory and in temporary files.

    Attributes
    ----------
    max_memory_bytes
        Maximum size of the frames in memory.
    spill_to_disk
        Whether further frames are written to a temporary folder (True) or refused.
    """

    title: ClassVar[str] = "scratch"

    name: Literal["scratch"] = "scratch"
    backend: Literal["scratch"] = "scratch"
    max_memory_bytes: PositiveInt = 4 * 1024**3
    suffix: str = ""
    spill_to_disk: bool = True

    def get_output_path(self, root_path: str | os.PathLike[str], *, num_positions: int = 1) -> str:
        """Return `root_path`."""
        return os.fspath(root_path)


Format: TypeAlias = Annotated[
    OmeZarrFormat | OmeTiffFormat | ScratchFormat, Field(discriminator="name")
]
