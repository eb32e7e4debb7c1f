"""The contract of streams, tested with every engine: pairs of settings, and single properties."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from engines.cases import DTYPES, FACTORS, Case, covering, frame, pairwise
from engines.test_engines import OURS, READY, by_name
from ome_writers import (
    EndOfAcquisitionError,
    FrameShapeError,
    FrameTypeError,
    UnsupportedError,
    create_stream,
    read_frame_metadata,
)
from ome_writers.routing import resolve
from ome_writers.storage import unsupported_reasons
from support.dataset_readers import read_images, zarr_shapes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ome_writers import OMEStream
    from ome_writers.routing import Plan

CASES = {name: pairwise(factors) for name, factors in FACTORS.items()}
LIBRARIES = [row for row in READY if row.name not in OURS]
CHOSEN = {name: covering(CASES[name], factors) for name, factors in FACTORS.items()}


def is_chosen(row: Any, case: Case) -> bool:
    """Return whether a case is in every run: those with each setting, with each third engine of other libraries."""
    chosen = CHOSEN[row.format]
    return case in (chosen if row.name in OURS else chosen[LIBRARIES.index(row) % 3 :: 3])


def is_tested_dtype(row: Any, dtype: str) -> bool:
    """Return whether a dtype is in every run: each with our engines, and each fourth with the others."""
    return row.name in OURS or DTYPES.index(dtype) % 4 == 0


def of_every_row(
    cases_of: Callable[[Any], Iterable[Any]], included: Callable[[Any, Any], bool]
) -> list[Any]:
    """Return parameters (row, case): those that are not `included` are in sweeps only."""
    return [
        pytest.param(
            row,
            case,
            id=f"{by_name(row)}-{case}",
            marks=() if included(row, case) else pytest.mark.sweep,
        )
        for row in READY
        for case in cases_of(row)
    ]


Written = dict[tuple[int, tuple[int, ...]], int]
"""The frame number at each address (image, storage index)."""


def acquire(stream: OMEStream, case: Case) -> Written:
    """Append and skip the frames of the case, with metadata; return the frame at each index."""
    buffer = np.empty_like(frame(0, case.dtype))
    written: Written = {}
    for number, index in enumerate(case.indices()):
        if index is None:
            stream.skip()
            continue
        metadata = {"delta_t": number / 8, "number": number}
        if case.handing == "copied":
            buffer[...] = frame(number, case.dtype)
            stream.append(buffer, frame_metadata=metadata)
            buffer[...] = 0
        elif case.handing == "handed over":
            stream.append(frame(number, case.dtype), copy=False, frame_metadata=metadata)
        else:
            with stream.frame_buffer(frame_metadata=metadata) as lent:
                lent[...] = frame(number, case.dtype)
        written[stream.plan.router.address_of([index[a] for a in stream.plan.router.axes])] = number
        if number == 7:
            early = stream.plan.router.address(2)
            assert np.array_equal(stream.read(*early), frame(2, case.dtype))
    return written


def final_shapes(plan: Plan, case: Case, written: Written) -> list[tuple[int, ...]]:
    """Return the shapes that the metadata must have: planned, grown, or truncated at the end of the run."""
    found = []
    for image in plan.images:
        shape = list(image.array.shape)
        indices = [index for number, index in written if number == image.number]
        axis = image.array.growing
        if case.ending == "cancelled" and image.addressing.slow_axis is not None:
            axis = image.addressing.slow_axis
        if axis is not None:
            shape[axis] = max((index[axis] + 1 for index in indices), default=0)
        found.append(tuple(shape))
    return found


def metadata_of(output: Path) -> bytes:
    """Return all metadata of a dataset: the files next to the pixels, or the OME-XML in a TIFF."""
    files = [output] if output.is_file() else [p for p in output.rglob("*") if p.is_file()]
    suffixes = {".json", ".xml", ".ome", ".tif", ".tiff"}
    return b"".join(path.read_bytes() for path in files if path.suffix in suffixes)


@pytest.mark.parametrize(("row", "case"), of_every_row(lambda row: CASES[row.format], is_chosen))
def test_every_pair_of_settings(row: Any, case: Case, tmp_path: Path) -> None:
    """Supported settings are stored correctly, with metadata; unsupported ones are refused and named."""
    if case.compression not in row.compressions:
        with pytest.raises(ValueError, match=f"{case.compression!r} is not supported"):
            case.settings(tmp_path, row.name, row.format)
        return
    settings = case.settings(tmp_path, row.name, row.format)
    reasons = unsupported_reasons(row, resolve(settings))
    if reasons:
        with pytest.raises(UnsupportedError) as refusal:
            create_stream(settings)
        assert all(reason in str(refusal.value) for reason in reasons)
        assert not list(tmp_path.iterdir())
        return
    stream = create_stream(settings)
    stream.set_global_metadata("lab.before", {"room": "a first one"})
    written = acquire(stream, case)
    stream.close()
    stream.set_global_metadata("lab.after", {"room": "another"})
    stream.update_metadata(stream.get_metadata())
    metadata = metadata_of(Path(settings.output_path))
    assert b"a first one" in metadata
    assert b"another" in metadata

    expected = final_shapes(stream.plan, case, written)
    if row.format == "ome-zarr":
        seen = zarr_shapes(stream.plan)
        empty = [n for n, shape in enumerate(expected) if not all(shape)]
        assert [s for n, s in enumerate(seen) if n not in empty] == [
            s for n, s in enumerate(expected) if n not in empty
        ]
        expected = seen
    elif not all(all(shape) for shape in expected):
        expected = [tuple(max(1, n) for n in shape) for shape in expected]
    images = [np.zeros(shape, case.dtype) for shape in expected]
    for (image, index), number in written.items():
        images[image][index] = frame(number, case.dtype)
        assert np.array_equal(stream.read(image, index), frame(number, case.dtype))
    for image, read in zip(images, read_images(stream.plan, expected), strict=True):
        assert np.array_equal(read, image)

    frames = read_frame_metadata(settings.output_path)
    assert sorted(entry["number"] for entry in frames) == sorted(written.values())


@pytest.mark.parametrize(("row", "dtype"), of_every_row(lambda _: DTYPES, is_tested_dtype))
def test_every_dtype(row: Any, dtype: str, tmp_path: Path) -> None:
    """Each dtype is stored bit for bit, or refused by name before anything is written."""
    compression = {"ome-zarr": "zstd", "ome-tiff": "deflate", "scratch": "none"}[row.format]
    case = Case(dtype=dtype, compression=compression)
    settings = case.settings(tmp_path, row.name, row.format)
    if row.dtypes is not None and dtype not in row.dtypes:
        with pytest.raises(UnsupportedError, match=dtype):
            create_stream(settings)
        assert not list(tmp_path.iterdir())
        return
    with create_stream(settings) as stream:
        written = acquire(stream, case)
    read = read_images(stream.plan, [stream.plan.images[0].array.shape])[0]
    assert read.dtype == dtype
    for (_, index), number in written.items():
        assert np.array_equal(read[index], frame(number, dtype))


@pytest.mark.parametrize("row", READY, ids=by_name)
def test_refused_frame_leaves_no_trace(row: Any, tmp_path: Path) -> None:
    """A frame with a wrong shape or dtype, or one too many, raises; the next one gets its index."""
    case = Case(chunks="deep" if row.format == "ome-zarr" else "frames")
    with create_stream(case.settings(tmp_path, row.name, row.format)) as stream:
        for number in range(stream.plan.frames or 0):
            with pytest.raises(FrameShapeError):
                stream.append(frame(number, "uint16")[1:])
            with pytest.raises(FrameTypeError):
                stream.append(frame(number, "float64"))
            stream.append(frame(number, "uint16"))
        with pytest.raises(EndOfAcquisitionError):
            stream.append(frame(0, "uint16"))
    read = read_images(stream.plan, [stream.plan.images[0].array.shape])[0]
    for number in range(stream.plan.frames or 0):
        index = stream.plan.router.address(number)[1]
        assert np.array_equal(read[index], frame(number, "uint16"))


@pytest.mark.parametrize("row", READY, ids=by_name)
def test_append_by_index(row: Any, tmp_path: Path) -> None:
    """Engines with random access store frames by index in any order; others refuse."""
    with create_stream(Case().settings(tmp_path, row.name, row.format)) as stream:
        if not row.random_access:
            with pytest.raises(UnsupportedError, match="in acquisition order only"):
                stream.append(frame(0, "uint16"), index={"t": 1})
            return
        for t in (3, 0, 2, 1):
            for c in (1, 0):
                for z in range(3):
                    where = {"t": t, "c": c, "z": z}
                    stream.append(frame(t * 6 + c * 3 + z, "uint16"), index=where)
    read = read_images(stream.plan, [stream.plan.images[0].array.shape])[0]
    for number in range(24):
        index = stream.plan.router.address(number)[1]
        assert np.array_equal(read[index], frame(number, "uint16"))
