"""Single-file OME-Zarr (``.ozx``, RFC-9): packed, read in place, unpacked; third-party readers read it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import numpy as np
import pytest
import tensorstore
import tifffile
from pydantic import ValidationError

import ome_writers
from ome_writers import (
    AcquisitionSettings,
    InvalidFileError,
    OutputExistsError,
    OutputLockedError,
    SettingsError,
    UnsupportedError,
    convert,
    convert_ngff_version,
    create_stream,
    dims_from_standard_axes,
    read,
    read_frame_metadata,
    validate,
)
from ome_writers.repair import repair
from ome_writers_tools.cli import main
from support.acquisitions import IMAGES, LAYOUTS, acquisition


def write(settings: AcquisitionSettings) -> Path:
    """Write a dataset in which frame n has the value n + 1, and return its path."""
    with create_stream(settings) as stream:
        for number in range(settings.num_frames or 0):
            frame = np.full(stream.plan.frame_shape, number + 1, "uint16")
            stream.append(frame, frame_metadata={"note": f"frame {number}"})
    return Path(settings.output_path)


def sharded(path: Path) -> AcquisitionSettings:
    """Return settings of an image in compressed shards of several chunks."""
    dimensions = dims_from_standard_axes({"t": 5, "c": 2, "y": 8, "x": 8})
    sizes = {"t": (1, 4), "c": (1, 2), "y": (4, 2), "x": (4, 2)}
    return AcquisitionSettings(
        root_path=path,
        dimensions=[
            dim.model_copy(
                update={"chunk_size": sizes[dim.name][0], "shard_size_chunks": sizes[dim.name][1]}
            )
            for dim in dimensions
        ],
        dtype="uint16",
        compression="zstd",
    )


def files(path: Path) -> dict[str, bytes]:
    return {str(f.relative_to(path)): f.read_bytes() for f in path.rglob("*") if f.is_file()}


def read_with_tensorstore(archive: Path, array: str) -> np.ndarray[Any, Any]:
    store = {"driver": "zip", "base": {"driver": "file", "path": str(archive)}, "path": f"{array}/"}
    return np.asarray(
        tensorstore.open({"driver": "zarr3", "kvstore": store}, open=True).result().read().result()
    )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pack_and_unpack_is_the_identity(layout: str, tmp_path: Path) -> None:
    source = write(acquisition(layout, tmp_path / "a.ome.zarr"))
    packed = convert(source, tmp_path / "a.ozx", verify=True)
    assert (packed.images, packed.frames) == (len(IMAGES[layout]), 6 * len(IMAGES[layout]))
    back = convert(packed.destination, tmp_path / "b.ome.zarr", verify=True)
    assert files(back.destination) == files(source)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["a.ome.zarr", "a.ozx", "b.ome.zarr"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_archive_follows_rfc_9(layout: str, tmp_path: Path) -> None:
    """Stored, ZIP64 where Python writes it correctly, ``zarr.json`` files first and breadth-first, with the comment."""
    source = write(acquisition(layout, tmp_path / "a.ome.zarr"))
    with ZipFile(convert(source, tmp_path / "a.ozx").destination) as archive:
        infos, names = archive.infolist(), archive.namelist()
        assert json.loads(archive.comment) == {
            "ome": {"version": "0.5", "zipFile": {"centralDirectory": {"jsonFirst": True}}}
        }
    assert {info.compress_type for info in infos} == {ZIP_STORED}
    assert {info.extract_version for info in infos} == {
        45 if sys.version_info >= (3, 11, 4) else 20
    }
    assert [info.header_offset for info in infos] == sorted(info.header_offset for info in infos)
    content = (tmp_path / "a.ozx").read_bytes()
    locator, end = content.rfind(b"PK\6\7"), content.rfind(b"PK\5\6")
    record = int.from_bytes(content[locator + 8 : locator + 16], "little")
    assert (record + 56, locator + 20) == (locator, end)
    assert content[record : record + 4] == b"PK\6\6"
    counted = [content[record + 32 : record + 40], content[end + 10 : end + 12]]
    assert [int.from_bytes(count, "little") for count in counted] == [len(names)] * 2
    if unzip := shutil.which("unzip"):
        done = subprocess.run([unzip, "-t", tmp_path / "a.ozx"], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
    is_json = [name.endswith("zarr.json") for name in names]
    assert is_json == sorted(is_json, reverse=True)
    depths = [name.count("/") for name in names[: sum(is_json)]]
    assert (names[0], depths) == ("zarr.json", sorted(depths))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_archive_is_read_in_place(layout: str, tmp_path: Path) -> None:
    source = write(acquisition(layout, tmp_path / "a.ome.zarr"))
    packed = convert(source, tmp_path / "a.ozx").destination
    assert replace(read(packed), path=source) == read(source)
    assert [a.shape for a in read(packed).arrays()] == [a.shape for a in read(source).arrays()]
    assert read_frame_metadata(packed) == read_frame_metadata(source)
    expected = np.unique(np.asarray(ome_writers.open(source)))
    assert np.array_equal(np.unique(np.asarray(ome_writers.open(packed))), expected)


def test_shard_in_archive_is_read_in_place(tmp_path: Path) -> None:
    source = write(sharded(tmp_path / "a.ome.zarr"))
    packed = convert(source, tmp_path / "a.ozx").destination
    expected = np.asarray(ome_writers.open(source))
    assert expected[:, :, 0, 0].tolist() == [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]
    assert np.array_equal(np.asarray(ome_writers.open(packed)), expected)
    done = convert(packed, tmp_path / "b.ome.tiff", verify=True)
    assert np.array_equal(tifffile.imread(done.destination), expected)


def test_tensorstore_and_zarr_python_read_the_archive(tmp_path: Path) -> None:
    source = write(sharded(tmp_path / "a.ome.zarr"))
    packed = convert(source, tmp_path / "a.ozx").destination
    expected = np.asarray(ome_writers.open(source))
    assert np.array_equal(read_with_tensorstore(packed, "0"), expected)
    zarr = pytest.importorskip("zarr", minversion="3", reason="zarr 3 needs Python 3.11")
    store = zarr.storage.ZipStore(packed, mode="r")
    group = zarr.open_group(store, mode="r")
    assert group.attrs["ome"]["version"] == "0.5"
    assert np.array_equal(group["0"][:], expected)
    store.close()


def test_bioio_reads_the_archive(tmp_path: Path) -> None:
    bioio_ome_zarr = pytest.importorskip(
        "bioio_ome_zarr", reason="bioio-ome-zarr 3.8.1 or later reads the .ozx"
    )
    source = write(sharded(tmp_path / "a.ome.zarr"))
    packed = convert(source, tmp_path / "a.ozx").destination
    found = bioio_ome_zarr.Reader(str(packed)).get_image_data("TCYX")
    assert np.array_equal(found, np.asarray(ome_writers.open(source)))


def test_ngff_zarr_reads_the_archive(tmp_path: Path) -> None:
    ngff_zarr = pytest.importorskip("ngff_zarr", reason="ngff-zarr with zarr 3 reads the .ozx")
    source = write(sharded(tmp_path / "a.ome.zarr"))
    packed = convert(source, tmp_path / "a.ozx").destination
    image = ngff_zarr.from_ngff_zarr(str(packed)).images[0]
    assert tuple(image.dims) == ("t", "c", "y", "x")
    assert np.array_equal(image.data.compute(), np.asarray(ome_writers.open(source)))


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.99])
def test_truncated_archive_is_refused_in_one_sentence(
    kept: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(sharded(tmp_path / "a.ome.zarr"))
    packed = convert(source, tmp_path / "a.ozx").destination
    content = packed.read_bytes()
    packed.write_bytes(content[: int(len(content) * kept)])
    for command in ("info", "validate", "preview"):
        capsys.readouterr()
        assert main([command, str(packed)]) == 1
        errors = capsys.readouterr().err.strip().splitlines()
        assert len(errors) == 1, errors
        assert "a.ozx" in errors[0]
    for operation in (read, ome_writers.open, lambda path: convert(path, tmp_path / "b.ome.zarr")):
        with pytest.raises(InvalidFileError, match=r"a\.ozx is truncated or is not a ZIP file"):
            operation(packed)
    assert not (tmp_path / "b.ome.zarr").exists()


def test_unsafe_archives_are_refused(tmp_path: Path) -> None:
    """Members that are compressed, or whose names lead out of the directory."""
    source = write(sharded(tmp_path / "a.ome.zarr"))
    with ZipFile(tmp_path / "deflated.ozx", "w", ZIP_DEFLATED) as archive:
        for name, content in files(source).items():
            archive.writestr(name, content)
    with pytest.raises(InvalidFileError, match="compressed or encrypted"):
        read(tmp_path / "deflated.ozx")
    packed = convert(source, tmp_path / "outside.ozx").destination
    with ZipFile(packed, "a", ZIP_STORED) as archive:
        archive.writestr("../evil", b"x")
    with pytest.raises(InvalidFileError, match="not inside the dataset"):
        convert(packed, tmp_path / "new" / "b.ome.zarr")
    assert not (tmp_path / "new" / "evil").exists()
    assert not list((tmp_path / "new").iterdir())


def test_streaming_to_an_archive_is_refused(tmp_path: Path) -> None:
    dimensions = dims_from_standard_axes({"t": 5, "y": 8, "x": 8})
    with pytest.raises(ValidationError, match=r"directory of a ZIP file is at its end.*convert"):
        AcquisitionSettings(root_path=tmp_path / "a.ozx", dimensions=dimensions, dtype="uint8")


def test_unsuitable_sources_and_options_are_refused(tmp_path: Path) -> None:
    settings = sharded(tmp_path / "a.ome.zarr")
    with create_stream(settings) as stream:
        with pytest.raises(OutputLockedError, match="being written"):
            convert(tmp_path / "a.ome.zarr", tmp_path / "a.ozx")
        stream.append(np.ones((8, 8), "uint16"))
    source = tmp_path / "a.ome.zarr"
    with pytest.raises(SettingsError, match="as it is stored"):
        convert(source, tmp_path / "a.ozx", compression="none")
    tiff = convert(source, tmp_path / "a.ome.tiff").destination
    with pytest.raises(SettingsError, match="directory .* first"):
        convert(tiff, tmp_path / "a.ozx")
    packed = convert(source, tmp_path / "a.ozx").destination
    with pytest.raises(OutputExistsError, match="exists"):
        convert(source, packed)
    before = packed.stat().st_ino
    assert convert(source, packed, overwrite=True).destination.stat().st_ino != before
    packed.write_bytes(b"notes")
    with pytest.raises(OutputExistsError, match="exists"):
        convert(source, packed, overwrite=True)
    assert packed.read_bytes() == b"notes"


def test_archive_is_not_checked_or_changed_in_place(tmp_path: Path) -> None:
    source = write(acquisition("single", tmp_path / "a.ome.zarr"))
    packed = convert(source, tmp_path / "a.ozx").destination
    for operation in (validate, repair, lambda path: convert_ngff_version(path, "0.6")):
        with pytest.raises(UnsupportedError, match="Unpack it first"):
            operation(packed)


def test_interrupted_copy_leaves_nothing(tmp_path: Path) -> None:
    source = write(sharded(tmp_path / "a.ome.zarr"))
    packed = convert(source, tmp_path / "a.ozx").destination
    before = sorted(tmp_path.iterdir())

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    for path, target in ((source, "b.ozx"), (packed, "b.ome.zarr")):
        with pytest.raises(KeyboardInterrupt):
            convert(path, tmp_path / target, on_frame=interrupt)
        assert sorted(tmp_path.iterdir()) == before


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(acquisition("plate", tmp_path / "a.ome.zarr"))
    packed, back = tmp_path / "a.ozx", tmp_path / "b.ome.zarr"
    assert main(["convert", str(source), str(packed), "--verify"]) == 0
    assert "files/s" in capsys.readouterr().err
    assert main(["info", str(packed)]) == 0
    assert main(["convert", str(packed), str(back), "--json"]) == 0
    assert files(back) == files(source)
    assert main(["convert", str(packed), str(tmp_path / "c.ozx"), "--engine", "direct"]) == 1
    assert "as it is stored" in capsys.readouterr().err
