"""Resolution levels of an OME-TIFF: SubIFDs of each page, as tifffile reads them."""

from __future__ import annotations

import shutil
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

import ome_writers as omew
from ome_writers import Camera, Dimension, OmeTiffFormat, Pyramid
from ome_writers.repair import repair
from ome_writers.storage import lock_path

if TYPE_CHECKING:
    from pathlib import Path

HEIGHT, WIDTH = 65, 48
FRAMES = np.random.default_rng(0).integers(1, 2**16, (6, HEIGHT, WIDTH)).astype("uint16")


def create(path: Path, frames: int | None = 6, **options: Any) -> omew.OMEStream:
    dimensions = [
        Dimension(name="t", count=frames),
        Dimension(name="y", count=HEIGHT, scale=0.5, unit="micrometer"),
        Dimension(name="x", count=WIDTH, scale=0.5, unit="micrometer"),
    ]
    defaults = {"dtype": "uint16", "pyramid": Pyramid(levels=2, method="decimate")}
    return omew.create_stream(root_path=path, dimensions=dimensions, **{**defaults, **options})


@pytest.mark.parametrize("frames", [6, None])
@pytest.mark.parametrize("compression", [None, "zstd"])
def test_levels_are_sub_ifds_largest_first(
    tmp_path: Path, frames: int | None, compression: str | None
) -> None:
    path = tmp_path / "run.ome.tiff"
    with create(path, frames, compression=compression) as stream:
        for frame in FRAMES:
            stream.append(frame)
    with tifffile.TiffFile(path) as tiff:
        assert len(tiff.pages) == 6
        for page, frame in zip(tiff.pages, FRAMES, strict=True):
            assert page.aspage().subfiletype == 0
            levels = page.aspage().pages
            assert [level.shape for level in levels] == [(33, 24), (17, 12)]
            for level, step in zip(levels, (2, 4), strict=True):
                assert level.subfiletype == 1
                assert level.tags["XResolution"].value == (20_000 // step, 1)
                np.testing.assert_array_equal(level.asarray(), frame[::step, ::step])
        assert [level.shape for level in tiff.series[0].levels] == [
            (6, 65, 48),
            (6, 33, 24),
            (6, 17, 12),
        ]


def test_ifds_of_levels_exist_before_the_first_frame(tmp_path: Path) -> None:
    path = tmp_path / "run.ome.tiff"
    with create(path), tifffile.TiffFile(path) as tiff:
        levels = tiff.series[0].levels
        assert [level.shape for level in levels] == [(6, 65, 48), (6, 33, 24), (6, 17, 12)]
        assert not any(level.asarray().any() for level in levels)


def test_replaced_frame_replaces_its_levels(tmp_path: Path) -> None:
    path = tmp_path / "run.ome.tiff"
    with create(path) as stream:
        for frame in FRAMES:
            stream.append(frame)
        stream.flush()
        stream.append(FRAMES[5], index={"t": 0})
    np.testing.assert_array_equal(omew.open(path, level=1)[0], FRAMES[5, ::2, ::2])
    np.testing.assert_array_equal(omew.open(path, level=2)[1], FRAMES[1, ::4, ::4])


def test_cancelled_file_ends_after_the_last_frame(tmp_path: Path) -> None:
    path = tmp_path / "run.ome.tiff"
    with create(path, 2000) as stream:
        for frame in FRAMES:
            stream.append(frame)
    planned = 2000 * FRAMES[0].nbytes
    assert path.stat().st_size < planned * 0.5  # the levels of all frames precede full resolution
    np.testing.assert_array_equal(omew.open(path, level=1), FRAMES[:, ::2, ::2])


@pytest.mark.parametrize("frames", [7, None])
def test_images_in_one_file_have_levels_of_their_own(tmp_path: Path, frames: int | None) -> None:
    """The smaller camera has one level only, and the acquisition is cancelled."""
    path = tmp_path / "run.ome.tiff"
    dimensions = [
        Dimension(name="t", count=frames),
        Dimension(name="cam", coords=[Camera(name="a"), Camera(name="b", height=20, width=16)]),
        Dimension(name="y", count=64),
        Dimension(name="x", count=64),
    ]
    with omew.create_stream(
        root_path=path,
        dimensions=dimensions,
        dtype="uint16",
        pyramid=Pyramid(smallest=16, method="decimate"),
        format={"name": "ome-tiff", "prefer_single_file": "always"},
    ) as stream:
        for frame in FRAMES:
            stream.append(frame[:64, :32].repeat(2, axis=1))
            stream.append(frame[:20, :16])
    with tifffile.TiffFile(path) as tiff:
        shapes = [[level.shape[-2:] for level in series.levels] for series in tiff.series]
        assert shapes == [[(64, 64), (32, 32), (16, 16)], [(20, 16), (10, 8)]]
        expected = FRAMES[:, :20:2, :16:2]
        np.testing.assert_array_equal(tiff.series[1].levels[1].asarray(), expected)
    assert not [finding for check in omew.validate(path).checks for finding in check.findings]


@pytest.mark.parametrize("compression", [None, "deflate"])
@pytest.mark.parametrize("positions", [1, 2])
@pytest.mark.parametrize("tile", [None, 16])
def test_repair_computes_levels(
    tmp_path: Path, compression: str | None, positions: int, tile: int | None
) -> None:
    """A copy of the files while they are written is what a killed writer leaves; here, level 1 is lost."""
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.mkdir()
    dimensions = [
        *([Dimension(name="p", type="position", coords=["a", "b"])] if positions > 1 else []),
        Dimension(name="t", count=6),
        Dimension(name="y", count=HEIGHT),
        Dimension(name="x", count=WIDTH),
    ]
    stream = omew.create_stream(
        root_path=source / "run.ome.tiff",
        dimensions=dimensions,
        dtype="uint16",
        compression=compression,
        format=OmeTiffFormat(tile=tile),
        pyramid=Pyramid(levels=2, method="max"),
    )
    with stream:
        for frame in [*FRAMES] * positions:
            stream.append(frame)
        stream.flush()
        shutil.copytree(source, copy)
    output = copy / "run" if positions > 1 else copy / "run.ome.tiff"
    lock_path(output, folder=output.is_dir()).unlink()  # this process owns it
    file = output / "run_p001.ome.tiff" if positions > 1 else output
    with tifffile.TiffFile(file) as tiff:
        level = tiff.pages[2].aspage().pages[0]
        offsets, counts = level.dataoffsets, level.databytecounts
        assert level.is_tiled == (tile is not None)
    zeros = np.zeros(16 * 16 if tile else 33 * 24, "uint16").tobytes()
    with file.open("r+b") as raw:
        for offset, count in zip(offsets, counts, strict=True):
            raw.seek(offset)
            raw.write((zlib.compress(zeros) if compression else zeros).ljust(count, b"\0")[:count])
    what = [finding.what for finding in repair(output).findings]
    assert any("1 planes of resolution levels were not the reduction" in each for each in what)
    assert not repair(output).findings
    assert not [finding for check in omew.validate(output).checks for finding in check.findings]


def test_levels_of_a_version_without_tiles_are_repaired_and_checked(tmp_path: Path) -> None:
    """Its settings do not have a `tile`, and its pages have strips."""
    path, dimensions = tmp_path / "run.ome.tiff", [Dimension(name=n, count=530) for n in "yx"]
    with omew.create_stream(
        root_path=path,
        dimensions=dimensions,
        dtype="uint8",
        format=OmeTiffFormat(tile=None),
        pyramid=Pyramid(levels=1, method="max"),
    ) as stream:
        stream.append(np.full((530, 530), 7, "uint8"))
    content, setting = path.read_bytes(), b',"tile":null'
    assert setting in content
    path.write_bytes(content.replace(setting, b" " * len(setting)))
    level = omew.read(path).images[0].levels[0]
    assert level.chunks == level.shape == (530, 530)
    assert not [finding for check in omew.validate(path).checks for finding in check.findings]
    assert not repair(path).findings
