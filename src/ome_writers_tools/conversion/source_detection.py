"""Describe a dataset to convert, group its images by frame type, and read its frame metadata."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ome_writers import (
    DatasetSpec,
    InvalidFileError,
    OutputLockedError,
    SettingsError,
    UnsupportedError,
)
from ome_writers.toolkit import (
    Address,
    OpenDataset,
    format_row,
    guard_reader,
    lock_owner,
    lock_path,
    resolve_entry_file,
)
from ome_writers_tools.conversion.selection import Selection, select_all, with_values

CHUNK_CACHE_BYTES = 128 * 2**20
"""Size of the cache of decoded chunks, for chunks that contain several frames."""


def describe_source(path: Path, axes: str | None = None, *, growing: bool = False) -> Selection:
    """Return all frames of a dataset, with other names of its axes if `axes` is given.

    With `growing` it may be written, and its frames are those that are planned.

    Raises OutputLockedError if it is being written, UnsupportedError if it does not have frames.
    """
    path = resolve_entry_file(path)
    if not growing and path.exists():
        owner = lock_owner(lock_path(path, folder=path.is_dir()))
        if owner is not None:
            raise OutputLockedError(
                f"{path} is being written by {owner}. Convert it after that process has ended."
            )
    # cached chunks are not read again when they have grown
    dataset = OpenDataset.open(path, remember=0 if growing else CHUNK_CACHE_BYTES)
    if axes is not None:
        dataset = dataset.described_by(_with_axes(dataset.spec, axes))
    with guard_reader(path):
        source, reached = select_all(dataset), [*dataset.extents().values()]
    # its writer was killed: the arrays have the planned extents
    if dataset.spec.status == "writing" and not growing:
        inside = (source.indices < reached).all(axis=1)
        source = replace(source, indices=source.indices[inside])
    if not growing and (source.written == 0 or not len(source.indices)):
        raise UnsupportedError(f"{path} does not contain a frame to convert.")
    return source


def _with_axes(spec: DatasetSpec, axes: str) -> DatasetSpec:
    """Return a dataset of one image with other names of its axes; a renamed axis loses its scale."""
    image, found = spec.images[0], "".join(dim.name for dim in spec.dimensions)
    known = set(axes) <= set("tczyx") and len(set(axes)) == len(axes) and axes.endswith("yx")
    if spec.settings or len(spec.images) != 1 or not known or len(axes) != len(found):
        raise SettingsError(
            f"axes={axes!r}: {spec.path} has the axes {found!r}. Name as many of t, c, z once each, and yx at the end; "
            "only a single image that another program wrote has other axes."
        )
    unknown = {"type": None, "coords": None, "scale": None, "unit": None, "translation": None}
    dimensions = [
        dim if dim.name == name else with_values(dim, name=name, **unknown)
        for name, dim in zip(axes, spec.dimensions, strict=True)
    ]
    scale = tuple(dim.scale for dim in dimensions)
    level = replace(image.levels[0], scale=scale, dimensions=tuple(dimensions))
    image = replace(
        image,
        levels=(level,),
        index_axes=tuple(axes[:-2]),
        channels=image.channels if axes.find("c") == found.find("c") else (),
    )
    return replace(spec, images=(image,), dimensions=tuple(dimensions))


def convertible_images(source: Selection, images: Sequence[int] | None) -> Selection:
    """Return the frames of the images to convert.

    Raises UnsupportedError if an image does not exist, or a single dataset cannot contain all of them.
    """
    numbers = _image_numbers(source, images)
    groups = _by_frame_type(source, numbers)
    if len(groups) > 1:
        types = [
            f"{source.dataset.frame_shape(first)} {source.dtype(first)}" for first, *_ in groups
        ]
        choices = ", ".join(f"images={group}" for group in groups)
        raise UnsupportedError(
            f"The images of {source.spec.path} have different frames ({', '.join(types)}), cameras or pixel sizes, "
            f"which one dataset cannot contain. Convert them separately: {choices}."
        )
    samples = source.dataset.frame_shape(numbers[0])[2:]
    if samples not in ((), (3,)):
        raise UnsupportedError(
            f"{source.spec.path} has {samples[0]} samples per pixel; supported are 1 and 3 (RGB)."
        )
    return source.of_images(numbers)


def split_images(path: Path, images: Sequence[int] | None = None) -> list[list[int]]:
    """Return the numbers of all or some images, grouped so that `convert` can write each group to one dataset.

    Images with another frame shape, dtype, camera or pixel size are in another group.
    """
    source = describe_source(path)
    return _by_frame_type(source, _image_numbers(source, images))


def _image_numbers(source: Selection, images: Sequence[int] | None) -> list[int]:
    count = len(source.spec.images)
    numbers = sorted(set(range(count) if images is None else images))
    if not numbers or numbers[0] < 0 or numbers[-1] >= count:
        raise UnsupportedError(
            f"{source.spec.path} has the images 0 to {count - 1}, got images={numbers}."
        )
    return numbers


def _by_frame_type(source: Selection, numbers: Sequence[int]) -> list[list[int]]:
    groups: dict[object, list[int]] = {}
    for number in numbers:
        groups.setdefault(source.frame_type(number), []).append(number)
    return list(groups.values())


def frame_metadata_by_address(source: Selection) -> dict[Address, dict[str, Any]]:
    try:
        with guard_reader(source.spec.path):
            by_image = format_row(source.spec.format).frame_metadata(source.spec.path)
    except InvalidFileError:
        raise
    except UnsupportedError:  # of a format without frame metadata
        return {}
    found: dict[Address, dict[str, Any]] = {}
    with guard_reader(source.spec.path):
        images = zip(source.spec.images, by_image, strict=bool(by_image))
        for number, (image, (_, frames)) in enumerate(images):
            for frame in frames:
                index = dict(zip(image.index_axes, frame.pop("storage_index"), strict=True))
                found[number, tuple(index[name] for name in image.dims[:-2])] = frame
    return found


def provenance(source: Selection) -> dict[str, Any]:
    """Return the metadata about the source that are stored in the destination."""
    return {
        "source": source.spec.path.name,
        "format": source.spec.format,
        "status": source.spec.status,
        "frames_written": source.written,
        "program": f"ome-writers {version('ome-writers')}",
    }
