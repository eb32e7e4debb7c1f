"""Copies of the derived images (labels, ...) and resolution levels of an OME-Zarr, after its frames were copied."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ome_writers import AcquisitionSettings, ImageSpec, Pyramid, create_stream
from ome_writers.toolkit import Format, PyramidMethod, edit_in_place, format_row, resolve
from ome_writers_tools.conversion.destination import destination_settings, with_chunks
from ome_writers_tools.conversion.selection import Indices, Selection
from ome_writers_tools.conversion.source_detection import describe_source


def kept_pyramid(source: Selection, format: str) -> Pyramid | PyramidMethod | None:
    """Return the levels that a copy in a format gets while it is written: those of the source's settings."""
    settings, same = source.spec.settings, source.spec.format == format
    levels = settings.pyramid if settings is not None and same else None
    return levels if _levels(source.spec.images) else None


def copy_labels_and_levels(
    source: Selection,
    settings: AcquisitionSettings,
    write: Indices,
    convert: Callable[[str, Path, Path], object],
    *,
    verify: bool,
) -> tuple[str, ...]:
    """Copy the derived images of `source`, and the levels that the copy lacks. Its frames are at `write`.

    `convert` writes a derived image of this library, of a kind, at the first path to the second one.

    Returns what was not copied: all of it if source or destination is not an OME-Zarr, and that of images whose shape
    or axes differ in the destination.

    Raises WriteError if an array could not be written, or differs when read back (`verify`).
    """
    spec, output = source.spec, Path(settings.output_path)
    images = _pairs(source, settings, write)
    row = format_row(spec.format)
    derived = {number: row.derived_images(spec, spec.images[number].key) for number in images}
    levels = _levels([spec.images[number] for number in images])
    if not any(names for found in derived.values() for names in found.values()) and not levels:
        return ()
    target = format_row(settings.format.name)
    if not target.ngff_versions or not row.chunked:
        return _summary(derived.values(), 0 if settings.pyramid else levels)
    from ome_writers.toolkit import ImageCopy, add_label_levels

    omitted: list[Mapping[str, Iterable[str]]] = []
    lacking = 0
    with edit_in_place(output) as copy:
        for number, copied in images.items():
            image = spec.images[number]
            new = None if copied is None else copy.images[copied]
            if new is None or (new.dims, new.shape) != (image.dims, image.shape):
                omitted.append(derived[number])
                lacking = max(lacking, len(image.levels) - 1)
                continue
            job = ImageCopy(spec, image, copy, new, verify, convert)
            if len(image.levels) > 1 and len(new.levels) == 1 and settings.pyramid is None:
                job = replace(job, new=job.copy_levels())
            omitted.append(
                {kind: job.copy_derived(kind, each) for kind, each in derived[number].items()}
            )
        if any(derived.values()):
            add_label_levels(output)
    return _summary(omitted, lacking)


def write_derived_copy(
    kind: str,
    path: Path,
    group: Path,
    *,
    convert: Callable[..., object],
    format: Format,
    compression: str | None,
    chunks: Mapping[str, int],
    shards: Mapping[str, int],
    pyramid: Pyramid | None,
) -> None:
    """Convert the derived image at `path`, with those of the options that apply to its axes."""
    source = describe_source(path, growing=True)
    axes = {dim.name for dim in source.spec.dimensions}
    chunks, shards = ({k: n for k, n in each.items() if k in axes} for each in (chunks, shards))
    if pyramid is not None and kind == "labels":
        pyramid = pyramid.model_copy(update={"method": "decimate"})
    if source.written != 0:
        convert(
            path,
            group,
            format=format,
            compression=compression,
            chunk_shapes=chunks,
            shard_shapes=shards,
            pyramid=pyramid,
        )
        return
    dimensions, write = source.destination_indices()
    settings = destination_settings(
        source,
        with_chunks(source, dimensions, format, chunks, shards),
        write,
        group,
        format,
        compression,
        False,
        pyramid or kept_pyramid(source, format.name),
    )
    create_stream(settings.model_copy(update={"on_incomplete": "keep"})).close()


def derived_names(source: Selection) -> tuple[str, ...]:
    """Return the derived images of a selection as `Conversion.not_copied` lists them."""
    spec = source.spec
    row = format_row(spec.format)
    return _summary([row.derived_images(spec, spec.images[n].key) for n in source.images], 0)


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


def _summary(derived: Iterable[Mapping[str, Iterable[str]]], levels: int) -> tuple[str, ...]:
    derived, found = list(derived), []
    for kind, title in (("labels", "labels"), ("image", "derived images")):
        names = dict.fromkeys(name for image in derived for name in image.get(kind, ()))
        if names:
            found.append(f"{title} ({', '.join(names)})")
    if levels:
        found.append("1 level" if levels == 1 else f"{levels} levels")
    return tuple(found)
