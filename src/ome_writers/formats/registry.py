"""The table of formats: one row each. Other packages ask the row, and never compare the name of a format."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ome_writers.errors import UnsupportedError
from ome_writers.settings import OmeTiffFormat, OmeZarrFormat, ScratchFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from ome_writers.dataset import DatasetSpec
    from ome_writers.formats.dataset_metadata import DatasetMetadata, Layout
    from ome_writers.routing import Plan
    from ome_writers.settings import FormatSettings

__all__ = ["FORMATS", "FormatRow"]


def _lazy(reference: str) -> Callable[..., Any]:
    """Return a callable that imports ``module:name`` at its first call."""
    module, name = reference.split(":")

    def call(*args: Any, **options: Any) -> Any:
        return getattr(importlib.import_module(module), name)(*args, **options)

    return call


def _recognizes_nothing(path: Path) -> bool:
    return False


def _files_below(path: Path) -> Iterator[Path]:
    if path.is_file():
        return iter([path])
    return (file for file in path.rglob("*") if file.is_file())


def _refuse(path: Path, *_: object, **__: object) -> Any:
    raise UnsupportedError(f"{path}: its format does not support this operation.")


@dataclass(frozen=True)
class FormatRow:
    """One format: the functions that write, recognize and read its metadata, and what it can represent.

    Attributes
    ----------
    settings
        Its settings; they state what its arrays can represent.
    lay_out
        Returns the keys of the arrays, metadata and journals of a plan.
    create_metadata
        Returns the metadata of a new dataset; its first `render` yields all of it.
    recognizes
        Whether a folder or a file is a dataset of this format. It may raise `UnsupportedError` to explain a refusal.
    parse
        Returns the `DatasetSpec` of the dataset at a path; see `ome_writers.read`.
    files
        Returns the files of the dataset at a path.
    ome_xml
        Returns the OME-XML of the dataset at a path; None if it does not contain one.
    open_source
        Returns the pixels of the dataset at a path, with at most so many bytes of decoded chunks in a cache, at a
        resolution level; see `views.source`.
    find_problems
        Yields the findings of `ome_writers.repair`, which repairs them unless `dry_run`.
    check
        Yields the checks of `ome_writers.validate`.
    chunked
        Whether arrays have chunks and shards. If not, every plane is stored separately.
    image_named_after_file
        Whether a single image without a position has the name of its file.
    lists_empty_planes
        Whether metadata lists the planes without a frame. If not, their chunks are omitted.
    ngff_versions
        The versions of NGFF that it is written in; empty if it is not NGFF.
    """

    settings: type[FormatSettings]
    lay_out: Callable[[Plan], Layout]
    create_metadata: Callable[[Plan, Layout], DatasetMetadata]
    recognizes: Callable[[Path], bool] = _recognizes_nothing
    parse: Callable[[Path], DatasetSpec] = _refuse
    files: Callable[[Path], Iterable[Path]] = _files_below
    ome_xml: Callable[[Path], bytes | None] = _refuse
    open_source: Callable[[Path, int, int], Any] = _refuse
    find_problems: Callable[..., Iterable[Any]] = _refuse
    check: Callable[[Path], Iterable[Any]] = _refuse
    chunked: bool = False
    image_named_after_file: bool = False
    lists_empty_planes: bool = False
    ngff_versions: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name that users type."""
        return str(self.settings.model_fields["name"].default)

    @property
    def title(self) -> str:
        """The name in messages."""
        return self.settings.title


FORMATS: dict[str, FormatRow] = {
    row.name: row
    for row in (
        FormatRow(
            settings=OmeZarrFormat,
            lay_out=_lazy("ome_writers.formats.omezarr.layout:lay_out"),
            create_metadata=_lazy("ome_writers.formats.omezarr.metadata:ZarrMetadata"),
            recognizes=_lazy("ome_writers.formats.detection:is_omezarr"),
            parse=_lazy("ome_writers.formats.omezarr.parse:parse"),
            ome_xml=_lazy("ome_writers.formats.omezarr.parse:ome_xml"),
            open_source=_lazy("ome_writers.views.omezarr:open_zarr"),
            find_problems=_lazy("ome_writers.repair.omezarr:findings"),
            check=_lazy("ome_writers.validation.omezarr:checks"),
            chunked=True,
            ngff_versions=("0.5", "0.6"),
        ),
        FormatRow(
            settings=OmeTiffFormat,
            lay_out=_lazy("ome_writers.formats.ometiff.layout:lay_out"),
            create_metadata=_lazy("ome_writers.formats.ometiff.metadata:TiffMetadata"),
            recognizes=_lazy("ome_writers.formats.detection:is_ometiff_set"),
            parse=_lazy("ome_writers.formats.ometiff.parse:parse"),
            files=_lazy("ome_writers.formats.ometiff.parse:files"),
            ome_xml=_lazy("ome_writers.formats.ometiff.parse:ome_xml"),
            open_source=_lazy("ome_writers.views.ometiff:open_tiff"),
            find_problems=_lazy("ome_writers.repair.ometiff:findings"),
            check=_lazy("ome_writers.validation.ometiff:checks"),
            image_named_after_file=True,
            lists_empty_planes=True,
        ),
        FormatRow(
            settings=ScratchFormat,
            lay_out=_lazy("ome_writers.formats.scratch:lay_out"),
            create_metadata=_lazy("ome_writers.formats.scratch:ScratchMetadata"),
        ),
    )
}
