"""Invalid settings are refused before anything is written; unusual valid ones are applied."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ome_writers import Dimension, create_stream
from ome_writers.errors import UnsupportedError
from ome_writers.storage import ENGINES
from support.dataset_readers import read_images
from system.invalid_input.cases import (
    INSTALLED,
    ONE_ENGINE_PER_FORMAT,
    YX,
    frame,
    refusal,
    settings,
)

MAX_COUNT = 2**31 - 1
Change = Callable[[], dict[str, Any]]


def t(count: int | None = 3, **fields: Any) -> dict[str, Any]:
    """Return the dimensions of a time series."""
    return {"dimensions": [Dimension(name="t", count=count, **fields), *YX]}


def axes(*dimensions: Dimension) -> dict[str, Any]:
    return {"dimensions": dimensions}


REFUSED: list[tuple[Change, type[Exception], str]] = [
    (lambda: t(0), ValueError, "greater than 0"),
    (lambda: t(-1), ValueError, "greater than 0"),
    (lambda: t(1.5), ValueError, "must be an integer, got 1.5"),  # type: ignore[arg-type]  # deliberately invalid
    (lambda: t(MAX_COUNT + 1), ValueError, "less than or equal to 2147483647"),
    (lambda: t(10**30), ValueError, "less than or equal to 2147483647"),
    (lambda: axes(Dimension(name="y", count=0), YX[1]), ValueError, "greater than 0"),
    (lambda: t(chunk_size=0), ValueError, "chunk_size must be greater than 0, got 0"),
    (
        lambda: t(shard_size_chunks=-2),
        ValueError,
        "shard_size_chunks must be greater than 0, got -2",
    ),
    (lambda: t(scale=math.nan), ValueError, "scale must be greater than 0 and finite, got nan"),
    (lambda: t(scale=math.inf), ValueError, "scale must be greater than 0 and finite, got inf"),
    (lambda: t(scale=-0.5), ValueError, "scale must be greater than 0 and finite, got -0.5"),
    (lambda: t(translation=math.inf), ValueError, "translation must be finite, got inf"),
    (lambda: axes(Dimension(name="y", count=8, unit="cubit"), YX[1]), ValueError, "cubit"),
    (lambda: axes(YX[1]), ValueError, "At least 2 non-position dimensions"),
    (
        lambda: axes(Dimension(name="c", count=MAX_COUNT), *YX),
        UnsupportedError,
        "1,048,576 channels",
    ),
    (
        lambda: axes(Dimension(name="p", type="position", count=MAX_COUNT), *YX),
        UnsupportedError,
        "may have 1000000 positions",
    ),
    (
        lambda: {"dtype": object},
        ValueError,
        "Invalid dtype: .*: pixels must be numbers, not object",
    ),
    (lambda: {"dtype": "U5"}, ValueError, "Invalid dtype: 'U5'"),
    (lambda: {"dtype": "u1,u2"}, ValueError, "Invalid dtype"),
    (lambda: {"dtype": "M8[s]"}, ValueError, "Invalid dtype"),
    (lambda: {"dtype": "no such"}, ValueError, "Invalid dtype: 'no such'"),
    (lambda: {"dtype": ""}, ValueError, "settings.dtype must be set before creating a stream"),
    (lambda: {"dimensions": ()}, ValueError, "settings.dimensions must be set"),
    (lambda: {"compression": "brotli"}, ValueError, "compression must be 'blosc-zstd'"),
    (lambda: {"compression": 9}, ValueError, "compression must be 'blosc-zstd'"),
    (lambda: {"format": "png"}, ValueError, "png"),
    (lambda: {"buffer_bytes": 0}, ValueError, "greater than 0"),
    (lambda: {"buffer_bytes": math.nan}, ValueError, "finite"),
    (lambda: {"flush_interval": 0}, ValueError, "greater than 0"),
    (lambda: {"flush_interval": math.inf}, ValueError, "finite"),
    (lambda: {"flush_interval": math.nan}, ValueError, "finite"),
    (lambda: {"durability": "maybe"}, ValueError, "'process' or 'disk'"),
    (lambda: {"on_incomplete": "burn"}, ValueError, "'trim' or 'keep'"),
    (lambda: {"storage_order": ["y", "x"]}, ValueError, "don't match"),
    (lambda: {"no_such_setting": 1}, ValueError, "unknown field no_such_setting=1"),
]
if np.dtype("longdouble").itemsize > 8:  # on some platforms it is float64
    REFUSED.append((lambda: {"dtype": "longdouble"}, ValueError, "no format supports"))


@pytest.mark.parametrize("engine", ONE_ENGINE_PER_FORMAT)
def test_invalid_settings_create_no_files(tmp_path: Path, engine: str) -> None:
    for change, error, message in REFUSED:
        with refusal(error, match=message):
            create_stream(settings(tmp_path, engine, **change()))
        assert not list(tmp_path.iterdir()), message


@pytest.mark.parametrize("engine", ONE_ENGINE_PER_FORMAT)
@pytest.mark.parametrize(
    ("size", "message"),
    [
        ({"chunk_size": 10**30}, "A chunk of several frames may have"),
        ({"shard_size_chunks": 10**30}, "A shard may have 16,777,216 chunks"),
    ],
)
def test_chunk_of_too_many_frames(
    tmp_path: Path, engine: str, size: dict[str, int], message: str
) -> None:
    """The sizes have no effect in OME-TIFF."""
    acquisition = settings(tmp_path, engine, **t(None, **size))
    if ENGINES[engine].format != "ome-tiff":
        with refusal(UnsupportedError, match=message):
            create_stream(acquisition)
        assert not list(tmp_path.iterdir())
    else:
        with create_stream(acquisition) as stream:
            assert stream.plan.images[0].array.chunks[0] == 1


@pytest.mark.parametrize("engine", INSTALLED)
def test_chunk_too_large_for_blosc(tmp_path: Path, engine: str) -> None:
    """Blosc refuses chunks of 2 GiB and more; without compression the stream opens."""
    large = axes(Dimension(name="y", count=100_000), Dimension(name="x", count=100_000))
    if "blosc-lz4" in ENGINES[engine].compressions:
        with refusal(UnsupportedError, match="20000000000.*chunk_size"):
            create_stream(settings(tmp_path, engine, **large, compression="blosc-lz4"))
        assert not list(tmp_path.iterdir())
    with create_stream(settings(tmp_path, engine, **large)) as stream:
        assert stream.plan.images[0].array.shape == (100_000, 100_000)
        with refusal(ValueError, match=r"\(100000, 100000\), got \(8, 6\)"):
            stream.append(frame(0))
    written = [p.stat() for p in tmp_path.rglob("*") if p.is_file()]
    assert sum(getattr(s, "st_blocks", 0) * 512 for s in written) < 2**20


@pytest.mark.parametrize("engine", [name for name in ("tifffile",) if name in INSTALLED])
def test_too_many_tiff_pages(tmp_path: Path, engine: str) -> None:
    """Preallocating two billion IFDs would take an hour."""
    with refusal(UnsupportedError, match="at most 100000000 planes are supported, got 2147483647"):
        create_stream(settings(tmp_path, engine, **t(MAX_COUNT)))
    assert not list(tmp_path.iterdir())


UNUSUAL: dict[str, Change] = {
    "2-D only": lambda: axes(*YX),
    "one pixel": lambda: axes(
        Dimension(name="t", count=2), Dimension(name="y", count=1), Dimension(name="x", count=1)
    ),
    "chunk larger than the axis": lambda: t(chunk_size=7),
    "chunk much larger than the axis": lambda: t(chunk_size=10**30),
    "shard larger than the axis": lambda: t(chunk_size=2, shard_size_chunks=9),
    "shard not a multiple": lambda: t(5, chunk_size=2, shard_size_chunks=2),
    "tiles that do not divide the frame": lambda: axes(
        Dimension(name="t", count=3),
        Dimension(name="y", count=8, chunk_size=5),
        Dimension(name="x", count=6, chunk_size=5),
    ),
    "buffer of one byte": lambda: {"buffer_bytes": 1},
    "flush interval beyond any clock": lambda: {"flush_interval": 1e300},
    "flush interval of 1 ns": lambda: {"flush_interval": 1e-9},
    "smallest scale": lambda: t(scale=5e-324),
    "largest scale": lambda: t(scale=1.7e308, translation=-1.7e308),
    "big-endian": lambda: {"dtype": ">u2"},
    "compression none": lambda: {"compression": "none"},
}


@pytest.mark.parametrize("engine", INSTALLED)
def test_unusual_settings_are_applied(tmp_path: Path, engine: str) -> None:
    for name, change in UNUSUAL.items():
        acquisition = settings(tmp_path / name.replace(" ", "-"), engine, **change())
        with create_stream(acquisition) as stream:
            shape = stream.plan.images[0].array.frame_shape
            frames = [frame(n)[: shape[0], : shape[1]] for n in range(stream.plan.frames or 0)]
            for one in frames:
                stream.append(one)
        expected = np.reshape(frames, stream.plan.images[0].array.shape)
        read = read_images(stream.plan, [expected.shape])[0]
        assert np.array_equal(read, expected), name


@pytest.mark.parametrize("engine", INSTALLED)
def test_zero_frames(tmp_path: Path, engine: str) -> None:
    """A stream without frames creates a valid dataset, bounded or not."""
    for name, count in (("bounded", 3), ("unbounded", None)):
        if count is None and not ENGINES[engine].growth:
            continue
        with create_stream(settings(tmp_path / name, engine, **t(count))) as stream:
            pass
        shape = stream.plan.images[0].array.shape
        if ENGINES[engine].format == "ome-zarr":
            assert not read_images(stream.plan)[0].any()
        elif ENGINES[engine].format == "ome-tiff":
            assert not read_images(stream.plan, [(1, *shape[1:])])[0].any()
        assert stream.stats().frames_accepted == 0
