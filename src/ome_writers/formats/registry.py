"""The table of formats: one row each. Other packages ask the row, and never compare the name of a format.

Formats of other packages are entry points of the group ``ome_writers.formats``.
"""
# Longer than 300 lines: one table, and the documentation of its columns.

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import create_model

from ome_writers.dataset import DatasetSpec, ImageSpec
from ome_writers.errors import UnsupportedError
from ome_writers.routing import Plan
from ome_writers.settings import (
    EngineRow,
    FormatSettings,
    OmeTiffFormat,
    OmeZarrFormat,
    ScratchFormat,
    installed_formats,
)

if TYPE_CHECKING:
    from ome_writers.formats.dataset_metadata import DatasetMetadata, Layout
    from ome_writers.formats.resumption import ResumableDataset

OwnedFiles = Callable[[str], object]
FramesByImage = Sequence[tuple[str | int, list[dict[str, Any]]]]


def _lazy(reference: str) -> Callable[..., Any]:
    """Return a callable that imports ``module:name`` at its first call."""
    module, name = reference.split(":")

    def call(*args: Any, **options: Any) -> Any:
        return getattr(importlib.import_module(module), name)(*args, **options)

    return call


def _nothing(*_: object) -> None:
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
    """What a format provides of a dataset on disk. All methods may be called from any thread."""

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
    labels
        Returns the attributes of the label images, by name, of the image with a key.
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
    index_axes
        Returns the names of the axes of ``storage_index`` in the frame metadata of an image.
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
    file_datasets: Callable[[Path], tuple[list[Path], list[Path]]] | None = None
    files: Callable[[Path], Iterable[Path]] = _files_below
    copy_referenced: Callable[[Path, Path], None] = _refuse
    ome_xml: Callable[[Path], bytes | None] = _nothing
    frame_metadata: Callable[[Path], FramesByImage] = _refuse
    stored_settings: Callable[[Path], Any] = _nothing
    labels: Callable[[DatasetSpec, str], dict[str, Any]] = lambda *_: {}
    open_pixels: Callable[[Path, int], OpenPixels] = _refuse
    find_problems: Callable[..., Iterable[Any]] = _refuse
    check: Callable[..., Iterable[Any]] = _refuse
    resumable: Callable[[Path], ResumableDataset] = _refuse
    edit: Callable[[DatasetSpec, Any], Iterable[Path]] = _refuse
    index_axes: Callable[[ImageSpec], tuple[str | None, ...]] = _stored_axes
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


def _read_only(name: str, title: str) -> type[FormatSettings]:
    """Return the settings of a format that is only read."""
    fields: Any = {"name": (Literal[name], name), "backend": (str, ""), "suffix": (str, "")}
    settings = create_model(f"{name} settings", __base__=FormatSettings, **fields)
    settings.title = title
    return settings


# Zarr, in all versions
_ZARR: dict[str, Any] = {
    "parse": _lazy("ome_writers.formats.omezarr.parse:parse_dataset"),
    "ome_xml": _lazy("ome_writers.formats.omezarr.parse:ome_xml"),
    "frame_metadata": _lazy("ome_writers.formats.omezarr.parse:read_frames"),
    "labels": _lazy("ome_writers.formats.omezarr.labels:labels"),
    "open_pixels": _lazy("ome_writers.formats.omezarr.zarr_array:ZarrPixels"),
    "chunked": True,
}

_FORMATS: dict[str, FormatRow] = {
    row.name: row
    for row in (
        FormatRow(
            settings=_read_only("ome-zarr-0.4", "OME-Zarr"),
            recognizes=_lazy("ome_writers.formats.detection:is_zarr_v2"),
            **_ZARR,
        ),
        FormatRow(
            settings=OmeZarrFormat,
            lay_out=_lazy("ome_writers.formats.omezarr.layout:lay_out"),
            create_metadata=_lazy("ome_writers.formats.omezarr.metadata:ZarrMetadata"),
            recognizes=_lazy("ome_writers.formats.detection:is_omezarr"),
            owned_files=_lazy("ome_writers.formats.omezarr.ownership:owned_files"),
            dataset_id=_lazy("ome_writers.formats.omezarr.ownership:dataset_id"),
            is_startup_file=_lazy("ome_writers.formats.omezarr.ownership:is_startup_file"),
            copy_referenced=_lazy("ome_writers.formats.omezarr.referenced_files:copy_referenced"),
            find_problems=_lazy("ome_writers.formats.omezarr.repair:findings"),
            resumable=_lazy("ome_writers.formats.omezarr.stored_frames:resumable"),
            extends=True,
            check=_lazy("ome_writers.formats.omezarr.check:checks"),
            edit=_lazy("ome_writers.formats.omezarr.edit:edit_omezarr"),
            has_display_windows=True,
            ngff_versions=("0.5", "0.6"),
            **_ZARR,
        ),
        # recognized as an OME-Zarr, in which `parse_dataset` finds no OME metadata
        FormatRow(settings=_read_only("zarr", "Zarr array"), **_ZARR),
        # before OME-TIFF: they are folders with TIFF files
        FormatRow(
            settings=_read_only("ndtiff", "NDTiff"),
            recognizes=_lazy("ome_writers.formats.micromanager.ndtiff:is_ndtiff"),
            parse=_lazy("ome_writers.formats.micromanager.ndtiff:parse"),
            frame_metadata=_lazy("ome_writers.formats.micromanager.ndtiff:read_frames"),
            open_pixels=_lazy("ome_writers.formats.complete_pixels:open_ndtiff"),
        ),
        FormatRow(
            settings=_read_only("micro-manager", "Micro-Manager image files"),
            recognizes=_lazy("ome_writers.formats.micromanager.image_files:is_image_files"),
            parse=_lazy("ome_writers.formats.micromanager.image_files:parse"),
            frame_metadata=_lazy("ome_writers.formats.micromanager.image_files:read_frames"),
            open_pixels=_lazy("ome_writers.formats.complete_pixels:open_image_files"),
        ),
        FormatRow(
            settings=OmeTiffFormat,
            lay_out=_lazy("ome_writers.formats.ometiff.layout:lay_out"),
            create_metadata=_lazy("ome_writers.formats.ometiff.metadata:TiffMetadata"),
            recognizes=_lazy("ome_writers.formats.ometiff.file_sets:is_ometiff"),
            owned_files=_lazy("ome_writers.formats.ometiff.ownership:owned_files"),
            dataset_id=_lazy("ome_writers.formats.ometiff.ownership:dataset_id"),
            is_startup_file=_lazy("ome_writers.formats.ometiff.ownership:is_startup_file"),
            parse=_lazy("ome_writers.formats.ometiff.parse:parse"),
            file_datasets=_lazy("ome_writers.formats.ometiff.file_sets:tiff_datasets"),
            files=_lazy("ome_writers.formats.ometiff.parse:files"),
            ome_xml=_lazy("ome_writers.formats.ometiff.parse:ome_xml"),
            frame_metadata=_lazy("ome_writers.formats.ometiff.frame_metadata:read_frames"),
            open_pixels=_lazy("ome_writers.formats.ometiff.pixels:TiffPixels"),
            find_problems=_lazy("ome_writers.formats.ometiff.repair:findings"),
            check=_lazy("ome_writers.formats.ometiff.check:checks"),
            edit=_lazy("ome_writers.formats.ometiff.edit:edit_ometiff"),
            index_axes=_lazy("ome_writers.formats.ometiff.frame_metadata:index_axes"),
            image_named_after_file=True,
            lists_empty_planes=True,
            version="2016-06",
        ),
        FormatRow(
            settings=ScratchFormat,
            lay_out=_lazy("ome_writers.formats.scratch:lay_out"),
            create_metadata=_lazy("ome_writers.formats.scratch:ScratchMetadata"),
            recognizes=_lazy("ome_writers.formats.scratch_reader:is_scratch"),
            owned_files=_lazy("ome_writers.formats.scratch_reader:owned_files"),
            is_startup_file=_lazy("ome_writers.formats.scratch_reader:is_startup_file"),
            frame_metadata=_lazy("ome_writers.formats.scratch_reader:read_frames"),
            stored_settings=_lazy("ome_writers.formats.scratch_reader:read_settings"),
        ),
        FormatRow(
            settings=_read_only("imagej-tiff", "ImageJ TIFF"),
            recognizes=_lazy("ome_writers.formats.imagej:is_imagej"),
            parse=_lazy("ome_writers.formats.imagej:parse"),
            frame_metadata=_lazy("ome_writers.formats.imagej:read_frames"),
            open_pixels=_lazy("ome_writers.formats.complete_pixels:open_imagej"),
        ),
        FormatRow(
            settings=_read_only("tiff", "TIFF"),
            recognizes=_lazy("ome_writers.formats.ometiff.file_sets:is_plain_tiff"),
            file_datasets=lambda _: ([], []),  # OME-TIFF lists them
            parse=_lazy("ome_writers.formats.plain_tiff:parse"),
            frame_metadata=lambda _: [],
            open_pixels=_lazy("ome_writers.formats.complete_pixels:open_tiff"),
        ),
        FormatRow(
            settings=_read_only("npy", "npy"),
            recognizes=_lazy("ome_writers.formats.npy:is_npy"),
            parse=_lazy("ome_writers.formats.npy:parse"),
            frame_metadata=lambda _: [],
            open_pixels=_lazy("ome_writers.formats.complete_pixels:open_npy"),
        ),
    )
}


def format_rows() -> dict[str, FormatRow]:
    """Return the formats by name: of this library, then of installed packages."""
    return {**_FORMATS, **installed_formats(), **_FORMATS}


def format_row(name: str) -> FormatRow:
    """Return the format with this name."""
    return _FORMATS.get(name) or format_rows()[name]


def archive_format(path: Path) -> FormatRow | None:
    """Return the format of the single-file archives whose suffix a path has; None if it has another suffix."""
    suffixes = {row.settings.archive_suffix: row for row in format_rows().values()}
    return suffixes.get(path.suffix.lower()) if path.suffix else None


def lay_out(plan: Plan) -> tuple[Plan, Layout]:
    """Return `plan` with the keys of its images and arrays, and where its dataset is."""
    return format_row(plan.settings.format.name).lay_out(plan)


def create_metadata(plan: Plan, layout: Layout) -> DatasetMetadata:
    """Return the metadata of a new dataset; its first `render` yields all of it."""
    return format_row(plan.settings.format.name).create_metadata(plan, layout)
