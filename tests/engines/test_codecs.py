"""A compression of one's own is one row of the table; settings, engines, readers and checks follow from it."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pytest

import ome_writers
from ome_writers import codecs
from ome_writers.formats.omezarr.node_metadata import compression_of_codecs
from ome_writers.repair import repair
from ome_writers.storage import ENGINES
from ome_writers.storage.background import available_cpus
from ome_writers_tools.advice import Camera, measure_codecs
from ome_writers_tools.cli import main
from support.waiting import WAIT_S

if TYPE_CHECKING:
    from pathlib import Path

KEY = 0x5A
FRAMES = np.random.default_rng(1).integers(0, 2**16, (5, 2, 24, 32), dtype=np.uint16)


def xor(content: Any) -> bytes:
    return (np.frombuffer(content, np.uint8) ^ KEY).tobytes()


def checked_xor(stored: bytes, max_bytes: int) -> bytes:
    if len(stored) > max_bytes:
        raise ValueError(f"{len(stored)} bytes, at most {max_bytes} are valid")
    return xor(stored)


XOR = codecs.CompressionRow(
    name="xor",
    label="a made-up codec",
    zarr=(
        codecs.ZarrCodec(
            name="example.xor",
            encode=xor,
            decode=checked_xor,
            configuration=lambda item_bytes: {"key": KEY, "items": item_bytes},
            members={"key": None, "items": (1, 2, 4, 8)},
            v2={"id": "example.xor", "key": KEY},
        ),
    ),
    tiff=codecs.TiffCodec(tag=65123, encode=xor, decode=checked_xor),
    max_bytes=2**20,
    proposed=True,
)


@pytest.fixture
def row(monkeypatch: pytest.MonkeyPatch) -> codecs.CompressionRow:
    """Add a compression to the table."""
    monkeypatch.setitem(codecs.COMPRESSIONS, "xor", XOR)
    return XOR


def settings(path: Path, **more: Any) -> ome_writers.AcquisitionSettings:
    dimensions = ome_writers.dims_from_standard_axes({"t": 5, "c": 2, "y": 24, "x": 32})
    return ome_writers.AcquisitionSettings(
        root_path=path, dimensions=dimensions, dtype="uint16", **{"compression": "xor", **more}
    )


def write(path: Path, frames: int = 10, **more: Any) -> Path:
    """Write frames, and read some back from the stream."""
    sharded = settings(path, **more)
    if sharded.format.name == "ome-zarr":
        sharded.dimensions[0].shard_size_chunks = 5
    with ome_writers.create_stream(sharded) as stream:
        for frame in FRAMES.reshape(-1, 24, 32)[:frames]:
            stream.append(frame)
        assert np.array_equal(stream.view()[0, 1], FRAMES[0, 1])
    return path


def own_problems(path: Path) -> list[str]:
    """Return what `validate` finds, without the third-party validators, which do not know the codec."""
    found = [f.what for check in ome_writers.validate(path).checks for f in check.findings]
    # the words of zarr-python 3.0, 3.1, and later
    unknown = (
        "'example.xor'",
        "Unknown codec: 'example.xor'",
        "An implementation for codec 'example.xor' is not available.",
    )
    return [what for what in found if not what.startswith(unknown)]


FORMATS = ["a.ome.zarr", "a.ome.tiff"]


@pytest.mark.parametrize("name", FORMATS)
def test_written_dataset_is_encoded_read_and_valid(
    tmp_path: Path, name: str, row: codecs.CompressionRow, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / name)
    files = [path] if path.is_file() else [*(path / "0" / "c").rglob("0")]
    content = b"".join(file.read_bytes() for file in files if file.is_file())
    assert FRAMES[3, 1].tobytes() not in content
    assert xor(FRAMES[3, 1]) in content
    spec = ome_writers.read(path)
    assert spec.images[0].levels[0].compression == "xor"
    assert np.array_equal(ome_writers.open(path)[:], FRAMES)
    assert own_problems(path) == []
    assert main(["info", str(path)]) == 0
    assert "xor" in capsys.readouterr().out


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_chunk_or_strip_is_found(tmp_path: Path, name: str, row: Any) -> None:
    def refuse(stored: bytes, max_bytes: int) -> bytes:
        raise ValueError("damaged")

    path = write(tmp_path / name)
    zarr = replace(row.zarr[0], decode=refuse)
    damaged = replace(row, zarr=(zarr,), tiff=row.tiff._replace(decode=refuse))
    codecs.COMPRESSIONS["xor"] = damaged
    assert own_problems(path)
    with pytest.raises((OSError, ome_writers.InvalidFileError), match="damaged"):
        ome_writers.open(path)[0, 0]


@pytest.mark.parametrize("target", ["b.ome.zarr", "b.ome.tiff"])
@pytest.mark.parametrize("name", FORMATS)
def test_dataset_is_converted_from_and_to_it(
    tmp_path: Path, name: str, target: str, row: codecs.CompressionRow
) -> None:
    path, copy = write(tmp_path / name), tmp_path / target
    assert main(["convert", str(path), str(copy), "--compression", "xor", "--verify"]) == 0
    assert ome_writers.read(copy).images[0].levels[0].compression == "xor"
    plain = tmp_path / "plain.ome.zarr"
    ome_writers.convert(copy, plain, compression="none", verify=True)
    assert np.array_equal(ome_writers.open(plain)[:], FRAMES)
    if (name, target) == ("a.ome.zarr", "b.ome.zarr"):  # without an option
        ome_writers.convert(path, tmp_path / "kept.ome.zarr")
        assert ome_writers.read(tmp_path / "kept.ome.zarr").images[0].levels[0].compression == "xor"


def test_tiles_and_levels_of_ome_tiff(tmp_path: Path, row: codecs.CompressionRow) -> None:
    tiled = ome_writers.OmeTiffFormat(tile=16)
    path = write(tmp_path / "a.ome.tiff", format=tiled, pyramid={"levels": 2})
    assert np.array_equal(ome_writers.open(path)[:], FRAMES)
    assert ome_writers.open(path, level=1).shape == (5, 2, 12, 16)
    assert own_problems(path) == []


def test_levels_are_added_with_it(tmp_path: Path, row: codecs.CompressionRow) -> None:
    path = write(tmp_path / "a.ome.zarr")
    ome_writers.add_pyramid(path, ome_writers.Pyramid(levels=2))
    level = ome_writers.read(path).images[0].levels[1]
    assert level.compression == "xor"
    assert own_problems(path) == []


@pytest.mark.parametrize("name", FORMATS)
def test_repair_finds_nothing(tmp_path: Path, name: str, row: codecs.CompressionRow) -> None:
    assert repair(write(tmp_path / name, 7)).findings == ()


def test_zarr_v2_has_its_compressor(tmp_path: Path, row: codecs.CompressionRow) -> None:
    path = write(tmp_path / "a.ome.zarr")
    old = ome_writers.convert(path, tmp_path / "old.ome.zarr", format="ome-zarr-0.4").destination
    array = json.loads((old / "0" / ".zarray").read_text())
    assert array["compressor"] == {"id": "example.xor", "key": KEY}
    assert np.array_equal(ome_writers.open(old)[:], FRAMES)
    assert ome_writers.read(old).images[0].levels[0].compression == "xor"


def test_row_without_zarr_v2_is_refused_there(
    tmp_path: Path, row: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.ome.zarr")
    without = replace(row, zarr=(replace(row.zarr[0], v2=None),))
    monkeypatch.setitem(codecs.COMPRESSIONS, "xor", without)
    for compression in ("xor", None):
        with pytest.raises(
            NotImplementedError, match=r"'xor' is not supported for OME-Zarr 0.4.*'zstd'"
        ):
            ome_writers.convert(
                path, tmp_path / "b.ome.zarr", format="ome-zarr-0.4", compression=compression
            )
    assert [p.name for p in tmp_path.iterdir()] == ["a.ome.zarr"]


@pytest.mark.parametrize("engine", [n for n, r in ENGINES.items() if r.format == "ome-zarr"])
def test_engine_that_lacks_it_is_refused_by_the_settings(
    tmp_path: Path, engine: str, row: codecs.CompressionRow
) -> None:
    if engine == "direct":
        settings(tmp_path / "a", format=engine)
        return
    message = f"'xor' is not supported for backend '{engine}'. Supported: .'blosc-zstd'"
    with pytest.raises(ome_writers.SettingsError, match=message):
        settings(tmp_path / "a", format=engine)
    changed = settings(tmp_path / "a", format=engine, compression="zstd")
    with pytest.raises(ome_writers.SettingsError, match=message):
        changed.compression = "xor"  # type: ignore[assignment] # not in the literal
    assert not list(tmp_path.iterdir())


def test_compression_that_is_not_in_the_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ome_writers.SettingsError, match="compression must be 'blosc-zstd', .* got"):
        settings(tmp_path / "a.ome.zarr")
    planned = settings(tmp_path / "a.ome.zarr", compression="zstd")
    for name in ("xor", "lzw"):  # `model_copy` does not validate
        with pytest.raises(NotImplementedError, match=f"compression '{name}' is not supported"):
            ome_writers.create_stream(planned.model_copy(update={"compression": name}))
    assert not list(tmp_path.iterdir())
    for find in (codecs.find_compression, codecs.zarr_codecs, codecs.tiff_codec):
        with pytest.raises(NotImplementedError, match="Unknown compression 'xor'. The compr"):
            find("xor")
    with pytest.raises(NotImplementedError, match="'gzip' is not supported for OME-TIFF"):
        codecs.tiff_codec("gzip")
    with pytest.raises(NotImplementedError, match="'lzw' is not supported for OME-Zarr"):
        codecs.zarr_codecs("lzw")


def test_stored_settings_with_a_compression_that_is_not_in_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a dataset that a newer version has written: what it contains is described, its pixels are refused."""
    with monkeypatch.context() as newer:
        newer.setitem(codecs.COMPRESSIONS, "xor", XOR)
        path = write(tmp_path / "a.ome.zarr")
    assert ome_writers.read(path).images[0].levels[0].compression == "example.xor"
    with pytest.raises(NotImplementedError, match=r"example\.xor"):
        ome_writers.open(path)[0, 0]


def test_chunk_that_is_too_large_for_it_is_refused(tmp_path: Path, row: Any) -> None:
    large = settings(tmp_path / "a.ome.zarr")
    large.dimensions[0].chunk_size = 5
    large.dimensions[1].chunk_size = 2
    codecs.COMPRESSIONS["xor"] = replace(row, max_bytes=1000)
    with pytest.raises(NotImplementedError, match="at most 1000 bytes, got 15360"):
        ome_writers.create_stream(large)


@pytest.mark.parametrize("damaged", [False, True])
def test_row_of_several_codecs(
    tmp_path: Path, damaged: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blosc and a checksum of each chunk: zarr-python reads it."""
    zarr = pytest.importorskip("zarr", reason="reads the chunks", minversion="3")
    row = codecs.CompressionRow(
        name="blosc-lz4-crc32c",
        label="Blosc with a checksum",
        zarr=(codecs.blosc("lz4", 5), codecs.CRC32C),
    )
    monkeypatch.setitem(codecs.COMPRESSIONS, row.name, row)
    path = write(tmp_path / "a.ome.zarr", compression=row.name)
    assert ome_writers.read(path).images[0].levels[0].compression == row.name
    assert ome_writers.validate(path).valid
    assert np.array_equal(zarr.open_array(path / "0")[:], FRAMES)
    assert np.array_equal(ome_writers.open(path)[:], FRAMES)
    if damaged:
        shard = path / "0" / "c" / "0" / "0" / "0" / "0"
        content = bytearray(shard.read_bytes())
        content[40] ^= 1
        shard.write_bytes(content)
        with pytest.raises(OSError, match="CRC-32C"):
            ome_writers.open(path)[:]
        assert not ome_writers.validate(path).valid


def test_codecs_of_the_same_name_are_distinguished() -> None:
    """The most specific row describes an array, whatever its level."""
    row = codecs.COMPRESSIONS["blosc-lz4-bitshuffle"]
    shuffled = codecs.blosc("lz4", 5)
    (bits,) = row.zarr or ()
    assert bits.v2 is not None
    of = compression_of_codecs
    start = {"name": "bytes", "configuration": {"endian": "little"}}
    stored = {"name": "blosc", "configuration": {"cname": "lz4", "clevel": 9, "shuffle": "shuffle"}}
    assert of([start, stored]) == "blosc-lz4"
    assert of([start, bits.metadata(2)]) == row.name
    assert of([{"name": "blosc", "configuration": bits.v2}]) == row.name
    assert of([{"name": "blosc", "configuration": shuffled.v2}]) == "blosc-lz4"
    assert of([start, stored, {"name": "crc32c"}]) == "blosc-lz4"
    assert of([start, {"name": "blosc", "configuration": {"cname": "zlib"}}]) == "blosc-zlib"
    assert of([{"name": "delta"}, start, {"name": "zstd"}]) == "delta"
    assert of([start, {"name": "crc32c"}]) == of([start]) == "none"


def test_advise_measures_it(row: codecs.CompressionRow) -> None:
    (measured,) = measure_codecs(Camera(256, 256), ["xor", "zstd", "none"])
    assert (measured.name, measured.ratio) == ("xor", 1)


def test_help_lists_it(row: codecs.CompressionRow, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("convert", "process", "bench"):
        assert main([command, "--help"]) == 0
        assert "xor" in capsys.readouterr().out, command


def test_schema_of_the_settings_lists_it(row: codecs.CompressionRow) -> None:
    schema = ome_writers.AcquisitionSettings.model_json_schema()["properties"]["compression"]
    assert schema["anyOf"][0] == {"enum": [*codecs.COMPRESSIONS], "type": "string"}


def test_literals_list_the_table() -> None:
    """Type checkers and editors know the names from them."""
    assert set(get_args(codecs.ZarrCompression)) == codecs.ZARR_COMPRESSIONS
    assert set(get_args(codecs.TiffCompression)) == codecs.TIFF_COMPRESSIONS
    assert set(get_args(codecs.Compression)) == set(codecs.COMPRESSIONS)


@pytest.mark.parametrize("engine", ENGINES)
def test_engines_allow_compressions_of_the_table(engine: str) -> None:
    assert ENGINES[engine].compressions <= set(codecs.COMPRESSIONS)
    assert "none" in ENGINES[engine].compressions


@pytest.mark.parametrize("name", codecs.COMPRESSIONS)
def test_encoded_size_has_its_limit(name: str) -> None:
    """Noise cannot be compressed; a decoder refuses more bytes than are valid."""
    row, noise = codecs.find_compression(name), np.random.default_rng(1).bytes(10_000)
    for codec in row.zarr or ():
        encoded = codec.encode(np.frombuffer(noise, np.uint16))
        assert len(encoded) <= codecs.max_encoded_bytes(len(noise))
        assert codec.decode(encoded, len(noise)) == noise
        with pytest.raises(ValueError, match="maximum|valid"):
            codec.decode(encoded, len(noise) - 1)
    if row.tiff is not None:
        assert row.tiff.decode(row.tiff.encode(memoryview(noise)), len(noise)) == noise


@pytest.mark.parametrize("shard", [None, 2])
def test_chunks_of_one_frame_are_compressed_in_parallel(
    tmp_path: Path, shard: int | None, row: codecs.CompressionRow
) -> None:
    threads: set[int] = set()
    appending, several = threading.Event(), threading.Event()

    def encode(content: Any) -> bytes:
        threads.add(threading.get_ident())
        if len(threads) > 1:
            several.set()
        if appending.is_set() and available_cpus() > 1:
            assert several.wait(WAIT_S)
        return xor(content)

    assert row.zarr is not None
    codecs.COMPRESSIONS["xor"] = replace(
        row, zarr=(replace(row.zarr[0], encode=encode),), max_bytes=2**30
    )
    frame = np.arange(2048 * 1024, dtype="uint16").reshape(2048, 1024)
    settings = ome_writers.AcquisitionSettings(
        root_path=tmp_path / "a.ome.zarr",
        dimensions=[
            ome_writers.Dimension(name="t", count=1),
            ome_writers.Dimension(name="y", count=2048, chunk_size=256, shard_size_chunks=shard),
            ome_writers.Dimension(name="x", count=1024, chunk_size=512, shard_size_chunks=shard),
        ],
        dtype="uint16",
        compression="xor",  # type: ignore[arg-type]  # of this test
    )
    with ome_writers.create_stream(settings) as stream:
        threads.clear()
        several.clear()
        appending.set()
        stream.append(frame)
        stream.flush()
    assert np.array_equal(ome_writers.open(settings.output_path)[0], frame)
