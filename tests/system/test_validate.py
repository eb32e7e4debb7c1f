"""`validate` finds defects in damaged datasets, and none in intact ones."""

from __future__ import annotations

import json
import os
import re
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ome_writers import Dimension, UnsupportedError, create_stream, validate
from ome_writers import open as load
from ome_writers.repair import repair
from ome_writers.storage import ENGINES
from ome_writers.validation import Validation
from ome_writers_tools.cli import main
from support.acquisitions import LAYOUTS, acquisition


def write(path: Path, layout: str = "single", **more: Any) -> Path:
    """Write a complete acquisition with frame metadata; return its path."""
    settings = acquisition(layout, path, **more)
    with create_stream(settings) as stream:
        for number in range(settings.num_frames or 4):
            frame = np.full((4, 6), number + 1, "uint16")
            stream.append(frame, frame_metadata={"delta_t": number / 4})
    return Path(settings.output_path)


def write_sharded(path: Path, **more: Any) -> Path:
    """Write two shards of two chunks for each of two channels."""
    time = Dimension(name="t", count=4, chunk_size=1, shard_size_chunks=2)
    return write(path, dimensions=[time, *acquisition("single").dimensions[1:]], **more)


def findings(validation: Validation, check: str) -> str:
    """Return the findings of a check as text."""
    (one,) = [c for c in validation.checks if c.name.startswith(check)]
    assert one.skipped is None
    return "\n".join(f"{f.path.name}: {f.what}" for f in one.findings)


def edit(path: Path, change: Any) -> None:
    """Apply `change` to a JSON file."""
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


ZARR = [
    n
    for n, row in ENGINES.items()
    if row.format == "ome-zarr" and row.missing_requirement() is None
]


# A normal run has two of the four cases of each engine, with all of both axes.
INCOMPLETE = [
    pytest.param(engine, chunk, compression, marks=pytest.mark.sweep if (i + j + k) % 2 else ())
    for i, engine in enumerate(ZARR)
    for j, chunk in enumerate([1, 3])
    for k, compression in enumerate(["none", "zstd"])
]


@pytest.mark.parametrize(("engine", "chunk", "compression"), INCOMPLETE)
def test_incomplete_acquisition_of_each_engine_is_valid(
    engine: str, chunk: int, compression: str, tmp_path: Path
) -> None:
    """An acquisition that ends after one frame is valid, and there is nothing to repair."""
    time = Dimension(name="t", count=4, chunk_size=chunk)
    settings = acquisition(
        "single",
        tmp_path / "run.ome.zarr",
        dimensions=[time, *acquisition("single").dimensions[1:]],
        compression=compression,
        on_incomplete="keep",
        format=engine,
    )
    with create_stream(settings) as stream:
        stream.append(np.full((4, 6), 7, "uint16"))
    path = Path(settings.output_path)
    assert not validate(path).findings
    assert not repair(path).findings
    assert np.array_equal(load(path)[0, 0], np.full((4, 6), 7))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("suffix", ["zarr", "tiff"])
def test_closed_dataset_is_valid(layout: str, suffix: str, tmp_path: Path) -> None:
    """There are no findings, and none of the own checks is skipped."""
    if suffix == "tiff":
        pytest.importorskip("tifffile")
    path = write(tmp_path / f"a.ome.{suffix}", layout)
    validation = validate(path)
    assert not validation.findings
    assert validation.valid
    names = [check.name for check in validation.checks if check.skipped is None]
    expected = ["metadata", "pixels"] if suffix == "zarr" else ["metadata", "pages"]
    assert set(expected) <= set(names)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_closed_dataset_of_ome_zarr_06_is_valid(layout: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.ome.zarr", layout, format={"name": "ome-zarr", "version": "0.6"})
    validation = validate(path)
    assert not validation.findings
    skipped = {check.name.partition(" ")[0]: check.skipped for check in validation.checks}
    assert {name for name, reason in skipped.items() if reason is None} >= {
        "left",
        "metadata",
        "frame",
        "pixels",
    }
    for library in ("yaozarrs", "ome_zarr_models"):
        if find_spec(library) and not find_spec(f"{library}.v06"):
            assert skipped[library.replace("_", "-")] == "does not support OME-Zarr 0.6"


def test_ome_zarr_models_checks_ome_zarr_06(tmp_path: Path) -> None:
    pytest.importorskip(
        "ome_zarr_models.v06",
        reason="the second validator of 0.6: ome-zarr-models 1.8 (Python 3.11)",
    )
    path = write(tmp_path / "a.ome.zarr", format={"name": "ome-zarr", "version": "0.6"})
    assert not findings(validate(path), "ome-zarr-models")

    def change(document: dict[str, Any]) -> None:
        (level,) = document["attributes"]["ome"]["multiscales"][0]["datasets"]
        level["coordinateTransformations"] *= 2  # 0.6 requires exactly one

    edit(path / "zarr.json", change)
    assert findings(validate(path), "ome-zarr-models")


@pytest.mark.parametrize("name", ["ngff-zarr-0.50.ome.zarr", "ome-zarr-py-0.21.ome.zarr"])
def test_ome_zarr_06_of_other_writers_is_valid(name: str) -> None:
    path = Path(__file__).parents[1] / "data" / name
    assert not findings(validate(path), "metadata")
    assert validate(path).valid


@pytest.mark.parametrize("version", ["0.5", "0.6"])
def test_inconsistent_levels(version: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.ome.zarr", format={"name": "ome-zarr", "version": version})
    shutil.copytree(path / "0", path / "1")
    edit(path / "1" / "zarr.json", lambda d: d.update(shape=[3, 2, 5, 6]))

    def scale(factors: list[float]) -> dict[str, Any]:
        transformation: dict[str, Any] = {"type": "scale", "scale": factors}
        if version == "0.6":
            transformation |= {"input": {"path": "1"}, "output": {"name": "physical"}}
        return {"path": "1", "coordinateTransformations": [transformation]}

    def set_level(*factors: float) -> str:
        def change(document: dict[str, Any]) -> None:
            datasets = document["attributes"]["ome"]["multiscales"][0]["datasets"]
            datasets[1:] = [scale(list(factors))]

        edit(path / "zarr.json", change)
        return findings(validate(path), "metadata")

    assert "level 1 is larger than 0, which precedes it" in set_level(2.0, 1.0, 0.5, 0.5)
    edit(path / "1" / "zarr.json", lambda d: d.update(shape=[3, 2, 2, 3]))
    assert "level 1: the scale of y is 0.0" in set_level(2.0, 1.0, 0.0, 1.0)
    what = "level 1: 2 samples along y at 1 times the scale of 0, which has 4"
    assert what in set_level(2.0, 1.0, 0.5, 1.0)
    assert not set_level(2.0, 1.0, 1.0, 1.0)


def test_transformations_that_cannot_be_read_are_not_defects(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ome.zarr", format={"name": "ome-zarr", "version": "0.6"})

    def change(document: dict[str, Any]) -> None:
        (level,) = document["attributes"]["ome"]["multiscales"][0]["datasets"]
        level["coordinateTransformations"][0]["type"] = "rotation"

    edit(path / "zarr.json", change)
    (documents,) = [check for check in validate(path).checks if check.name == "metadata"]
    assert not documents.findings
    assert "coordinate transformation 'rotation'" in (documents.skipped or "")


def test_every_image_without_array_is_a_finding(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ome.zarr", "collection")
    for group in "01":
        (path / group / "0" / "zarr.json").unlink()
    validation = validate(path)
    text = findings(validation, "metadata")
    assert text.count("is not an array, but the image refers to it") == 2
    assert {c.skipped for c in validation.checks if c.name in ("frame metadata", "pixels")} == {
        "metadata cannot be read"
    }


@pytest.mark.parametrize("compression", ["none", "blosc-zstd"])
def test_damaged_shard_index(compression: str, tmp_path: Path) -> None:
    path = write_sharded(tmp_path / "a.ome.zarr", compression=compression)
    assert validate(path).valid
    shard = path / "0" / "c" / "0" / "0" / "0" / "0"
    content = shard.read_bytes()
    shard.write_bytes(content[:-1] + b"\0")
    assert "torn index" in findings(validate(path), "left over")
    shard.write_bytes(b"\0" * 60)
    assert "without a readable index" in findings(validate(path), "pixels")
    if compression != "none":
        shard.write_bytes(b"\xff" * 8 + content[8:])
        # either chunk may be the first in the file
        assert re.search("chunk [01]/0/0/0: cannot be decoded", findings(validate(path), "pixels"))


def test_truncated_chunk_and_chunk_outside_of_array(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ome.zarr")
    chunk = path / "0" / "c" / "1" / "0" / "0" / "0"
    outside = path / "0" / "c" / "9" / "0" / "0" / "0"
    outside.parent.mkdir(parents=True)
    outside.write_bytes(chunk.read_bytes())
    chunk.write_bytes(chunk.read_bytes()[:-1])
    text = findings(validate(path), "pixels")
    assert "image 0, index (1, 0), chunk 1/0/0/0: cannot be decoded" in text
    assert "chunk 9/0/0/0 is outside the array" in text


def test_inconsistent_metadata(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ome.zarr")
    root, array = path / "zarr.json", path / "0" / "zarr.json"
    array_json, root_json = array.read_bytes(), root.read_bytes()

    def change(document: dict[str, Any]) -> None:
        document["dimension_names"] = ["t", "z", "y", "x"]
        document["shape"] = [2, 1, 4, 6]

    edit(array, change)
    validation = validate(path)
    assert "['t', 'z', 'y', 'x'], but the image has axes ['t', 'c', 'y', 'x']" in findings(
        validation, "metadata"
    )
    assert "1 channels, but the image has 2 in omero" in findings(validation, "metadata")
    assert "4 frames outside of the array, the first at index [0, 1]" in findings(
        validation, "frame"
    )
    array.unlink()
    assert "not an array, but the image refers to it" in findings(validate(path), "metadata")
    array.write_bytes(array_json)
    edit(root, lambda d: d["attributes"]["ome_writers"].update(status="perhaps"))
    assert "unknown status 'perhaps'" in findings(validate(path), "metadata")
    edit(root, lambda d: d["attributes"]["ome"].update(version="9.9"))
    assert "unknown version '9.9' of OME-Zarr" in findings(validate(path), "metadata")
    root.write_bytes(root_json[:-1] + b', "x": NaN}')
    assert "NaN and Infinity are not JSON values: expected" in findings(validate(path), "metadata")
    root.write_bytes(root_json[:-1] + b', "x": "NaN"')  # truncated: the string is not the reason
    assert "NaN and Infinity" not in findings(validate(path), "metadata")


def test_leftovers_of_ended_writer(tmp_path: Path) -> None:
    """Temporary files and a stale lock are findings that `repair` solves."""
    path = write(tmp_path / "a.ome.zarr")
    (path / "0" / ".zarr.json.1-2.tmp").write_bytes(b"half")
    (path / ".ome-writers.lock").write_text("{")
    validation = validate(path)
    assert "temporary file of the writer" in findings(validation, "left over")
    assert "lock file of a process that has ended" in findings(validation, "left over")
    assert all(finding.solved for finding in validation.findings)


def test_dataset_being_written_is_valid(tmp_path: Path) -> None:
    settings = acquisition("single", tmp_path / "a.ome.zarr")
    with create_stream(settings) as stream:
        stream.append(np.ones((4, 6), "uint16"), frame_metadata={"delta_t": 0.0})
        stream.flush()
        validation = validate(settings.output_path)
        assert not validation.findings
        assert validation.checks[0].skipped == "the dataset is being written"


def test_errors_of_third_party_validators_are_findings(tmp_path: Path) -> None:
    pytest.importorskip("yaozarrs")
    path = write(tmp_path / "a.ome.zarr")

    def change(document: dict[str, Any]) -> None:
        document["attributes"]["ome"]["multiscales"][0]["axes"][0]["type"] = 5

    edit(path / "zarr.json", change)
    assert findings(validate(path), "yaozarrs")


def test_special_characters_in_paths(tmp_path: Path) -> None:
    """Yaozarrs' fsspec expands * ? and [], and finds other files or none."""
    for name in ("run[1].ome.zarr", f"a#b %25{'[2]' if os.name == 'nt' else '?'}.ome.zarr"):
        result = validate(write(tmp_path / name))
        assert result.valid
        yaozarrs = next(check for check in result.checks if check.name.startswith("yaozarrs"))
        assert "does not support paths with" in (yaozarrs.skipped or "")


def test_error_of_ome_zarr_models_names_the_field(tmp_path: Path) -> None:
    pytest.importorskip("ome_zarr_models", reason="the validator is not installed")
    path = write(tmp_path / "a.ome.zarr")

    def change(document: dict[str, Any]) -> None:
        document["attributes"]["ome"]["multiscales"][0]["axes"][0]["type"] = 5

    edit(path / "zarr.json", change)
    assert "axes" in findings(validate(path), "ome-zarr-models")


def test_labels_group_without_version_is_valid(tmp_path: Path) -> None:
    """Ome-zarr-py writes it so; without its ``labels``, the group is not valid."""
    pytest.importorskip("ome_zarr_models", reason="the validator is not installed")
    path = write(tmp_path / "a.ome.zarr")
    label = shutil.copytree(write(tmp_path / "b.ome.zarr"), path / "labels" / "nuclei")
    edit(label / "zarr.json", lambda group: group["attributes"].pop("ome_writers"))
    group = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": {"labels": ["nuclei"]}}}
    (path / "labels" / "zarr.json").write_text(json.dumps(group))
    validation = validate(path, quick=True)
    assert validation.valid, validation.findings
    edit(path / "labels" / "zarr.json", lambda group: group["attributes"]["ome"].pop("labels"))
    assert not validate(path, quick=True).valid


def test_inconsistent_tiff(tmp_path: Path) -> None:
    pytest.importorskip("tifffile")
    path = write(tmp_path / "a.ome.tiff")
    content = path.read_bytes()
    path.write_bytes(content.replace(b'SizeX="6"', b'SizeX="7"'))
    expected = "image 0 is (4, 7, 'uint16') in the OME-XML, but page 0 is (4, 6, 'uint16')"
    assert expected in findings(validate(path), "pages")
    path.write_bytes(content.replace(b"PlaneCount=", b"PlaneCrowd="))
    assert findings(validate(path), "ome-types")
    path.write_bytes(content)
    folder = write(tmp_path / "set.ome.tiff", "collection")
    next(iter(sorted(folder.glob("*_p001*")))).unlink()
    assert "which does not exist" in findings(validate(folder), "metadata")


def test_single_image_of_a_collection_is_valid(tmp_path: Path) -> None:
    """Only the root of a dataset has a status."""
    path = write(tmp_path / "a.ome.zarr", "collection")
    assert validate(path / "0").valid


def test_paths_without_dataset_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"):
        validate(tmp_path / "none")
    with pytest.raises(UnsupportedError, match="neither an OME-Zarr"):
        validate(tmp_path)


def test_validate_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.ome.zarr")
    assert main(["validate", str(path)]) == 0
    assert "metadata" in capsys.readouterr().out
    (path / ".zarr.json.1-2.tmp").write_bytes(b"half")
    assert main(["validate", str(path)]) == 1
    out = capsys.readouterr().out
    assert ".zarr.json.1-2.tmp" in out
    assert "repairs 1 of 1 findings" in " ".join(out.split())
    assert main(["validate", str(path), "--json"]) == 1
    content = json.loads(capsys.readouterr().out)
    assert not content["valid"]
    assert content["checks"][0]["findings"][0]["path"] == ".zarr.json.1-2.tmp"
    assert main(["validate", str(tmp_path / "none")]) == 1
    assert "does not exist" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("embedded", [True, False])
def test_frame_metadata_without_chunk(tmp_path: Path, embedded: bool) -> None:
    path = write(tmp_path / "a.ome.zarr")
    if not embedded:
        document = path / "zarr.json"
        entries = json.loads(document.read_text())["attributes"]["ome_writers"]["frame_metadata"]
        (path / "frame_metadata.jsonl").write_text("".join(f"{json.dumps(e)}\n" for e in entries))
        edit(document, lambda d: d["attributes"]["ome_writers"].pop("frame_metadata"))
    assert not findings(validate(path), "pixels")
    (path / "0" / "c" / "1" / "0" / "0" / "0").unlink()
    (path / "0" / "c" / "2" / "1" / "0" / "0").unlink()
    assert "2 acquired frames have no pixels, the first at index [1, 0]" in findings(
        validate(path), "pixels"
    )


def test_repair_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.ome.zarr")
    leftover = path / ".zarr.json.1-2.tmp"
    leftover.write_bytes(b"half")
    assert main(["repair", str(path), "--dry-run"]) == 0
    assert "1 of 1 findings would be repaired" in capsys.readouterr().out
    assert leftover.exists()
    assert main(["repair", str(path), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert [f["path"] for f in content["findings"]] == [".zarr.json.1-2.tmp"]
    assert not leftover.exists()
    assert main(["repair", str(path)]) == 0
    assert "nothing to repair" in capsys.readouterr().out
    shard = write_sharded(tmp_path / "b.ome.zarr") / "0" / "c" / "0" / "0" / "0" / "0"
    shard.write_bytes(b"\0" * 60)
    assert main(["repair", str(tmp_path / "b.ome.zarr")]) == 1
    assert "1 cannot be repaired" in capsys.readouterr().out
