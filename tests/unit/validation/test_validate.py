"""What validate finds in datasets that were tampered with, and that it finds nothing in good ones."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ome_writers import Dimension, UnsupportedError, create_stream, validate
from ome_writers import open as load
from ome_writers.cli import main
from ome_writers.repair import repair
from ome_writers.storage import ENGINES
from ome_writers.validation import Validation
from support.acquisitions import LAYOUTS, acquisition


def written(path: Path, layout: str = "single", **more: Any) -> Path:
    """Write an acquisition whole, with metadata; return where."""
    settings = acquisition(layout, path, **more)
    with create_stream(settings) as stream:
        for number in range(settings.num_frames or 4):
            frame = np.full((4, 6), number + 1, "uint16")
            stream.append(frame, frame_metadata={"delta_t": number / 4})
    return Path(settings.output_path)


def sharded(path: Path, **more: Any) -> Path:
    """Write two shards of two chunks each for two channels."""
    time = Dimension(name="t", count=4, chunk_size=1, shard_size_chunks=2)
    return written(path, dimensions=[time, *acquisition("single").dimensions[1:]], **more)


def found(validation: Validation, check: str) -> str:
    """Return what a check has found, in one text."""
    (one,) = [c for c in validation.checks if c.name.startswith(check)]
    assert one.skipped is None
    return "\n".join(f"{f.path.name}: {f.what}" for f in one.findings)


def edit(path: Path, change: Any) -> None:
    """Change a JSON document."""
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


ZARR = [
    n
    for n, row in ENGINES.items()
    if row.format == "ome-zarr" and row.missing_requirement() is None
]


@pytest.mark.parametrize("engine", ZARR)
@pytest.mark.parametrize("chunk", [1, 3])
@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_what_any_engine_left_is_valid(
    engine: str, chunk: int, compression: str, tmp_path: Path
) -> None:
    """A run that ended after one frame is valid and tidy whichever engine wrote it, shards of its own or not."""
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
def test_what_was_closed_is_valid(layout: str, suffix: str, tmp_path: Path) -> None:
    """Nothing is found in a dataset that was closed, and no check of ours is left out."""
    if suffix == "tiff":
        pytest.importorskip("tifffile")
    path = written(tmp_path / f"a.ome.{suffix}", layout)
    validation = validate(path)
    assert not validation.findings
    assert validation.valid
    names = [check.name for check in validation.checks if check.skipped is None]
    wanted = ["documents", "pixels"] if suffix == "zarr" else ["documents", "pages"]
    assert set(wanted) <= set(names)


@pytest.mark.parametrize("compression", ["none", "blosc-zstd"])
def test_a_shard_whose_index_does_not_match_is_found(compression: str, tmp_path: Path) -> None:
    """A torn index, a chunk that cannot be decoded and a shard without any index are named."""
    path = sharded(tmp_path / "a.ome.zarr", compression=compression)
    assert validate(path).valid
    shard = path / "0" / "c" / "0" / "0" / "0" / "0"
    content = shard.read_bytes()
    shard.write_bytes(content[:-1] + b"\0")
    assert "torn index" in found(validate(path), "left over")
    shard.write_bytes(b"\0" * 60)
    assert "without a readable index" in found(validate(path), "pixels")
    if compression != "none":
        shard.write_bytes(b"\xff" * 8 + content[8:])
        # either chunk may lie first in the file
        assert re.search("chunk [01]/0/0/0 cannot be decoded", found(validate(path), "pixels"))


def test_a_chunk_of_the_wrong_size_or_place_is_found(tmp_path: Path) -> None:
    """A chunk file that was cut short, and one outside of the array, are named."""
    path = written(tmp_path / "a.ome.zarr")
    chunk = path / "0" / "c" / "1" / "0" / "0" / "0"
    outside = path / "0" / "c" / "9" / "0" / "0" / "0"
    outside.parent.mkdir(parents=True)
    outside.write_bytes(chunk.read_bytes())
    chunk.write_bytes(chunk.read_bytes()[:-1])
    text = found(validate(path), "pixels")
    assert "chunk 1/0/0/0 cannot be decoded" in text
    assert "chunk 9/0/0/0 lies outside of the array" in text


def test_documents_that_disagree_are_found(tmp_path: Path) -> None:
    """Axes, channels, statuses and places that do not fit, NaN, and a missing array are named."""
    path = written(tmp_path / "a.ome.zarr")
    root, array = path / "zarr.json", path / "0" / "zarr.json"
    before, said = array.read_bytes(), root.read_bytes()

    def change(document: dict[str, Any]) -> None:
        document["dimension_names"] = ["t", "z", "y", "x"]
        document["shape"] = [2, 1, 4, 6]

    edit(array, change)
    validation = validate(path)
    assert "axes ['t', 'z', 'y', 'x'], and ['t', 'c', 'y', 'x']" in found(validation, "documents")
    assert "1 channels, and 2 in the image" in found(validation, "documents")
    assert "4 frames outside of the array, the first at [0, 1]" in found(validation, "frame")
    array.unlink()
    assert "no array where the image names one" in found(validate(path), "documents")
    array.write_bytes(before)
    edit(root, lambda d: d["attributes"]["ome_writers"].update(status="perhaps"))
    assert "unknown status 'perhaps'" in found(validate(path), "documents")
    root.write_bytes(said[:-1] + b', "x": NaN}')
    assert "NaN and Infinity are not JSON values: expected" in found(validate(path), "documents")
    root.write_bytes(said[:-1] + b', "x": "NaN"')  # torn: the text is not the reason
    assert "NaN and Infinity" not in found(validate(path), "documents")


def test_what_a_dead_writer_left_is_found(tmp_path: Path) -> None:
    """Temporary files and a stale lock are found; `repair` would make them go."""
    path = written(tmp_path / "a.ome.zarr")
    (path / "0" / ".zarr.json.1-2.tmp").write_bytes(b"half")
    (path / ".ome-writers.lock").write_text("{")
    validation = validate(path)
    assert "temporary file of the writer" in found(validation, "left over")
    assert "lock file of a process that has ended" in found(validation, "left over")
    assert all(finding.solved for finding in validation.findings)


def test_what_is_being_written_is_valid_too(tmp_path: Path) -> None:
    """A dataset under a living writer has no findings, and says that it is being written."""
    settings = acquisition("single", tmp_path / "a.ome.zarr")
    with create_stream(settings) as stream:
        stream.append(np.ones((4, 6), "uint16"), frame_metadata={"delta_t": 0.0})
        stream.flush()
        validation = validate(settings.output_path)
        assert not validation.findings
        assert validation.checks[0].skipped == "it is being written now"


def test_validators_of_others_are_asked(tmp_path: Path) -> None:
    """What yaozarrs, ome-zarr-models and the OME schema refuse is a finding."""
    pytest.importorskip("yaozarrs")
    path = written(tmp_path / "a.ome.zarr")

    def change(document: dict[str, Any]) -> None:
        document["attributes"]["ome"]["multiscales"][0]["axes"][0]["type"] = 5

    edit(path / "zarr.json", change)
    assert found(validate(path), "yaozarrs")


def test_a_tiff_that_lies_is_found(tmp_path: Path) -> None:
    """Wrong sizes, a missing file of a set, pages beyond the end and invalid OME-XML are named."""
    pytest.importorskip("tifffile")
    path = written(tmp_path / "a.ome.tiff")
    content = path.read_bytes()
    path.write_bytes(content.replace(b'SizeX="6"', b'SizeX="7"'))
    assert "image 0 is (4, 7, 'uint16'), and page 0 (4, 6, 'uint16')" in found(
        validate(path), "pages"
    )
    path.write_bytes(content.replace(b"PlaneCount=", b"PlaneCrowd="))
    assert found(validate(path), "ome-types")
    path.write_bytes(content)
    folder = written(tmp_path / "set.ome.tiff", "collection")
    next(iter(sorted(folder.glob("*_p001*")))).unlink()
    assert "which is not there" in found(validate(folder), "documents")


def test_an_image_inside_of_a_dataset_is_valid(tmp_path: Path) -> None:
    """A position of a collection can be judged by itself: only the root has a status."""
    path = written(tmp_path / "a.ome.zarr", "collection")
    assert validate(path / "0").valid


def test_paths_that_hold_nothing_are_refused(tmp_path: Path) -> None:
    """A missing path and a folder of something else raise."""
    with pytest.raises(FileNotFoundError, match="does not exist"):
        validate(tmp_path / "none")
    with pytest.raises(UnsupportedError, match="neither an OME-Zarr"):
        validate(tmp_path)


def test_the_command_validates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command shows a table and exits with 0; with findings 1, and says what makes it tidy."""
    path = written(tmp_path / "a.ome.zarr")
    assert main(["validate", str(path)]) == 0
    assert "documents" in capsys.readouterr().out
    (path / ".zarr.json.1-2.tmp").write_bytes(b"half")
    assert main(["validate", str(path)]) == 1
    out = capsys.readouterr().out
    assert ".zarr.json.1-2.tmp" in out
    assert "makes it tidy" in " ".join(out.split())
    assert main(["validate", str(path), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert not told["valid"]
    assert told["checks"][0]["findings"][0]["path"] == ".zarr.json.1-2.tmp"
    assert main(["validate", str(tmp_path / "none")]) == 1
    assert "does not exist" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("embedded", [True, False])
def test_frames_without_pixels_are_found(tmp_path: Path, embedded: bool) -> None:
    """Frames that were taken, as their metadata says, and whose chunks are gone are counted."""
    path = written(tmp_path / "a.ome.zarr")
    if not embedded:
        document = path / "zarr.json"
        entries = json.loads(document.read_text())["attributes"]["ome_writers"]["frame_metadata"]
        (path / "frame_metadata.jsonl").write_text("".join(f"{json.dumps(e)}\n" for e in entries))
        edit(document, lambda d: d["attributes"]["ome_writers"].pop("frame_metadata"))
    assert not found(validate(path), "pixels")
    (path / "0" / "c" / "1" / "0" / "0" / "0").unlink()
    (path / "0" / "c" / "2" / "1" / "0" / "0").unlink()
    assert "2 frames that were taken have no pixels, the first at [1, 0]" in found(
        validate(path), "pixels"
    )


def test_the_command_repairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A dry run changes nothing and says the same as the repair; then there is nothing to repair."""
    path = written(tmp_path / "a.ome.zarr")
    leftover = path / ".zarr.json.1-2.tmp"
    leftover.write_bytes(b"half")
    assert main(["repair", str(path), "--dry-run"]) == 0
    assert "1 of 1 would be repaired" in capsys.readouterr().out
    assert leftover.exists()
    assert main(["repair", str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [f["path"] for f in told["findings"]] == [".zarr.json.1-2.tmp"]
    assert not leftover.exists()
    assert main(["repair", str(path)]) == 0
    assert "nothing to repair" in capsys.readouterr().out
    shard = sharded(tmp_path / "b.ome.zarr") / "0" / "c" / "0" / "0" / "0" / "0"
    shard.write_bytes(b"\0" * 60)
    assert main(["repair", str(tmp_path / "b.ome.zarr")]) == 1
    assert "1 cannot be" in capsys.readouterr().out
