"""The table of formats, one row each, and which of them is at a path.

Other packages ask the row, and never compare the name of a format.

Each format is a package or module of this folder that exports its row; formats of other packages are entry points of
the group ``ome_writers.formats``. Modules are imported when their format is needed: writing imports those of one.
"""

# Longer than 300 lines: one table; half of the file is its documentation.
from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import create_model

from ome_writers.dataset import DatasetSpec, ImageSpec
from ome_writers.errors import InvalidFileError, UnsupportedError
from ome_writers.routing import Plan
from ome_writers.settings import (
    EngineRow,
    FormatSettings,
    format_models,
    format_suffixes,
    installed_formats,
)

if TYPE_CHECKING:
    from ome_writers.formats.dataset_metadata import AddedMetadata, DatasetMetadata, Layout
    from ome_writers.formats.resumption import ResumableDataset

OwnedFiles = Callable[[str], object]
FramesByImage = Sequence[tuple[str | int, list[dict[str, Any]]]]


_ROWS = {
    "ome-zarr": "omezarr:FORMAT",
    "ome-zarr-0.4": "omezarr:FORMAT_04",
    "zarr": "omezarr:PLAIN_ZARR",
    # before OME-TIFF: they are folders with TIFF files
    "ndtiff": "micromanager:NDTIFF",
    "micro-manager": "micromanager:IMAGE_FILES",
    "ome-tiff": "ometiff:FORMAT",
    "scratch": "scratch:FORMAT",
    "imagej-tiff": "imagej:FORMAT",
    "tiff": "plain_tiff:FORMAT",
    "npy": "npy:FORMAT",
}
"""Where the rows are, by the name of their format, in the order in which formats are tried."""


def lazy_functions(package: str) -> Callable[[str], Callable[..., Any]]:
    """Return a function from ``"module:name"`` to a callable that imports the module of `package` when it is called."""

    def function(reference: str) -> Callable[..., Any]:
        module, name = reference.split(":")

        def call(*args: Any, **options: Any) -> Any:
            return getattr(importlib.import_module(f"{package}.{module}"), name)(*args, **options)

        return call

    return function


def _nothing(*_: object, **__: object) -> None:
    return None


def _stored_axes(image: ImageSpec) -> tuple[str, ...]:
    return image.dims[:-2]


def _files_below(path: Path) -> Iterator[Path]:
    if path.is_file():
        return iter([path])
    return (file for file in path.rglob("*") if file.is_file())


def _refuse(path: Any, *_: object, **__: object) -> Any:
    raise UnsupportedError(
        f"{getattr(path, 'path', path)}: its format does not support this operation."
    )


class OpenPixels(Protocol):
    """What a format provides of a dataset on disk. All methods may be called from any thread.

    An attribute ``plan``, that of `DatasetSpec.settings`, is optional: then it is not resolved again.
    """

    def spec(self) -> DatasetSpec:
        """Return what the dataset is; status and numbers of frames are those of now."""
        ...

    def array(self, image: int, level: int) -> Any:
        """Return an array of the current `shape` whose items are planes: ``array[t, c, z]`` in storage order."""
        ...

    def extents(self) -> Mapping[str, Any]:
        """Return the extent that the acquisition has reached, of the axes for which the writer records it."""
        ...


@dataclass(frozen=True)
class FormatRow:
    """One format: the functions that write, recognize and read its metadata, and what it can represent.

    Attributes
    ----------
    settings
        Its settings; they state what its arrays can represent.
    lay_out
        Returns a plan with the keys of its images and arrays, and where its dataset is; see `Plan.with_keys`.
    create_metadata
        Returns the metadata of a new dataset; its first `render` yields all of it.
    recognizes
        Whether a folder or a file is a dataset of this format. It may raise `UnsupportedError` to explain a refusal.
    owned_files
        Returns whether a file, by its key, belongs to the dataset at a path; None without proof that this library
        wrote the dataset. Only what belongs to it is removed by ``overwrite=True``.
    dataset_id
        Returns the id in the metadata of the dataset at a path; None if this library did not write it.
    is_startup_file
        Whether the creation of a dataset at a path, if it is killed, may have left the file with this key.
    parse
        Returns the `DatasetSpec` of the dataset at a path; see `ome_writers.read`.
    entry_target
        Returns the folder that an entry file at a path refers to, whether it exists or not; None for other files. With
        ``own=True`` only if this library wrote the entry file. None if a dataset does not have entry files.
    file_datasets
        Returns one file per dataset among the files of a directory, and files of the same kind that are not datasets;
        None if a dataset of this format is a directory.
    files
        Returns the files of the dataset at a path.
    copy_referenced
        Copies the files that the metadata of a remote dataset refer to, for servers that do not list files.
    ome_xml
        Returns the OME-XML of the dataset at a path; None if it does not contain one.
    frame_metadata
        Returns number (or key) and frame metadata of each image of the dataset at a path; see `read_frame_metadata`.
    stored_settings
        Returns the settings in a dataset that `read` does not support, as JSON.
    derived_images
        Returns the attributes of the labels and other derived images of the image with a key, by kind and name.
    open_pixels
        Returns the pixels of the dataset at a path, with at most so many bytes of decoded chunks in a cache; see
        `OpenPixels`.
    find_problems
        Yields the findings of `ome_writers.repair`, which repairs them unless `dry_run`.
    check
        Yields the checks of `ome_writers.validate`; it may have a parameter ``quick``.
    resumable
        Returns the `ResumableDataset` at a path; raises UnsupportedError with the reason if it cannot be continued.
    edit
        Changes metadata of a dataset in place, and returns the changed files; see `ome_writers.edit`.
    put
        Replaces a document of a closed dataset, given root, key and content; None: as a file.
    derived
        Returns plan, layout and metadata of derived images, given their plan, keys and layout of the dataset, a
        `Derivation`, and, of a dataset that is resumed, a `ReopenDerived`.
    rewritten
        Context manager that yields path and shard shapes of an OME-Zarr to be written, and then makes a dataset of this
        format of it; None if streams write the format, or nothing does.
    index_axes
        Returns the names of the axes of ``storage_index`` in the frame metadata of an image.
    remote
        Whether datasets at a URL are read.
    chunked
        Whether arrays have chunks and shards. If not, every plane is stored separately.
    image_named_after_file
        Whether a single image without a position has the name of its file.
    extends
        Whether an axis can become longer than planned, when a dataset is resumed.
    lists_empty_planes
        Whether metadata lists the planes without a frame. If not, their chunks are omitted.
    has_display_windows
        Whether metadata contains display windows: then the range of values of some frames is sampled.
    ngff_versions
        The versions of NGFF that it is written in; empty if it is not NGFF.
    version
        The version of the format, if its settings do not have one.
    engines
        The engines that come with a format of another package, in the order of ``"auto"``.
    """

    settings: type[FormatSettings]
    lay_out: Callable[[Plan], tuple[Plan, Layout]] = _refuse
    create_metadata: Callable[[Plan, Layout], DatasetMetadata] = _refuse
    recognizes: Callable[[Path], bool | None] = _nothing
    owned_files: Callable[[Path], OwnedFiles | None] = _nothing
    dataset_id: Callable[[Path], object] = _nothing
    is_startup_file: Callable[[Path, str], bool | None] = _nothing
    parse: Callable[[Path], DatasetSpec] = _refuse
    entry_target: Callable[..., Path | None] | None = None
    file_datasets: Callable[[Path], tuple[list[Path], list[Path]]] | None = None
    files: Callable[[Path], Iterable[Path]] = _files_below
    copy_referenced: Callable[[Path, Path], None] = _refuse
    ome_xml: Callable[[Path], bytes | None] = _nothing
    frame_metadata: Callable[[Path], FramesByImage] = _refuse
    stored_settings: Callable[[Path], Any] = _nothing
    derived_images: Callable[[DatasetSpec, str], dict[str, dict[str, Any]]] = lambda *_: {}
    open_pixels: Callable[[Path, int], OpenPixels] = _refuse
    find_problems: Callable[..., Iterable[Any]] = _refuse
    check: Callable[..., Iterable[Any]] = _refuse
    resumable: Callable[[Path], ResumableDataset] = _refuse
    edit: Callable[[DatasetSpec, Any], Iterable[Path]] = _refuse
    put: Callable[[Path, str, bytes], None] | None = None
    derived: Callable[..., tuple[Plan, Layout, AddedMetadata]] | None = None
    rewritten: Callable[..., AbstractContextManager[tuple[Path, dict[str, int]]]] | None = None
    index_axes: Callable[[ImageSpec], tuple[str | None, ...]] = _stored_axes
    remote: bool = False
    chunked: bool = False
    image_named_after_file: bool = False
    extends: bool = False
    lists_empty_planes: bool = False
    has_display_windows: bool = False
    ngff_versions: tuple[str, ...] = ()
    version: str = ""
    engines: tuple[EngineRow, ...] = ()

    @property
    def name(self) -> str:
        """The name that users type."""
        return str(self.settings.model_fields["name"].default)

    @property
    def readable(self) -> bool:
        """Whether `ome_writers.read` supports it; not so the scratch format."""
        return self.parse is not _refuse

    @property
    def title(self) -> str:
        """The name in messages."""
        return self.settings.title


def read_only_settings(name: str, title: str) -> type[FormatSettings]:
    """Return the settings of a format that is only read."""
    fields: Any = {"name": (Literal[name], name), "backend": (str, ""), "suffix": (str, "")}
    settings = create_model(f"{name} settings", __base__=FormatSettings, **fields)
    settings.title = title
    return settings


@cache
def _own_row(name: str) -> FormatRow | None:
    """Return the row of a format of this library; None for others, and without its folder or another that it needs."""
    module, _, attribute = _ROWS.get(name, "").partition(":")
    if not module:
        return None
    package = f"{__package__}.{module}"
    try:
        row: FormatRow = getattr(importlib.import_module(package), attribute)
    except ModuleNotFoundError as error:
        if error.name not in {f"{__package__}.{row.partition(':')[0]}" for row in _ROWS.values()}:
            raise
        return None
    return row


def iterate_formats() -> Iterator[FormatRow]:
    """Yield the formats in the order in which they are tried: of this library, then of installed packages.

    A module is imported when its format is reached.
    """
    yield from filter(None, map(_own_row, _ROWS))
    yield from (row for name, row in installed_formats().items() if name not in _ROWS)


def format_rows() -> dict[str, FormatRow]:
    """Return the formats by name; see `iterate_formats`."""
    return {row.name: row for row in iterate_formats()}


def find_format(name: str) -> FormatRow | None:
    """Return the format with this name; None if there is none."""
    return _own_row(name) or installed_formats().get(name)


def format_row(name: str) -> FormatRow:
    """Return the format with this name. Raises UnsupportedError if it is not installed."""
    row = find_format(name)
    if row is None:
        raise UnsupportedError(
            f"The format {name!r} is not installed. Install the package that provides it."
        )
    return row


def archive_format(path: Path) -> FormatRow | None:
    """Return the format of the single-file archives whose suffix a path has; None if it has another suffix."""
    suffixes = {model.archive_suffix: name for name, model in format_models().items()}
    name = suffixes.get(path.suffix.lower()) if path.suffix else None
    return None if name is None else format_row(name)


def lay_out(plan: Plan) -> tuple[Plan, Layout]:
    """Return `plan` with the keys of its images and arrays, and where its dataset is."""
    return format_row(plan.settings.format.name).lay_out(plan)


def create_metadata(plan: Plan, layout: Layout) -> DatasetMetadata:
    """Return the metadata of a new dataset; its first `render` yields all of it."""
    return format_row(plan.settings.format.name).create_metadata(plan, layout)


def entry_folder(path: Path, *, own: bool = False) -> Path | None:
    """Return the folder of the set of files that `path` is the entry file of, whether it exists or not, otherwise None.

    With `own`, only if this library wrote the entry file.
    """
    entry_target = _entry_target(path.suffix.lower())
    return entry_target(path, own=own) if entry_target and path.is_file() else None


@cache
def _entry_target(suffix: str) -> Callable[..., Path | None] | None:
    """Return `FormatRow.entry_target` of the format with a suffix."""
    name = format_suffixes().get(suffix)
    return None if name is None else format_row(name).entry_target


def resolve_entry_file(path: Path) -> Path:
    """Return the folder of a set of files if `path` is its entry file, otherwise `path` itself."""
    entry_target = _entry_target(path.suffix.lower())
    folder = entry_target(path) if entry_target else None
    return path if folder is None or not folder.is_dir() else folder


def detect_format(path: Path) -> FormatRow:
    """Return the format of the dataset at `path`; a file that no format recognizes is taken for a TIFF.

    Raises FileNotFoundError if `path` does not exist, and UnsupportedError if it is a folder that contains neither
    format; InvalidFileError if it is neither a file nor a folder.
    """
    from ome_writers.untrusted import locate  # not while writing

    at = locate(path)
    for row in at.formats(iterate_formats()):
        if row.recognizes(path):
            return row
    if (error := at.unrecognized()) is not None:
        raise error
    if not path.is_file() and not path.is_dir():
        raise _not_found(path)
    if path.is_file():
        return format_row("ome-tiff")
    folders = [row for row in iterate_formats() if row.remote]
    datasets = sorted(f.name for f in path.iterdir() if any(row.recognizes(f) for row in folders))
    hint = f" It contains {abbreviated_list(datasets)}: name one of them." if datasets else ""
    raise UnsupportedError(f"{path} contains neither an OME-Zarr nor TIFF files.{hint}")


def _not_found(path: Path) -> Exception:
    if path.exists():
        return InvalidFileError(
            f"{path} is neither a file nor a folder, but a FIFO, a device or the like. Only regular files are opened."
        )
    folder = path.with_name(re.sub(r"(\.ome)?\.tiff?$", "", path.name, flags=re.IGNORECASE))
    if folder != path and folder.is_dir():
        return FileNotFoundError(
            f"{path} does not exist, but the folder {folder} does: several positions are a folder of files."
        )
    return FileNotFoundError(f"{path} does not exist.")


def abbreviated_list(names: list[str], most: int = 3) -> str:
    """Return the first names and the number of the others, for a message."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
