"""`convert`: read and append frame by frame. Memory holds one frame and the buffer of the stream."""
# Longer than 300 lines: one verb and its report.

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from pathlib import Path
from types import NoneType
from typing import Any

from ome_writers import (
    AcquisitionSettings,
    CameraNoise,
    OmeZarrFormat,
    Pyramid,
    SettingsError,
    read,
)
from ome_writers.toolkit import (
    FormatSettings,
    PyramidMethod,
    archive_format,
    checked_call,
    find_format,
    format_row,
    inferred_format,
    local_copy,
    parse_once,
    path_or_url,
    read_root_path,
)
from ome_writers_tools.conversion.destination import (
    destination_settings,
    refuse_overlap,
    with_checksum,
    with_chunks,
    with_image_name,
)
from ome_writers_tools.conversion.frame_copy import copy_frames, verify_frames
from ome_writers_tools.conversion.labels_and_levels import (
    copy_labels_and_levels,
    kept_pyramid,
    write_derived_copy,
)
from ome_writers_tools.conversion.metadata_edit import edit
from ome_writers_tools.conversion.ozx import compare, pack, unpack
from ome_writers_tools.conversion.selection import Selection
from ome_writers_tools.conversion.source_detection import convertible_images, describe_source


@dataclass(frozen=True)
class Conversion:
    """Result of `convert` or `process`.

    Attributes
    ----------
    source, destination
        Paths of the datasets.
    images, frames, empty
        Numbers of images and frames written, and of frames that are empty in the source and the destination.
    pixel_bytes
        Uncompressed size of the pixels in bytes.
    seconds, verified
        Duration, including `close` of the destination; whether every frame was read back and compared.
    not_copied
        What the destination lacks: ``"labels (nuclei)"``, ``"derived images (max_z)"``, ``"2 levels"``.
    """

    source: Path
    destination: Path
    images: int
    frames: int
    empty: int
    pixel_bytes: int
    seconds: float
    verified: bool
    not_copied: tuple[str, ...] = ()


def _check_types(destination: object, images: object, **shapes: object) -> None:
    if not isinstance(destination, (str, PathLike)):
        raise TypeError(f"destination must be the path of the new dataset, got {destination!r}.")
    if not isinstance(images, (Sequence, NoneType)):
        raise TypeError(
            f"images must be a list of numbers, got {images!r}. Write images=[{images!r}]."
        )
    for name, value in shapes.items():
        if not isinstance(value, (Mapping, NoneType)):
            raise TypeError(
                f'{name} must be a dict of axis to size, such as {{"y": 512}}, got {value!r}.'
            )


@parse_once()
@checked_call
def convert(
    source: str | PathLike[str],
    destination: str | PathLike[str],
    *,
    format: FormatSettings | str | Mapping[str, Any] = "auto",
    compression: str | None = None,
    chunk_shapes: Mapping[str, int] | None = None,
    shard_shapes: Mapping[str, int] | None = None,
    images: Sequence[int] | None = None,
    axes: str | None = None,
    overwrite: bool = False,
    verify: bool = False,
    pyramid: Pyramid | PyramidMethod | None = None,
    quantize: CameraNoise | None = None,
    on_frame: Callable[[int, int], object] | None = None,
) -> Conversion:
    """Convert a dataset to another format, chunk shape or compression.

    Names, pixel sizes, channels with colors and wavelengths, positions, plates, frame metadata and global metadata are
    converted, too. From OME-Zarr to OME-Zarr, so are labels and other derived images, and resolution levels; labels of
    other programs keep their chunks. `Conversion.not_copied` lists those that the destination lacks.

    Parameters
    ----------
    source
        An OME-Zarr 0.4 to 0.6 (a directory, or an ``.ozx`` file) or OME-TIFF (a file, or the folder of a set), written
        by this library or another, an ImageJ hyperstack, ``.npy``, or a folder of Micro-Manager: NDTiff or image files.
        Also a TIFF without OME-XML, a folder of such files, or a Zarr array without OME metadata; see `axes`.
    destination
        Path of the new dataset. Its suffix determines the format. ``.ozx`` (RFC-9) is an OME-Zarr in a single file: it
        is packed from an OME-Zarr directory, and unpacked to one, as it is stored, without the options below.
    format
        A format, its name or the name of a backend, as in `AcquisitionSettings`; or ``"ome-zarr-0.4"``, for programs
        that do not read Zarr v3: without shards and checksums, and never overwritten. Unless it sets ``checksum``,
        the copy has checksums if the source has them.
    compression
        As in `AcquisitionSettings`. None: from Zarr to Zarr the compression of the source, otherwise none.
    chunk_shapes, shard_shapes
        Axis name to chunk extent in pixels, and to number of chunks per shard, 0 for no shards. The default is, from
        Zarr to Zarr, the value of the source, otherwise one chunk per frame.
    images
        Zero-based numbers of the images to convert. None: all.
    axes
        The axes of `source` in their order, as in ``"tzyx"``, if it is a single image of another program that has none
        or the wrong ones. A renamed axis loses its scale. RGB samples are not named.
    overwrite
        As in `AcquisitionSettings`.
    pyramid
        As in `AcquisitionSettings`, instead of the levels of the source. None: the levels of the source, if both are
        of the same format.
    quantize
        As in `AcquisitionSettings`. Derived images and resolution levels of the source that are copied do not change.
    verify
        Whether to read everything back afterwards, and compare it.
    on_frame
        Called after each frame with the number of frames written so far and the total; to or from ``.ozx``, after each
        file. With `verify`, it is then called again from 1 with the number of frames compared.

    Raises
    ------
    FileNotFoundError
        If `source` does not exist.
    UnsupportedError
        If `source` is not a supported dataset, its images differ in frame shape, dtype, camera or pixel size, or the
        format does not support them.
    OutputLockedError
        If a running process is writing `source`.
    OutputExistsError
        If `destination` exists, or is `source` itself.
    SettingsError
        If `destination` is a URL, or an ``.ozx`` file that `source` cannot be packed to with these options, or if
        `chunk_shapes` or `shard_shapes` name an unknown axis, or `axes` does not fit.
    WriteError
        If a frame could not be written, or is different when read back (`verify`).
    """
    began = time.perf_counter()
    _check_types(destination, images, chunk_shapes=chunk_shapes, shard_shapes=shard_shapes)
    destination = read_root_path(destination)
    source = path_or_url(source)
    described = describe_source(source, axes)
    row = find_format(format) if isinstance(format, str) else None
    if row is not None and row.rewritten is not None:
        kept = compression or described.compression
        refuse_overlap(described.spec.path, Path(OmeZarrFormat().get_output_path(destination)))
        with row.rewritten(described.spec, destination, shard_shapes or {}, kept) as (
            written,
            shards,
        ):
            done = convert(
                source,
                written,
                format={"name": "ome-zarr", "backend": "direct", "checksum": False},
                compression=compression,
                chunk_shapes=chunk_shapes,
                shard_shapes=shards,
                images=images,
                axes=axes,
                verify=verify,
                pyramid=pyramid,
                quantize=quantize,
                on_frame=on_frame,
            )
        return replace(done, destination=Path(destination).parent / written.name)
    options = (compression, chunk_shapes, shard_shapes, images, axes, pyramid, quantize)
    if quantize is not None and verify:
        raise SettingsError(
            f"{destination}: quantized pixels differ from {source}. Leave out verify, or quantize."
        )
    plain = format == "auto" and not any(options)
    row, archive = format_row(described.spec.format), archive_format(Path(destination))
    if archive and (archive is not row or not plain):
        raise SettingsError(
            f"{destination}: an {archive.settings.archive_suffix} file contains an {archive.title} as it is stored. "
            f"Convert {source} to an {archive.settings.suffixes[0]} directory with these options first, and that to "
            f"{destination}."
        )
    unpacks = archive_format(source) is format_row(inferred_format(str(destination))[0]["name"])
    if archive or (unpacks and plain):
        return _copy_files(
            described,
            Path(destination),
            began,
            overwrite=overwrite,
            verify=verify,
            on_file=on_frame,
        )
    incomplete = described.written is not None and described.written < len(described.indices)
    selected = convertible_images(described, images)
    dimensions, write = selected.destination_indices()
    target = AcquisitionSettings(root_path=destination, format=format).format
    target = with_checksum(selected, target)
    dimensions, write = with_image_name(selected, dimensions, write, Path(destination), target)
    dimensions = with_chunks(selected, dimensions, target, chunk_shapes or {}, shard_shapes or {})
    settings = destination_settings(
        selected,
        dimensions,
        write,
        destination,
        target,
        compression,
        overwrite,
        pyramid or kept_pyramid(selected, target.name),
        quantize=quantize,
    )
    output = Path(settings.output_path)
    refuse_overlap(selected.spec.path, output)
    total = len(selected.indices)

    def progress() -> Callable[[], object]:
        done = itertools.count(1)
        return lambda: on_frame and on_frame(next(done), total)

    copied = copy_frames(
        selected, settings, progress(), incomplete=incomplete, with_checksums=verify
    )
    if selected.spec.description and read(output).description != selected.spec.description:
        edit(output, description=selected.spec.description)
    convert_derived = partial(
        write_derived_copy,
        convert=partial(convert, verify=verify),
        format=settings.format.model_copy(update={"suffix": "", "backend": "auto"}),
        compression=compression,
        chunks=chunk_shapes or {},
        shards=shard_shapes or {},
        pyramid=None if pyramid is None else settings.pyramid,
    )
    not_copied = copy_labels_and_levels(selected, settings, write, convert_derived, verify=verify)
    if verify:
        verify_frames(selected.spec.path, output, write, copied.checksums, progress())
    return Conversion(
        source=selected.spec.path,
        destination=output,
        images=len(selected.images),
        frames=total - copied.empty,
        empty=copied.empty,
        pixel_bytes=copied.pixel_bytes,
        seconds=time.perf_counter() - began,
        verified=verify,
        not_copied=not_copied,
    )


def _copy_files(
    source: Selection,
    destination: Path,
    began: float,
    *,
    overwrite: bool,
    verify: bool,
    on_file: Callable[[int, int], object] | None,
) -> Conversion:
    """Pack a dataset into a single file, or unpack it."""
    path, call = source.spec.path, on_file or (lambda *_: None)
    refuse_overlap(path, destination)
    packs = archive_format(destination) is not None
    with local_copy(path) as local:
        if packs:
            spec = replace(source.spec, path=local)
            pack(spec, destination, overwrite=overwrite, on_file=call)
        else:
            unpack(local, destination, on_file=call)
        if verify:
            archive, folder = (destination, local) if packs else (local, destination)
            compare(archive, folder, on_file=call)
    count = len(source.indices)
    written = count if source.written is None else min(source.written, count)
    return Conversion(
        source=path,
        destination=destination,
        images=len(source.spec.images),
        frames=written,
        empty=count - written,
        pixel_bytes=sum(source.frame_bytes()),
        seconds=time.perf_counter() - began,
        verified=verify,
    )
