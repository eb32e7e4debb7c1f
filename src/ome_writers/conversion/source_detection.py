"""Finds out what there is to convert: the dataset, the images of it that one stream can take, its frames' metadata."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from ome_writers.conversion.ngff import describe_ngff
from ome_writers.conversion.stored_settings import describe_own
from ome_writers.conversion.tiff import describe_tiff
from ome_writers.errors import InvalidFileError, OutputLockedError, UnsupportedError
from ome_writers.formats import detect_format, frame_metadata_by_image, resolve_entry_file
from ome_writers.storage.lock_file import lock_owner, lock_path
from ome_writers.untrusted import guard_reader
from ome_writers.views import open_dataset

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ome_writers.conversion.source import Source

    Frames = dict[tuple[int, tuple[int, ...]], dict[str, Any]]

__all__ = ["REMEMBER", "describe", "frames_of", "images_of", "provenance", "split_images"]

REMEMBER = 128 * 2**20
"""Bytes of decoded chunks that are kept, where one chunk of the source holds several frames."""


def describe(path: Path) -> Source:
    """Return what is to be converted."""
    path = resolve_entry_file(path)
    found_format = detect_format(path)
    owner = lock_owner(lock_path(path, folder=path.is_dir()))
    if owner is not None:
        raise OutputLockedError(
            f"{path} is being written by {owner}. Convert it when that has ended."
        )
    with guard_reader(path):
        view = open_dataset(path, remember=REMEMBER)
        if found_format == "ome-zarr":
            found = describe_own(path, view) or describe_ngff(path, view)
        else:
            found = describe_tiff(path, view)
    if found.written == 0 or not len(found.rows):
        raise UnsupportedError(f"{path} holds no frame that could be converted.")
    return found


def images_of(found: Source, images: Sequence[int] | None) -> list[int]:
    """Return the images to convert, in their order; refuse some that one stream cannot take."""
    numbers = _numbers(found, images)
    several = _kinds(found, numbers)
    if len(several) > 1:
        shown = [f"{found.frame_shapes[some[0]]} {found.dtypes[some[0]]}" for some in several]
        raise UnsupportedError(
            f"The images of {found.path} have different frames ({', '.join(shown)}), cameras or pixel sizes, which "
            f"one dataset cannot hold here. Convert them apart: {', '.join(f'images={some}' for some in several)}."
        )
    samples = found.frame_shapes[numbers[0]][2:]
    if samples not in ((), (3,)):
        raise UnsupportedError(
            f"{found.path} has {samples[0]} samples a pixel; frames have one here, or three (RGB)."
        )
    return numbers


def split_images(path: Path, images: Sequence[int] | None = None) -> list[list[int]]:
    """Return the numbers of a dataset's images, or of some, those together that `convert` puts into one dataset.

    Frames of other size or dtype, other pixel sizes and other cameras make another dataset.
    """
    found = describe(path)
    return _kinds(found, _numbers(found, images))


def _numbers(found: Source, images: Sequence[int] | None) -> list[int]:
    count = len(found.dtypes)
    numbers = sorted(set(range(count) if images is None else images))
    if not numbers or numbers[0] < 0 or numbers[-1] >= count:
        raise UnsupportedError(
            f"{found.path} has the images 0 to {count - 1}, but {numbers} were asked for."
        )
    return numbers


def _kinds(found: Source, numbers: Sequence[int]) -> list[list[int]]:
    together: dict[object, list[int]] = {}
    for number in numbers:
        together.setdefault(found.kind(number), []).append(number)
    return list(together.values())


def frames_of(found: Source) -> Frames:
    """Return the metadata of the frames, by the place that they have in the source."""
    try:
        by_image = frame_metadata_by_image(found.path)
    except InvalidFileError:
        raise
    except UnsupportedError:  # a file whose name does not end as a TIFF's does
        return {}
    return {
        (number, tuple(frame.pop("storage_index"))): frame
        for number, (_, frames) in enumerate(by_image)
        for frame in frames
    }


def provenance(found: Source) -> dict[str, Any]:
    """Return where the pixels came from, for whoever finds the destination alone."""
    return {
        "source": found.path.name,
        "format": found.format,
        "status": found.status,
        "frames_written": found.written,
        "program": f"ome-writers {version('ome-writers')}",
    }
