"""A flipped bit in a dataset with checksums: `validate` names the frames; every reader of OME-Zarr raises an error."""

from __future__ import annotations

import random
import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import ome_writers
from ome_writers import (
    AcquisitionSettings,
    Dimension,
    OmeTiffFormat,
    OmeZarrFormat,
    Pyramid,
    create_stream,
    validate,
)
from ome_writers.settings import find_engine
from support.sweeps import swept

tifffile = pytest.importorskip("tifffile", reason="a reader of OME-TIFF")
zarr = pytest.importorskip("zarr", reason="a reader that verifies checksums", minversion="3.1")
tensorstore = pytest.importorskip("tensorstore", reason="a reader that verifies checksums")

FLIPS = 10  # of a batch; the first batch is in each test run, all 100 in the sweep
ENGINES = ("direct", "tensorstore", "zarr-python", "zarrs-python")
COMPRESSIONS = ("none", "blosc-zstd", "blosc-lz4", "blosc-lz4-bitshuffle", "zstd", "gzip")
SHARDS = (None, 4)
CHUNKS = (1, 3)
TILES = (None, 16)
FRAMES = np.random.default_rng(0).poisson(100, (6, 2, 48, 40)).astype("uint16")


class Layout(NamedTuple):
    engine: str
    compression: str
    shard: int | None
    chunk: int
    tile: int | None


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a function that returns the path of a dataset, which is written once."""

    @cache
    def write(layout: Layout) -> Path:
        path = tmp_path_factory.mktemp("flips") / "run.ome.zarr"
        settings = AcquisitionSettings(
            root_path=path,
            dimensions=[
                Dimension(
                    name="t",
                    count=FRAMES.shape[0],
                    chunk_size=layout.chunk,
                    shard_size_chunks=layout.shard,
                ),
                Dimension(name="c", count=FRAMES.shape[1]),
                Dimension(name="y", count=FRAMES.shape[2], chunk_size=layout.tile),
                Dimension(name="x", count=FRAMES.shape[3], chunk_size=layout.tile),
            ],
            dtype="uint16",
            compression=layout.compression,  # type: ignore[arg-type]  # one of the table
            format=OmeZarrFormat(backend=layout.engine, checksum=True),
        )
        with create_stream(settings) as stream:
            for frame in FRAMES.reshape(-1, *FRAMES.shape[2:]):
                stream.append(frame)
        return path

    return write


def read_zarr_python(path: Path) -> Any:
    return zarr.open_array(path / "0", mode="r")


def read_tensorstore(path: Path) -> Any:
    kvstore = {"driver": "file", "path": f"{(path / '0').as_posix()}/"}
    return tensorstore.open({"driver": "zarr3", "kvstore": kvstore}, read=True).result()


READERS = {
    "zarr-python": read_zarr_python,
    "tensorstore": read_tensorstore,
}


def outcome(open_array: Any, path: Path) -> str:
    """Return whether a reader finds the right pixels, wrong ones, an array of another shape, or raises an error."""
    try:
        pixels = np.asarray(open_array(path)[:])
    except Exception:  # each reader has classes of its own
        return "error"
    if pixels.shape != FRAMES.shape:
        return "shape"
    return "right" if np.array_equal(pixels, FRAMES) else "wrong"


def damaged_planes(path: Path) -> set[tuple[int, int]]:
    """Return the indices of the planes that zarr-python cannot read."""
    array, damaged = read_zarr_python(path), set()
    for index in np.ndindex(*FRAMES.shape[:2]):
        try:
            assert np.array_equal(array[index], FRAMES[index])
        except AssertionError:
            raise
        except Exception:
            damaged.add(index)
    return damaged


def named_planes(findings: list[str]) -> set[tuple[int, int]]:
    """Return the indices of the planes that findings name: ``image 0, index (0:3, 1)``."""
    named = set()
    for t, c in re.findall(r"image 0, index \(([\d:]+), ([\d:]+)\)", "\n".join(findings)):
        spans = [[int(n) for n in axis.split(":")] for axis in (t, c)]
        axes = [range(s[0], s[-1] + (len(s) == 1)) for s in spans]
        named |= {(i, j) for i in axes[0] for j in axes[1]}
    return named


def flip(draw: random.Random, path: Path) -> tuple[Path, bytes]:
    """Flip one bit of a dataset, in a document every fifth time; return the file and its content before."""
    files = sorted(file for file in path.rglob("*") if file.is_file())
    documents = [file for file in files if file.name == "zarr.json"]
    others = [file for file in files if file not in documents]
    chosen = documents if draw.random() < 0.2 else others
    (file,) = draw.choices(chosen, [each.stat().st_size for each in chosen])
    content = file.read_bytes()
    bit = draw.randrange(8 * len(content))
    flipped = bytearray(content)
    flipped[bit // 8] ^= 1 << bit % 8
    file.write_bytes(flipped)
    return file, content


@pytest.mark.parametrize("batch", swept(range(100), lambda batch: batch < 1))
def test_flipped_bit_is_an_error_and_named_by_validate(batch: int, written: Any) -> None:
    """10 of 1,000 flips, over engines, compressions and layouts."""
    draw = random.Random(batch)
    engines = [e for e in ENGINES if (row := find_engine(e)) and row.missing_requirement() is None]
    choices = (engines, COMPRESSIONS, SHARDS, CHUNKS, TILES)
    layouts = [Layout(*map(draw.choice, choices)) for _ in range(4)]  # type: ignore[arg-type]
    for _ in range(FLIPS):
        layout = draw.choice(layouts)
        path = written(layout)
        file, content = flip(draw, path)
        try:
            check(path, file, layout)
        finally:
            file.write_bytes(content)


def check(path: Path, file: Path, layout: Layout) -> None:
    found = {name: outcome(reader, path) for name, reader in READERS.items()}
    where = f"{layout}, {file.relative_to(path)}: {found}"
    checked = validate(path)
    if file.name == "zarr.json":
        found["ome-writers"] = outcome(ome_writers.open, path)
        if set(found.values()) != {"right"}:
            assert any(each.path in (file, file.parent, path) for each in checked.findings), where
        return
    assert set(found.values()) == {"error"}, where
    assert not checked.valid, where
    of_file = [each.what for each in checked.findings if each.path == file]
    damaged = damaged_planes(path)
    assert damaged, where
    assert damaged <= named_planes(of_file), f"{where}: {of_file}"
    first = min(damaged)
    with pytest.raises(OSError, match="cannot be read") as error:
        ome_writers.open(path)[:]
    assert first in named_planes([str(error.value).replace("index", "image 0, index")])


def test_intact_dataset_with_checksums_is_valid(written: Any) -> None:
    for compression in COMPRESSIONS:
        path = written(Layout("direct", compression, 4, 1, None))
        assert validate(path).valid
        assert {outcome(reader, path) for reader in READERS.values()} == {"right"}


class TiffLayout(NamedTuple):
    compression: str
    tile: int | None
    levels: int


TIFF_COMPRESSIONS = ("none", "deflate", "lzw", "zstd")


@pytest.fixture(scope="module")
def written_tiff(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a function that returns the path of an OME-TIFF, which is written once."""

    @cache
    def write(layout: TiffLayout) -> Path:
        path = tmp_path_factory.mktemp("flips") / "run.ome.tiff"
        names = zip("tcyx", FRAMES.shape, strict=True)
        settings = AcquisitionSettings(
            root_path=path,
            dimensions=[Dimension(name=name, count=count) for name, count in names],
            dtype="uint16",
            compression=layout.compression,  # type: ignore[arg-type]  # one of the table
            format=OmeTiffFormat(checksum=True, tile=layout.tile),
            pyramid=Pyramid(levels=layout.levels) if layout.levels else None,
        )
        with create_stream(settings) as stream:
            for frame in FRAMES.reshape(-1, *FRAMES.shape[2:]):
                stream.append(frame)
        return path

    return write


def strips_of(path: Path) -> list[range]:
    """Return where the strips and tiles of all pages are."""
    with tifffile.TiffFile(path) as tiff:
        return [
            range(offset, offset + nbytes)
            for page in tiff.pages
            for offset, nbytes in zip(page.dataoffsets, page.databytecounts, strict=True)
        ]


def wrong_pages(path: Path) -> set[tuple[int, int]] | None:
    """Return the indices of the pages that tifffile cannot read, or reads with other pixels; None if it opens none."""
    wrong = set()
    try:
        with tifffile.TiffFile(path) as tiff:
            if len(tiff.pages) != FRAMES.shape[0] * FRAMES.shape[1]:
                return None
            for number, index in enumerate(np.ndindex(*FRAMES.shape[:2])):
                try:
                    pixels = np.asarray(tiff.pages[number].asarray())
                except Exception:  # each codec has classes of its own
                    pixels = np.zeros(0)
                if not np.array_equal(pixels, FRAMES[index]):
                    wrong.add(index)
    except Exception:
        return None
    return wrong


@pytest.mark.parametrize("batch", swept(range(100), lambda batch: batch < 1))
@pytest.mark.filterwarnings("ignore")
def test_flipped_bit_of_a_tiff_is_named_by_validate(batch: int, written_tiff: Any) -> None:
    """10 of 1,000 flips: each page that tifffile then reads with other pixels is named, or the file."""
    draw = random.Random(1000 + batch)
    choices = (TIFF_COMPRESSIONS, (None, 16), (0, 1))
    layouts = [TiffLayout(*map(draw.choice, choices)) for _ in range(2)]  # type: ignore[arg-type]
    for _ in range(FLIPS):
        layout = draw.choice(layouts)
        path = written_tiff(layout)
        content = path.read_bytes()
        bit = draw.randrange(8 * len(content))
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        in_pixels = any(bit // 8 in strip for strip in strips_of(path))
        path.write_bytes(flipped)
        try:
            wrong = wrong_pages(path)
            findings = validate(path).findings
        finally:
            path.write_bytes(content)
        where = f"{layout}, byte {bit // 8}: {findings}"
        if wrong is None:
            assert any(each.path == path for each in findings), where
        elif wrong:
            named = named_planes([each.what for each in findings])
            whole = not in_pixels and any("image " not in each.what for each in findings)
            assert wrong <= named or whole, f"{wrong}, {where}"
