"""Tiles of the BigTIFF engine, as tifffile reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

import ome_writers as omew
from ome_writers import Dimension, OmeTiffFormat
from ome_writers.formats.ometiff.ifd_repair import IfdRepair
from support.tiff_engine import (
    COMPRESSIONS,
    finish,
    make_frame,
    make_plan,
    open_tiff_engine,
    read_pages,
)

if TYPE_CHECKING:
    from pathlib import Path

    from ome_writers.dataset import LevelSpec

SHAPE = (70, 45)  # 5 x 3 tiles of 16 x 16, padded at both edges


def tiled_plan(*counts: int | None, tile: Any = 16, **settings: Any) -> LevelSpec:
    settings = {"frame": SHAPE, **settings}
    return make_plan(*counts, format=OmeTiffFormat(tile=tile), **settings)


def frame(number: int, dtype: str = "uint16") -> np.ndarray[Any, Any]:
    return make_frame(number, SHAPE, dtype)


def tiff_page(path: Path, number: int) -> Any:
    with tifffile.TiffFile(path) as tiff:
        return tiff.pages[number].aspage()


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("files", [1, 2])
def test_tiles_of_frames_in_any_order_replaced_and_missing(
    tmp_path: Path, compression: str, durable: bool, files: int
) -> None:
    plan = tiled_plan(4, 3, compression=compression)
    engine = open_tiff_engine(tmp_path, *[plan] * files, durable=durable)
    key, last = tmp_path / f"{files - 1}.tif", files - 1
    assert not np.any(read_pages(key))
    assert len(set(tiff_page(key, 0).dataoffsets)) == 1  # all tiles of a blank page are the same
    expected = np.zeros((12, *SHAPE), np.uint16)
    for number in np.random.default_rng(0).permutation(11).tolist():
        expected[number] = frame(number + 1)
        engine.write(number, last, divmod(number, 3), frame(number + 1), owned=True)
        np.testing.assert_array_equal(engine.read(last, divmod(number, 3)), expected[number])
    engine.flush([(4, 3, *SHAPE)] * files)
    np.testing.assert_array_equal(read_pages(key), expected)
    expected[5], expected[6] = frame(98), frame(99)
    engine.write(11, last, (1, 2), frame(98))
    engine.write(12, last, (2, 0), frame(99))
    engine.flush([(4, 3, *SHAPE)] * files)
    np.testing.assert_array_equal(read_pages(key), expected)
    assert IfdRepair(key).pages_with_pixels == list(range(11))
    engine.close([(4, 3, *SHAPE)] * files)
    np.testing.assert_array_equal(read_pages(key), expected)
    np.testing.assert_array_equal([engine.read(last, divmod(n, 3)) for n in range(12)], expected)
    assert not engine.failures
    page = tiff_page(key, 5)
    assert (page.tilelength, page.tilewidth, len(page.dataoffsets)) == (16, 16, 15)
    assert not page.is_contiguous


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("one_file", [False, True])
def test_growing_file_with_tiles(tmp_path: Path, compression: str, one_file: bool) -> None:
    plan = tiled_plan(None, 2, compression=compression)
    engine = open_tiff_engine(tmp_path, plan, plan, one_file=one_file)
    for t in range(40):
        for array in range(2):
            for c in range(2):
                engine.write(0, array, (t, c), frame(t * 4 + array * 2 + c))
        if t in (0, 20):
            engine.flush([(t + 1, 2, *SHAPE)] * 2)
            assert len(read_pages(tmp_path / "0.tif")) == (t + 1) * (4 if one_file else 2)
    finish(engine, [(40, 2, *SHAPE)] * 2)
    numbers = range(160) if one_file else [t * 4 + c for t in range(40) for c in range(2)]
    stored = read_pages(tmp_path / "0.tif")
    np.testing.assert_array_equal(stored, [frame(n) for n in numbers])


def test_tiles_of_uncompressed_pages_have_their_offsets_from_the_start(tmp_path: Path) -> None:
    engine = open_tiff_engine(tmp_path, tiled_plan(5))
    size = (tmp_path / "0.tif").stat().st_size
    for t in (3, 1):
        engine.write(t, 0, (t,), frame(t + 1))
    engine.flush([(5, *SHAPE)])
    assert (tmp_path / "0.tif").stat().st_size == size
    assert [bool(page.any()) for page in read_pages(tmp_path / "0.tif")] == [0, 1, 0, 1, 0]
    engine.close([(5, *SHAPE)])


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("tile", [16, (32, 16), (16, 48), (80, 16)])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_tile_shapes_round_trip(tmp_path: Path, compression: str, tile: Any, dtype: str) -> None:
    """A tile may be wider or higher than the plane."""
    engine = open_tiff_engine(
        tmp_path, tiled_plan(2, tile=tile, compression=compression, dtype=dtype)
    )
    engine.write(0, 0, (1,), frame(7, dtype)[::-1])  # not contiguous
    finish(engine, [(2, *SHAPE)])
    np.testing.assert_array_equal(read_pages(tmp_path / "0.tif")[1], frame(7, dtype)[::-1])
    page = tiff_page(tmp_path / "0.tif", 1)
    assert (page.tilelength, page.tilewidth) == ((tile, tile) if isinstance(tile, int) else tile)


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_padding_is_zero(tmp_path: Path, compression: str) -> None:
    engine = open_tiff_engine(tmp_path, tiled_plan(40, compression=compression))
    for t in range(40):  # in memory that earlier frames were in
        engine.write(t, 0, (t,), np.full(SHAPE, 0xFFFF, "uint16"))
    finish(engine, [(40, *SHAPE)])
    with tifffile.TiffFile(tmp_path / "0.tif") as tiff:
        for page in tiff.pages:
            tiles = [tile[0] for tile in page.aspage().segments()]
            assert all(tile.shape == (1, 16, 16, 1) for tile in tiles)
            pixels = sum(int(np.count_nonzero(tile)) for tile in tiles)
            assert pixels == SHAPE[0] * SHAPE[1]


def test_plane_of_one_tile_is_a_strip(tmp_path: Path) -> None:
    engine = open_tiff_engine(tmp_path, tiled_plan(2, tile=(80, 48)))
    engine.close([(2, *SHAPE)])
    assert not tiff_page(tmp_path / "0.tif", 0).is_tiled


def test_chunk_size_does_not_affect_tiles() -> None:
    dimensions = [Dimension(name=n, count=600, chunk_size=64) for n in "yx"]
    settings = omew.AcquisitionSettings(
        root_path="x.ome.tiff", dimensions=dimensions, dtype="uint8"
    )
    assert omew.routing.resolve(settings).images[0].array.chunks == (600, 600)


@pytest.mark.parametrize(
    ("shape", "tiles"),
    [
        ((2048, 2048), [(512, 512), (512, 512), (512, 512)]),
        ((2304, 2160), [(464, 432), (384, 368), (288, 272)]),
        ((600, 530), [(304, 272), (300, 265), (150, 133)]),
        ((40, 3000), [(40, 3000), (20, 1500), (10, 750)]),
    ],
)
def test_automatic_tiles_divide_planes_evenly(
    shape: tuple[int, int], tiles: list[tuple[int, int]]
) -> None:
    """A plane of at most 512 x 512, or of less than 64 rows, is one strip."""
    settings = omew.AcquisitionSettings(
        root_path="x.ome.tiff",
        dimensions=[Dimension(name=n, count=c) for n, c in zip("yx", shape, strict=True)],
        dtype="uint8",
        pyramid={"levels": 2},
    )
    levels = omew.routing.resolve(settings).images[0].levels
    assert [level.chunks for level in levels] == tiles


@pytest.mark.parametrize(("counts", "size"), [((3, 2), 2200), ((None, 2), 9896)])
def test_files_without_tiles_do_not_change(
    tmp_path: Path, counts: tuple[int | None, int], size: int
) -> None:
    """Tags and offsets from the second IFD on; what precedes it contains the version."""
    engine = open_tiff_engine(tmp_path, make_plan(*counts))
    for t in range(3):
        for c in range(2):
            engine.write(0, 0, (t, c), make_frame(2 * t + c))
        engine.flush([(3 if counts[0] else t + 1, 2, 6, 10)])
    engine.close([(3, 2, 6, 10)])
    engine.truncate()
    with tifffile.TiffFile(tmp_path / "0.tif") as tiff:
        second = tiff.pages[1].aspage()
        tags = [tag.code for tag in second.tags]
        offsets = [page.aspage().dataoffsets[0] - second.offset for page in tiff.pages]
        ifds = [page.aspage().offset - second.offset for page in tiff.pages]
    assert tags == [256, 257, 258, 259, 262, 273, 277, 278, 279, 282, 283, 284, 296, 339]
    assert ifds[1:] == [0, 296, 592, 888, 1184]
    assert offsets == [size - 720 + 120 * n for n in range(6)]
    assert (tmp_path / "0.tif").stat().st_size - second.offset == size


@pytest.mark.parametrize("compression", [None, "zstd", "lzw"])
@pytest.mark.parametrize("rgb", [False, True])
def test_a_region_is_read_from_its_tiles_only(tmp_path: Path, compression: Any, rgb: bool) -> None:
    """All other tiles of the second frame are damaged."""
    path, frames = (
        tmp_path / "run.ome.tiff",
        np.random.default_rng(0).integers(1, 255, (2, 70, 45, 3)),
    )
    frames = (frames if rgb else frames[..., 0]).astype("uint8")
    dimensions = [Dimension(name=n, count=c) for n, c in (("t", 2), ("y", 70), ("x", 45))]
    with omew.create_stream(
        root_path=path,
        dimensions=dimensions,
        dtype="uint8",
        rgb=rgb,
        compression=compression,
        format=OmeTiffFormat(tile=16),
    ) as stream:
        for each in frames:
            stream.append(each)
    page = tiff_page(path, 1)
    used = {7, 8, 10, 11}  # of 3 in a row
    with path.open("r+b") as raw:
        for number, (at, size) in enumerate(
            zip(page.dataoffsets, page.databytecounts, strict=True)
        ):
            if number not in used:
                raw.seek(at)
                raw.write(b"\xff" * size)
    view = omew.open(path)
    np.testing.assert_array_equal(view[1, 40:60, 20:45], frames[1, 40:60, 20:45])
    np.testing.assert_array_equal(view[1, -10:-31:-3, -1], frames[1, -10:-31:-3, -1])
    np.testing.assert_array_equal(view[:, 50, 17:], frames[:, 50, 17:])
    np.testing.assert_array_equal(view[0], frames[0])
