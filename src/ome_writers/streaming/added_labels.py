"""`add_labels`: labels for the images of a finished dataset."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, overload

import numpy as np

from ome_writers.errors import SettingsError, UnsupportedError, checked_call
from ome_writers.formats import (
    Derivation,
    Journal,
    Layout,
    detect_format,
    read,
    resolve_entry_file,
)
from ome_writers.routing import resolve
from ome_writers.settings import AcquisitionSettings, Pyramid
from ome_writers.storage import Options, choose, open_engine, open_with_stages
from ome_writers.streaming.dataset_writer import DatasetWriter
from ome_writers.streaming.derived import DerivedWriter, derived_settings
from ome_writers.streaming.first_frame import FirstFrameInference
from ome_writers.streaming.frame_writer import FrameWriter
from ome_writers.streaming.label_stream import LabelStream
from ome_writers.streaming.output_claim import OutputClaim
from ome_writers.streaming.resumable import ResumeClaim
from ome_writers.untrusted import local_path, refuse_archive

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from ome_writers.dataset import DatasetSpec
    from ome_writers.formats import DatasetMetadata, FormatRow
    from ome_writers.routing import Plan


@overload
def add_labels(
    path: str | os.PathLike[str],
    name: str,
    labels: None = None,
    *,
    dtype: DTypeLike | None = None,
    dimensions: Iterable[str] | None = None,
    colors: Mapping[int, Any] | None = None,
    function: str | Callable[..., Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> LabelStream: ...


@overload
def add_labels(
    path: str | os.PathLike[str],
    name: str,
    labels: Any,
    *,
    dimensions: Iterable[str] | None = None,
    colors: Mapping[int, Any] | None = None,
    function: str | Callable[..., Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> None: ...


@checked_call
def add_labels(
    path: str | os.PathLike[str],
    name: str,
    labels: Any = None,
    *,
    dtype: DTypeLike | None = None,
    dimensions: Iterable[str] | None = None,
    colors: Mapping[int, Any] | None = None,
    function: str | Callable[..., Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> LabelStream | None:
    """Add labels to the images of a dataset that is not being written: an array, or plane by plane.

    Parameters
    ----------
    path
        An OME-Zarr 0.5 or 0.6 on this disk, of any program, or an OME-TIFF of one image, whose labels are an OME-TIFF
        beside it (``STEM_NAME.ome.tiff``).
    name
        Letters, digits and ``_ . + -``.
    labels
        Array of integers or bool with the axes of ``ome_writers.open(path)`` without those of channels and cameras:
        ``(p, t, z, y, x)``. It is read plane by plane, so that it may be an array of dask or zarr, or a view. None:
        return a stream that accepts the planes.
    dtype
        Of labels that are appended to the stream; by default uint32.
    dimensions
        Names of axes of the dataset; by default all but channels and cameras. Positions must be among them.
    colors, function, parameters
        See `OMEStream.derive`.

    Returns
    -------
    LabelStream | None
        Without `labels`, a stream to be closed, or used as a context manager.

    Raises
    ------
    SettingsError
        The labels have another shape, or are not integers (ValueError).
    UnsupportedError
        The dataset cannot have labels (NotImplementedError).
    OutputExistsError
        It has labels of this name, or is being written (FileExistsError).
    WriteError
        The labels could not be written (OSError); an array that could not be written is not listed in the dataset.
    """
    root = resolve_entry_file(local_path(path)).absolute()
    refuse_archive(root)
    if labels is not None:
        if dtype is not None:
            raise SettingsError(
                f"dtype is that of labels that are appended, got {dtype!r} with an array. Convert it with astype."
            )
        dtype = np.dtype(getattr(labels, "dtype", None) or np.asarray(labels).dtype)
        dtype = np.dtype("uint8") if dtype.kind == "b" else dtype
    derivation = Derivation.of(name, "labels", colors, function, parameters)
    row = detect_format(root)
    if row.derived is None:
        raise UnsupportedError(
            f"{root}: labels are not added to {row.title} of this version. Convert it to OME-Zarr 0.5 first."
        )
    spec = read(root)
    settings = derived_settings(
        _settings(spec, root, row.ngff_versions),
        derivation,
        None if dtype is None else np.dtype(dtype).name,
        dimensions,
    )
    shape = tuple(d.count for d in settings.dimensions)
    if labels is not None and tuple(np.shape(labels)) != shape:
        axes = ", ".join(d.name for d in settings.dimensions)
        raise SettingsError(
            f"The labels of {root} must have the shape {shape} ({axes}), got {tuple(np.shape(labels))}."
        )
    plan = resolve(settings)
    _check_levels(spec, plan.images[0].levels)
    keys = [image.key for image in spec.images]
    stream = _open(root, row, plan, keys, derivation, listed=labels is None)
    if labels is None:
        return stream
    try:
        for index in np.ndindex(*shape[:-2]):  # type: ignore[arg-type]  # none is unbounded
            stream.append(np.asarray(labels[index]).astype(settings.dtype, copy=False))
    except BaseException:
        stream._discard()  # noqa: SLF001 # a part of an array must not be mistaken for its labels
        raise
    stream.close()
    return None


def _open(
    root: Path,
    row: FormatRow,
    plan: Plan,
    keys: Sequence[str],
    derivation: Derivation,
    *,
    listed: bool,
) -> LabelStream:
    """Create the labels of the images with these keys; with `listed`, also their metadata, with status ``writing``."""
    assert row.derived is not None
    settings = plan.settings
    layout = Layout(root if root.is_dir() else root.parent, root, ())
    with ExitStack() as claims:
        plan, own, metadata = row.derived(plan, keys, layout, derivation)
        claim: OutputClaim | None = None
        if own.output == layout.output:
            claims.callback((claimed := ResumeClaim(root)).release)
            claimed.commit()
        else:
            claim = OutputClaim(own, overwrite=False)
            claims.callback(claim.release)
            claim.commit()
        engine_row = choose("auto", plan)
        options = Options(
            settings.buffer_bytes,
            durable=True,
            file_set=False,
            **settings.format.engine_options(settings.root_path),
        )
        engine = open_with_stages(partial(open_engine, engine_row, own.root), plan, options)
        journal = Journal(own.root, own.journals, durable=True, encode_address=own.encode_address)
        dataset = DatasetWriter(
            plan, own, engine, cast("DatasetMetadata", metadata), journal, claim
        )
        inference = FirstFrameInference(settings)
        inference.active = False
        frames = FrameWriter(plan, engine_row, dataset, inference)
        if listed:
            for key, content in metadata.render():
                engine.put(key, content)
        return LabelStream(
            lambda lock: DerivedWriter(frames, None, derivation, lock, claim), claims.pop_all()
        )
    raise AssertionError  # an ExitStack may swallow exceptions, as far as type checkers know


def _settings(spec: DatasetSpec, root: Path, versions: Collection[str]) -> AcquisitionSettings:
    """Return settings of an acquisition like that of a dataset, with the extents that it has.

    `versions` are those that its format may be written in.
    """
    dimensions = [
        dim
        if dim.type == "position" or spec.images[0].axis(dim.name) is None
        else dim.model_copy(
            update={"count": max(image.shape[image.axis(dim.name) or 0] for image in spec.images)}
        )
        for dim in spec.dimensions
    ]
    levels = len(spec.images[0].levels) - 1
    pyramid = None
    if levels:
        full, smaller = spec.images[0].levels[:2]
        depth = spec.images[0].axis("z")
        along_z = depth is not None and smaller.shape[depth] < full.shape[depth]
        pyramid = Pyramid(
            levels=levels, axes=("z", "y", "x") if along_z else ("y", "x"), method="decimate"
        )
    stored = spec.settings
    if stored is not None:
        update: dict[str, Any] = {
            "dimensions": tuple(dimensions),
            "pyramid": pyramid,
            "root_path": str(root),
            "schedule": None,
        }
        update["format"] = stored.format.model_copy(update={"suffix": "", "backend": "auto"})
        return stored.model_copy(
            update={**update, "mirror": None, "experiment": None, "on_incomplete": "keep"}
        )
    version = {"version": spec.version[:3]} if spec.version[:3] in versions else {}
    return AcquisitionSettings(
        root_path=str(root),
        dimensions=dimensions,
        dtype=spec.images[0].array.dtype,
        format={"name": spec.format, "suffix": "", **version},
        pyramid=pyramid,
        plate=spec.plate,
        on_incomplete="keep",
    )


def _check_levels(spec: DatasetSpec, levels: Any) -> None:
    """Refuse images whose levels are not halves of each other, or differ: labels must have the same ones."""
    for image in spec.images:
        shapes = [level.shape[-2:] for level in image.levels]
        if shapes != [level.shape[-2:] for level in levels]:
            factors = [f"{a[-1] / b[-1]:.3g}" for a, b in pairwise(shapes)]
            raise UnsupportedError(
                f"{spec.path}: labels have the levels of their image, each half of the one before, and those of "
                f"{image.key or 'the image'} are smaller by {', '.join(factors)}. Convert it with a pyramid."
            )
