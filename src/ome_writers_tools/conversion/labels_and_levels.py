"""Copies of the label images and resolution levels of an OME-Zarr, after its frames were copied."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ome_writers import AcquisitionSettings, ImageSpec, Pyramid
from ome_writers.toolkit import PyramidMethod, edit_in_place, format_row, resolve
from ome_writers_tools.conversion.selection import Indices, Selection


def kept_pyramid(source: Selection, format: str) -> Pyramid | PyramidMethod | None:
    """Return the levels that a copy in a format gets while it is written: those of the source's settings."""
    settings, same = source.spec.settings, source.spec.format == format
    levels = settings.pyramid if settings is not None and same else None
    return levels if _levels(source.spec.images) else None


def copy_labels_and_levels(
    source: Selection, settings: AcquisitionSettings, write: Indices, *, verify: bool
) -> tuple[str, ...]:
    """Copy the labels of the images of `source`, and the levels that the copy lacks. Its frames are at `write`.

    Returns what was not copied: all of it if source or destination is not an OME-Zarr, and that of images whose shape
    or axes differ in the destination.

    Raises WriteError if an array could not be written, or differs when read back (`verify`).
    """
    spec, output = source.spec, Path(settings.output_path)
    images = _pairs(source, settings, write)
    row = format_row(spec.format)
    labels = {number: row.labels(spec, spec.images[number].key) for number in images}
    levels = _levels([spec.images[number] for number in images])
    if not any(labels.values()) and not levels:
        return ()
    target = format_row(settings.format.name)
    if not target.ngff_versions or not row.chunked:
        lacking = 0 if settings.pyramid else levels
        return _summary([name for found in labels.values() for name in found], lacking)
    from ome_writers.toolkit import ImageCopy

    omitted: list[str] = []
    lacking = 0
    with edit_in_place(output) as copy:
        for number, copied in images.items():
            image = spec.images[number]
            new = None if copied is None else copy.images[copied]
            if new is None or (new.dims, new.shape) != (image.dims, image.shape):
                omitted += labels[number]
                lacking = max(lacking, len(image.levels) - 1)
                continue
            job = ImageCopy(spec, image, copy, new, verify)
            if len(image.levels) > 1 and len(new.levels) == 1 and settings.pyramid is None:
                job.copy_levels()
            omitted += job.copy_labels(labels[number])
    return _summary(omitted, lacking)


def _levels(images: Sequence[ImageSpec]) -> int:
    """Return the largest number of levels below full resolution."""
    return max((len(image.levels) - 1 for image in images), default=0)


def _pairs(
    source: Selection, settings: AcquisitionSettings, write: Indices
) -> dict[int, int | None]:
    """Return the image of the destination by that of the source; None if they are not one to one."""
    old = source.image_numbers().tolist()
    new = resolve(settings).router.project(write)[0].tolist()
    both = sorted(set(zip(old, new, strict=True)))
    for side in zip(*both, strict=True):
        if len(set(side)) < len(side):
            return dict.fromkeys(sorted(set(old)))
    return dict(both)


def _summary(labels: Sequence[str], levels: int) -> tuple[str, ...]:
    found = []
    if labels:
        found.append(f"labels ({', '.join(dict.fromkeys(labels))})")
    if levels:
        found.append("1 level" if levels == 1 else f"{levels} levels")
    return tuple(found)
