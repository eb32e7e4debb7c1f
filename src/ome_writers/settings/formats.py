"""The settings of each format, what its arrays can represent, and the names that the field `format` accepts."""

# Longer than 300 lines: one model per format, the documentation of its fields, and the field of the settings.
from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import (
    Field,
    PositiveInt,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
)

from ome_writers.errors import suggestion
from ome_writers.settings.dtypes import PIXEL_TYPES
from ome_writers.settings.engines import engine_rows, engines_of, find_engine, installed_formats
from ome_writers.settings.model import Model, warn_user
from ome_writers.settings.paths import foreign_ending
from ome_writers.untrusted import ARCHIVE_SUFFIX


def _check_suffix(suffix: str) -> str:
    if "/" in suffix or "\\" in suffix:
        raise ValueError(f"suffix must not contain a path separator, got {suffix!r}.")
    return suffix


class FormatSettings(Model):
    """What the settings of every format have in common, and what its arrays can represent.

    Attributes
    ----------
    title
        Name in messages.
    suffixes
        Suffixes of output paths that select the format; the first is the usual one.
    aliases
        Further names that select it.
    archive_suffix
        Suffix of a single file that a finished dataset can be packed into, which cannot be streamed to; empty if
        there is none.
    needs_path
        Whether `AcquisitionSettings.root_path` is required.
    dtypes
        The dtypes that it can represent; None: all. It has the compressions of its engines.
    axis_order
        Type of an axis to its rank: ``storage_order="ome"`` sorts by it. None: the order of acquisition is kept.
    samples_as_channels
        Whether the samples of RGB frames are stored as channels instead of as samples of a pixel.
    pyramid_axes
        The axes that resolution levels may reduce; empty if the format has no levels.
    divides_planes
        Whether `chunk_of_plane` determines the chunks, instead of `Dimension.chunk_size`.
    """

    title: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]] = ()
    aliases: ClassVar[tuple[str, ...]] = ()
    archive_suffix: ClassVar[str] = ""
    needs_path: ClassVar[bool] = True
    dtypes: ClassVar[frozenset[str] | None] = None
    axis_order: ClassVar[Mapping[str, int] | None] = None
    samples_as_channels: ClassVar[bool] = False
    pyramid_axes: ClassVar[tuple[str, ...]] = ()
    divides_planes: ClassVar[bool] = False

    if TYPE_CHECKING:  # the fields of a subclass: `name` (a Literal), `backend` and `suffix`
        suffix: str

    def get_output_path(self, root_path: str | os.PathLike[str], *, num_positions: int = 1) -> str:
        """Return the output path: `root_path` with the suffix of this format.

        The suffix of another format is replaced; ``suffix=""`` keeps the path unchanged.
        """
        root = os.fspath(root_path)
        stem, found = split_suffix(root, self.suffix)
        if not self.suffix or self.suffix.lower() in (
            found.lower(),
            os.path.basename(stem).lower(),
        ):
            return root.rstrip(os.sep + "/") or root
        return stem + self.suffix

    def engine_options(self, root_path: str) -> Mapping[str, Any]:
        """Return the fields of `storage.Options` that these settings determine."""
        return {}

    def chunk_of_plane(self, y: int, x: int, pyramid: object) -> tuple[int, int]:
        """Return (y, x) of the chunks of a plane, or of a resolution level, if `divides_planes`."""
        return y, x

    _suffix = field_validator("suffix", check_fields=False)(_check_suffix)

    @field_validator("backend", check_fields=False)
    @classmethod
    def _backend_of_this_format(cls, backend: str, info: ValidationInfo) -> str:
        if backend == "auto":
            return backend
        format_name = cls.model_fields["name"].default
        row = find_engine(backend)
        if row is None and (info.context or {}).get("any_backend"):
            return backend  # for reading, no engine is needed
        if row is None or row.format != format_name:
            names = ", ".join(repr(row.name) for row in engines_of(format_name))
            raise ValueError(f"must be {names} or 'auto', got {backend!r}")
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
    checksum
        Whether the CRC-32C of each chunk is stored behind it (the codec ``crc32c`` of Zarr v3). Readers then raise an
        error instead of returning damaged pixels, and `validate` lists the damaged frames.
    """

    title: ClassVar[str] = "OME-Zarr"
    suffixes: ClassVar[tuple[str, ...]] = (".ome.zarr", ".zarr")
    aliases: ClassVar[tuple[str, ...]] = ("zarr",)
    archive_suffix: ClassVar[str] = ARCHIVE_SUFFIX
    # as NGFF 0.5 requires
    axis_order: ClassVar[Mapping[str, int] | None] = {
        "time": 0,
        "channel": 1,
        "other": 2,
        "space": 3,
    }
    samples_as_channels: ClassVar[bool] = True
    pyramid_axes: ClassVar[tuple[str, ...]] = ("z", "y", "x")

    name: Literal["ome-zarr"] = "ome-zarr"
    backend: str = "auto"
    suffix: str = ".ome.zarr"
    version: Literal["0.5", "0.6"] = "0.5"
    checksum: bool = False


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
        companion file (``"companion-file"``). ``"auto"``: all, or the first if the copies would exceed about 100 MB.
    companion_file
        Name of the companion file.
    tile
        Tiles of planes that are larger than one tile, for readers of regions: an integer or (y, x), multiples of 16;
        None: no tiles; ``"auto"``: at most 512 x 512 pixels if resolution levels are written, otherwise none.
        `Dimension.chunk_size` does not affect them.
    checksum
        Whether each page, also of resolution levels, has the CRC-32C of its strips or tiles, as stored, in a private
        TIFF tag (65143). Readers ignore it; `validate` lists the damaged frames.
    """

    title: ClassVar[str] = "OME-TIFF"
    suffixes: ClassVar[tuple[str, ...]] = (".ome.tiff", ".ome.tif", ".tiff", ".tif")
    aliases: ClassVar[tuple[str, ...]] = ("tiff",)
    dtypes: ClassVar[frozenset[str] | None] = frozenset(PIXEL_TYPES)
    # DimensionOrder has every order of t, c and z, but no other axis between them
    axis_order: ClassVar[Mapping[str, int] | None] = {
        "time": 0,
        "channel": 0,
        "other": 1,
        "space": 0,
    }
    pyramid_axes: ClassVar[tuple[str, ...]] = ("y", "x")
    divides_planes: ClassVar[bool] = True

    name: Literal["ome-tiff"] = "ome-tiff"
    backend: str = "auto"
    suffix: str = ".ome.tiff"
    prefer_single_file: Literal["auto", "always", "never"] = "auto"
    multi_file_metadata: Literal["auto", "redundant", "master-tiff", "companion-file"] = "auto"
    companion_file: str = "companion.ome"
    tile: Literal["auto"] | tuple[int, int] | None = "auto"
    checksum: bool = False

    # Type checkers do not know that validators accept more types than the fields have.
    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            name: Literal["ome-tiff"] = "ome-tiff",
            backend: str = "auto",
            suffix: str = ".ome.tiff",
            prefer_single_file: Literal["auto", "always", "never"] | bool = "auto",
            multi_file_metadata: Literal[
                "auto", "redundant", "master-tiff", "companion-file"
            ] = "auto",
            companion_file: str = "companion.ome",
            tile: Literal["auto"] | int | tuple[int, int] | None = "auto",
            checksum: bool = False,
        ) -> None: ...

    @field_validator("prefer_single_file", "tile", mode="before")
    @classmethod
    def _from_other_types(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool):
            return "always" if value else "never"
        if isinstance(value, (int, tuple, list)):
            from ome_writers.settings.tiles import read_tile

            return read_tile(value) if info.field_name == "tile" else value
        return value

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
            return super().get_output_path(root_path)
        return split_suffix(os.fspath(root_path), self.suffix)[0]

    def chunk_of_plane(self, y: int, x: int, pyramid: object) -> tuple[int, int]:
        """Return (y, x) of a tile, or of the plane if it does not have tiles."""
        tile = self.tile
        if tile is None or (tile == "auto" and pyramid is None):
            return y, x
        from ome_writers.settings.tiles import automatic_tile

        tile = automatic_tile(y, x) if tile == "auto" else tile
        return (y, x) if y <= tile[0] and x <= tile[1] else tile


class ScratchFormat(FormatSettings):
    """Frames for live viewing only, in memory and in temporary files.

    Attributes
    ----------
    max_memory_bytes
        Maximum size of the frames in memory.
    suffix
        Not used.
    spill_to_disk
        Whether further frames are written to a temporary folder (True) or refused.
    """

    title: ClassVar[str] = "scratch"
    aliases: ClassVar[tuple[str, ...]] = ("memory",)
    needs_path: ClassVar[bool] = False
    pyramid_axes: ClassVar[tuple[str, ...]] = ("z", "y", "x")

    name: Literal["scratch"] = "scratch"
    backend: Literal["scratch"] = "scratch"
    max_memory_bytes: PositiveInt = 4 * 1024**3
    suffix: str = ""
    spill_to_disk: bool = True

    def get_output_path(self, root_path: str | os.PathLike[str], *, num_positions: int = 1) -> str:
        """Return `root_path`."""
        return os.fspath(root_path)

    def engine_options(self, root_path: str) -> Mapping[str, Any]:
        """Return the limit of memory, and whether more may go to files; with a path, everything goes to files."""
        memory = 0 if root_path else self.max_memory_bytes
        return {"memory_bytes": memory, "spill": self.spill_to_disk}


OWN_MODELS: dict[str, type[FormatSettings]] = {
    str(model.model_fields["name"].default): model
    for model in (OmeZarrFormat, OmeTiffFormat, ScratchFormat)
}
"""The settings of the formats of this library, by name."""


def format_models() -> dict[str, type[FormatSettings]]:
    """Return the settings of each format by its name: of this library, then of installed packages."""
    installed = {name: row.settings for name, row in installed_formats().items()}
    return {**OWN_MODELS, **installed, **OWN_MODELS}


def format_suffixes() -> dict[str, str]:
    """Return file name suffix to format name; suffixes of this library's formats have precedence."""
    found: dict[str, str] = {}
    for name, model in format_models().items():
        for suffix in model.suffixes:
            found.setdefault(suffix, name)
    return found


def split_suffix(path: str, also: str = "") -> tuple[str, str]:
    """Split a path into stem and format suffix.

    `also` is recognized in addition to `format_suffixes`. A path whose name is only a suffix does not have one.
    """
    path = path.rstrip(os.sep + "/")
    for suffix in sorted({also, *format_suffixes()} - {""}, key=len, reverse=True):
        if path.lower().endswith(suffix.lower()):
            stem = path[: -len(suffix)]
            return (stem, path[len(stem) :]) if os.path.basename(stem) else (path, "")
    return path, ""


def format_names() -> dict[str, dict[str, str]]:
    """Return the strings that are accepted as a format, with the fields of each."""
    names = {
        alias: {"name": name}
        for name, model in format_models().items()
        for alias in (name, *model.aliases)
    }
    engines = {
        row.name: {"name": row.format, "backend": row.name} for row in engine_rows().values()
    }
    return {**names, **engines, **names}


def inferred_format(root_path: str) -> tuple[dict[str, str], bool]:
    """Return the fields of the format that a path implies, and whether the path is conclusive.

    The result does not depend on installed libraries.
    """
    if not root_path:
        return {"name": "scratch"}, True
    suffix = split_suffix(root_path)[1].lower() or os.path.basename(root_path).lower()
    if name := format_suffixes().get(suffix):
        return {"name": name, "suffix": suffix}, True
    return {"name": "ome-zarr"}, False


def read_format(value: Any, root_path: str) -> Any:
    """Convert a format, a name or a mapping to the input of a format model.

    Raises ValueError if a string is not the name of a format or backend, the path is that of a single-file archive, or
    the format is inferred from a path with the suffix of an unsupported format.
    """
    for model in format_models().values():
        if model.archive_suffix and root_path.lower().endswith(model.archive_suffix):
            output = root_path[: -len(model.archive_suffix)] + model.suffixes[0]
            raise ValueError(
                f"root_path {root_path!r}: frames cannot be streamed to an {model.archive_suffix} file. The directory "
                f"of a ZIP file is at its end, so a crash would leave nothing readable. Write {output!r}, and pack it "
                f"after close(): `ome-writers convert {output} {root_path}`."
            )
    if isinstance(value, str):
        if value.lower() == "auto":
            fields, known = inferred_format(root_path)
            if not known and (ending := foreign_ending(root_path)):
                raise ValueError(
                    f"root_path {root_path!r} ends in {ending!r}, a format that ome-writers does not write. Use "
                    f".ome.zarr or .ome.tiff, or set format='ome-zarr' to keep the name."
                )
            if not known:
                from ome_writers.settings.validation_errors import refuse_misspelt_suffix

                refuse_misspelt_suffix(root_path, format_suffixes())
                output = root_path + OmeZarrFormat().suffix
                warn_user(
                    f"Output format could not be inferred from root_path {root_path!r}: writing OME-Zarr to "
                    f"{output!r}. Set format='ome-zarr', or use one of the suffixes {', '.join(format_suffixes())}."
                )
            return fields
        value = _fields_of(value)
    elif isinstance(value, Mapping):
        value = dict(value)
        if "name" in value or "backend" in value:
            value = _fields_of(value.get("name", value.get("backend"))) | value
            value["name"] = _fields_of(value["name"])["name"]
        else:
            raise ValueError(
                f"A dict for the format needs its name, got {value!r}. Add 'name': 'ome-zarr' or 'ome-tiff'."
            )
    elif isinstance(value, FormatSettings):
        return value
    else:
        raise ValueError(
            f"A format is a name such as 'ome-zarr', an object such as OmeZarrFormat(), or a dict; got {value!r}."
        )
    if "suffix" not in value:
        suffix = split_suffix(root_path)[1].lower()
        if suffix and format_suffixes()[suffix] == value.get("name"):
            value["suffix"] = suffix
    return value


def _fields_of(name: Any) -> dict[str, str]:
    if isinstance(name, str) and name in OWN_MODELS:
        return {"name": name}
    fields = format_names().get(name.lower()) if isinstance(name, str) else None
    if fields is None:
        close = suggestion(name, format_names()) if isinstance(name, str) else ""
        raise ValueError(
            f"Unknown format {name!r}.{close} Use 'auto' or one of: {', '.join(format_names())}."
        )
    return fields


def _read_installed(value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    """Validate the settings of a format of another package, which the union does not contain."""
    name = value.get("name") if isinstance(value, Mapping) else getattr(value, "name", None)
    model = None if str(name) in OWN_MODELS else format_models().get(str(name))
    if model is None:
        return handler(value)
    return model.model_validate(value, context=info.context)


Format: TypeAlias = Annotated[
    OmeZarrFormat | OmeTiffFormat | ScratchFormat,
    Field(discriminator="name"),
    WrapValidator(_read_installed),
]
