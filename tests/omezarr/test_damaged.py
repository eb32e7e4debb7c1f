"""Damage of a closed OME-Zarr without frame metadata that `validate` finds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ome_writers import Pyramid, UnsupportedError, create_stream, dims_from_standard_axes, validate
from ome_writers import open as open_dataset
from ome_writers.formats.omezarr.array_metadata_check import array_metadata_problems
from ome_writers.repair import repair


def write(path: Path, **options: object) -> Path:
    dimensions = dims_from_standard_axes({"t": 10, "y": 16, "x": 16})
    with create_stream(root_path=path, dimensions=dimensions, dtype="uint16", **options) as stream:  # type: ignore[arg-type]
        for number in range(10):
            stream.append(np.full((16, 16), number + 1, "uint16"))
    assert validate(path).valid
    return path


def messages(path: Path) -> list[str]:
    result = validate(path)
    assert not result.valid
    return [finding.what for finding in result.findings]


def test_deleted_chunk_files_are_found_without_frame_metadata(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ome.zarr")
    for number in (3, 4):
        (path / "0" / "c" / str(number) / "0" / "0").unlink()
    assert "the metadata count 10 frames, the arrays contain 8" in messages(path)


@pytest.mark.parametrize("written", [5, 9, 11])
def test_wrong_number_of_written_frames_is_found(tmp_path: Path, written: int) -> None:
    path = write(tmp_path / "a.ome.zarr")
    group = json.loads((path / "zarr.json").read_text(encoding="utf-8"))
    group["attributes"]["ome_writers"]["frames"]["written"] = written
    (path / "zarr.json").write_text(json.dumps(group), encoding="utf-8")
    assert f"the metadata count {written} frames, the arrays contain 10" in messages(path)


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ('"fill_value"', '"fill_valud"', "'fill_value'"),
        ('"attributes"', '"attributer"', "unknown member 'attributer'"),
        ('"zarr_format": 3', '"zarr_format": 7', "zarr_format is 7, not 3"),
        ('"zstd"', '"zstf"', "codec blosc: cname is 'zstf'"),
        ('"shuffle": "shuffle"', '"shuffle": "shugfle"', "codec blosc: shuffle is 'shugfle'"),
        ('"clevel"', '"cleven"', "codec blosc: unknown member 'cleven'"),
        ('"name": "bytes", "config', '"name": "bytes", "bonfig', "unknown member 'bonfiguration'"),
        ('"separator": "/"', '"separator": "."', "the separator of chunk keys is '.'"),
        ('"chunk_key_encoding": {', '"must": 1, "chunk_key_encoding": {', "unknown member 'must'"),
    ],
)
def test_changed_character_in_array_metadata_is_found(
    tmp_path: Path, before: str, after: str, what: str
) -> None:
    """Some readers ignore these, zarr-python refuses them."""
    path = write(tmp_path / "a.ome.zarr", compression="blosc-zstd")
    file = path / "0" / "zarr.json"
    text = json.dumps(json.loads(file.read_text(encoding="utf-8")))
    assert before in text
    file.write_text(text.replace(before, after), encoding="utf-8")
    assert any(what in found for found in messages(path))


def test_index_codec_with_a_configuration_that_is_not_an_object_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    dimensions = dims_from_standard_axes({"t": 4, "y": 16, "x": 16}, shard_shapes={"t": 2})
    with create_stream(root_path=path, dimensions=dimensions, dtype="uint16") as stream:
        for _ in range(4):
            stream.append(np.ones((16, 16), "uint16"))
    assert validate(path).valid
    file = path / "0" / "zarr.json"
    metadata = json.loads(file.read_text(encoding="utf-8"))
    for codec in metadata["codecs"][0]["configuration"]["index_codecs"]:
        codec["configuration"] = 5
    file.write_text(json.dumps(metadata), encoding="utf-8")
    assert any("configuration is 5" in found for found in messages(path))


def test_dimension_names_may_be_null(tmp_path: Path) -> None:
    """Other programs write it for an array without names."""
    path = write(tmp_path / "a.ome.zarr")
    file = path / "0" / "zarr.json"
    metadata = json.loads(file.read_text(encoding="utf-8"))
    assert not list(array_metadata_problems({**metadata, "dimension_names": None}))


def test_complex_dataset_with_nan_and_levels_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    dimensions = dims_from_standard_axes({"t": 2, "y": 16, "x": 16})
    with create_stream(
        root_path=path, dimensions=dimensions, dtype="complex64", pyramid=Pyramid()
    ) as stream:
        for _ in range(2):
            frame = np.full((16, 16), 1 + 2j, "complex64")
            frame[3, 4], frame[0, 0] = np.nan, complex(np.nan, 1)
            stream.append(frame)
    assert validate(path).valid


def collection(path: Path) -> Path:
    sizes = {"p": ["left", "right"], "y": 4, "x": 4}
    dimensions = dims_from_standard_axes(sizes)
    with create_stream(root_path=path, dimensions=dimensions, dtype="uint8") as stream:
        for _ in range(2):
            stream.append(np.ones((4, 4), "uint8"))
    return path


def test_settings_with_more_positions_than_images_are_not_used(tmp_path: Path) -> None:
    """The images of 90,000 positions are not planned for a file of two."""
    path = collection(tmp_path / "a.ome.zarr")
    group = json.loads((path / "zarr.json").read_text(encoding="utf-8"))
    positions = group["attributes"]["ome_writers"]["settings"]["dimensions"][0]
    positions.update(count=90_000, coords=None)
    (path / "zarr.json").write_text(json.dumps(group), encoding="utf-8")
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    assert open_dataset(path).shape == (2, 4, 4)
    with pytest.raises(UnsupportedError, match="from 0 to 2, got 90000"):
        repair(path)
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before


def test_validation_stops_at_1000_invalid_images(tmp_path: Path) -> None:
    path = collection(tmp_path / "a.ome.zarr")
    group = json.loads((path / "OME" / "zarr.json").read_text(encoding="utf-8"))
    group["attributes"]["ome"]["series"] = [str(number) for number in range(3000)]
    (path / "OME" / "zarr.json").write_text(json.dumps(group), encoding="utf-8")
    found = {check.name: check for check in validate(path).checks}
    assert len(found["metadata"].findings) == 1001
    last = found["metadata"].findings[-1]
    assert last.what == "1,000 images are invalid; 1,998 more are not checked"
    assert found["yaozarrs"].skipped == "1,001 findings in metadata"
