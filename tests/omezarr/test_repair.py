"""Repair of OME-Zarr datasets whose writer was killed."""

from __future__ import annotations

import json
import os
import shutil
import struct
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ome_writers
from ome_writers import (
    Dimension,
    OutputLockedError,
    Pyramid,
    UnsupportedError,
    convert,
    create_stream,
    read,
    validate,
)
from ome_writers.codecs import COMPRESSIONS, blosc
from ome_writers.repair import repair
from ome_writers.storage import ENGINES
from ome_writers.storage.lock_file import lock_content
from support.acquisitions import IMAGES, LAYOUTS, acquisition
from support.interrupted import checksums, repair_and_check, write_and_kill
from support.links import KINDS, create_link


def unbounded(path: Path, *, chunk: int = 1, shard: int | None = None, **more: Any) -> Any:
    """Return settings for an unbounded time-lapse of two channels."""
    time = Dimension(name="t", count=None, chunk_size=chunk, shard_size_chunks=shard)
    return acquisition(
        "single", path, dimensions=[time, *acquisition("single").dimensions[1:]], **more
    )


def pixels(array: Path) -> np.ndarray:
    """Read an array with tensorstore."""
    tensorstore = pytest.importorskip("tensorstore")
    kvstore = {"driver": "file", "path": f"{array.as_posix()}/"}
    opened = tensorstore.open({"driver": "zarr3", "kvstore": kvstore}, read=True).result()
    return np.asarray(opened.read().result())


def our_attributes(path: Path, group: str = "") -> dict[str, Any]:
    """Return the attributes of a group in the namespace ``ome_writers``."""
    metadata = json.loads((path / group / "zarr.json").read_text(encoding="utf-8"))
    attributes: dict[str, Any] = metadata["attributes"]["ome_writers"]
    return attributes


CODECS = ["none", "blosc-zstd"]
CHUNKS = {"files": (1, None), "shards": (1, 4), "thick": (3, None), "thick shards": (2, 3)}


@pytest.mark.parametrize("compression", CODECS)
@pytest.mark.parametrize("kind", CHUNKS)
def test_flushed_frames_and_metadata_of_unbounded_array_are_recovered(
    kind: str, compression: str, tmp_path: Path
) -> None:
    chunk, shard = CHUNKS[kind]
    path = write_and_kill(
        unbounded(tmp_path / "a.ome.zarr", chunk=chunk, shard=shard, compression=compression),
        14,
        17,
    )
    before = pixels(path / "0")
    repair_and_check(path)
    after = pixels(path / "0")
    assert 7 <= len(after) <= 9
    assert after[:7, :, 0, 0].ravel().tolist() == list(range(1, 15))
    np.testing.assert_array_equal(after[: len(before)], before)
    ours = our_attributes(path)
    assert ours["status"] == "failed"
    assert 14 <= ours["frames"]["written"] <= 17
    assert [f["delta_t"] for f in ours["frame_metadata"]] == [i / 4 for i in range(14)]
    assert not list(path.rglob("*.jsonl"))


def test_frames_after_the_last_flush_become_visible(tmp_path: Path) -> None:
    """The shape is extended to chunk files outside of the shape published last."""
    path = write_and_kill(unbounded(tmp_path / "a.ome.zarr"), 6, 7)
    for channel in "01":  # two more frames on disk, not flushed
        folder = path / "0" / "c" / "3" / channel / "0"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "0").write_bytes(np.full((4, 6), 50 + int(channel), "<u2").tobytes())
    repair_and_check(path)
    assert pixels(path / "0")[:, :, 0, 0].tolist() == [[1, 2], [3, 4], [5, 6], [50, 51]]


def test_frame_with_missing_chunks_does_not_become_visible(tmp_path: Path) -> None:
    settings = unbounded(tmp_path / "a.ome.zarr")
    y = settings.dimensions[2].model_copy(update={"chunk_size": 2})
    settings.dimensions = [*settings.dimensions[:2], y, settings.dimensions[3]]
    path = write_and_kill(settings, 4, 4)
    folder = path / "0" / "c" / "2" / "0" / "1"
    folder.mkdir(parents=True)
    (folder / "0").write_bytes(np.ones((2, 6), "<u2").tobytes())
    repair_and_check(path)
    assert validate(path).valid
    assert pixels(path / "0").shape == (2, 2, 4, 6)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_repaired_layouts_are_trimmed_and_valid(layout: str, tmp_path: Path) -> None:
    yaozarrs = pytest.importorskip("yaozarrs")
    count = len(IMAGES[layout])
    frames = 2 * count * 2  # two of three times
    path = write_and_kill(acquisition(layout, tmp_path / "a.ome.zarr"), frames, frames)
    repair_and_check(path)
    os.environ["YAOZARRS_IGNORE_RISKY_FOV_NAMES"] = "1"  # name_row_column
    yaozarrs.validate_zarr_store(str(path))
    counts = our_attributes(path)["frames"]
    assert (counts["expected"], counts["written"]) == (6 * count, frames)
    for number, group in enumerate(IMAGES[layout]):
        first = 2 * number + 1
        wanted = [[first, first + 1], [first + 2 * count, first + 2 * count + 1]]
        assert pixels(path / group / "0")[:, :, 0, 0].tolist() == wanted
        assert len(our_attributes(path, group)["frame_metadata"]) == 4
        metadata = json.loads((path / group / "zarr.json").read_text())
        window = metadata["attributes"]["ome"]["omero"]["channels"][0]["window"]
        # the fields of a plate have one window
        largest = 2 * (count - 1) + 1 if layout == "plate" else first
        assert window["end"] == largest + 2 * count
    if layout == "collection":
        assert (path / "OME" / "METADATA.ome.xml").read_text().count("<Plane ") == frames


@pytest.mark.parametrize("layout", LAYOUTS)
def test_repair_keeps_ome_zarr_06(layout: str, tmp_path: Path) -> None:
    count = len(IMAGES[layout])
    settings = acquisition(
        layout, tmp_path / "a.ome.zarr", format={"name": "ome-zarr", "version": "0.6"}
    )
    path = write_and_kill(settings, 4 * count, 4 * count)
    written = json.loads((path / IMAGES[layout][0] / "zarr.json").read_text())["attributes"]["ome"]
    if layout != "single":
        (path / IMAGES[layout][-1] / "zarr.json").unlink()  # rendered again, from the settings
    repair_and_check(path)
    assert not validate(path).findings
    dataset = read(path)
    assert (dataset.version, dataset.status) == ("0.6", "failed")
    assert [image.shape for image in dataset.images] == [(2, 2, 4, 6)] * count
    for group in path.rglob("zarr.json"):
        ome = json.loads(group.read_text())["attributes"].get("ome", {"version": "0.6"})
        assert ome["version"] == "0.6", group
    for group in IMAGES[layout]:
        ome = json.loads((path / group / "zarr.json").read_text())["attributes"]["ome"]
        (multiscale,) = ome["multiscales"]
        assert "axes" not in multiscale
        (known,) = written["multiscales"]
        assert multiscale["coordinateSystems"] == known["coordinateSystems"]


def test_on_incomplete_keep_keeps_planned_shape(tmp_path: Path) -> None:
    path = write_and_kill(
        acquisition("single", tmp_path / "a.ome.zarr", on_incomplete="keep"), 2, 2
    )
    repair_and_check(path)
    assert pixels(path / "0").shape == (3, 2, 4, 6)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_frame_outside_of_a_closed_image_becomes_visible(layout: str, tmp_path: Path) -> None:
    """KeyboardInterrupt in the last `append` can leave such a frame; the frame metadata of the others are kept."""
    path = tmp_path / "a.ome.zarr"
    with create_stream(acquisition(layout, path)) as stream:
        for number in range(2 * len(IMAGES[layout])):
            frame = np.full((4, 6), number + 1, "uint16")
            stream.append(frame, frame_metadata={"delta_t": 0.5})
    array = path / IMAGES[layout][0] / "0"
    xml = path / "OME" / "METADATA.ome.xml"
    planes = xml.read_text().count("<Plane ") if xml.exists() else 0
    shutil.copytree(array / "c" / "0" / "0", array / "c" / "1" / "0")
    assert not validate(path).valid
    repair_and_check(path)
    assert validate(path).valid
    assert pixels(array)[:, :, 0, 0].tolist() == [[1, 2], [1, 0]]
    assert our_attributes(path)["frames"]["written"] == 2 * len(IMAGES[layout]) + 1
    assert our_attributes(path)["status"] == "cancelled"
    assert len(our_attributes(path, IMAGES[layout][0])["frame_metadata"]) == 2
    if xml.exists():
        assert xml.read_text().count("<Plane ") == planes > 0
        assert xml.read_text().count('SizeT="2"') == 1


@pytest.mark.parametrize(("on_incomplete", "times"), [("keep", 3), ("trim", 2)])
def test_too_small_shape_of_bounded_array_is_corrected(
    tmp_path: Path, on_incomplete: str, times: int
) -> None:
    """acquire-zarr's own array metadata may have a smaller shape than was written."""
    settings = acquisition("single", tmp_path / "a.ome.zarr", on_incomplete=on_incomplete)
    path = write_and_kill(settings, 4, 4)
    metadata = path / "0" / "zarr.json"
    written = json.loads(metadata.read_text())
    metadata.write_text(json.dumps({**written, "shape": [1, 2, 4, 6]}))
    repair_and_check(path)
    frames = pixels(path / "0")
    assert frames.shape == (times, 2, 4, 6)
    assert frames[:2, :, 0, 0].tolist() == [[1, 2], [3, 4]]
    assert validate(path).valid


def test_status_is_complete_if_every_frame_was_written(tmp_path: Path) -> None:
    path = write_and_kill(acquisition("single", tmp_path / "a.ome.zarr"), 6, 6)
    repair_and_check(path)
    assert our_attributes(path)["status"] == "complete"
    assert pixels(path / "0")[:, :, 0, 0].tolist() == [[1, 2], [3, 4], [5, 6]]


def test_dataset_without_frames_keeps_one_empty_time_point(tmp_path: Path) -> None:
    path = write_and_kill(unbounded(tmp_path / "a.ome.zarr"), 0, 0)
    repair_and_check(path)
    assert our_attributes(path)["frames"]["written"] == 0
    assert pixels(path / "0").shape == (1, 2, 4, 6)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_closed_dataset_has_no_findings(layout: str, tmp_path: Path) -> None:
    settings = acquisition(layout, tmp_path / "a.ome.zarr")
    with create_stream(settings) as stream:
        stream.append(np.ones((4, 6), "uint16"), frame_metadata={"a": 1})
    assert repair(settings.output_path).findings == ()


@pytest.mark.parametrize("shard", [None, 2])
@pytest.mark.parametrize("engine", ["direct", "acquire-zarr"])
def test_other_blosc_level_is_repaired_and_converted(
    engine: str, shard: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Earlier versions compressed at level 3."""
    if ENGINES[engine].missing_requirement():
        pytest.skip(f"{engine} is not installed")
    settings = acquisition(
        "single", tmp_path / "a.ome.zarr", format=engine, compression="blosc-zstd"
    )
    settings.dimensions[0].shard_size_chunks = shard
    path = tmp_path / "a.ome.zarr"
    with monkeypatch.context() as earlier:
        row = replace(COMPRESSIONS["blosc-zstd"], zarr=(blosc("zstd", 3),))
        earlier.setitem(COMPRESSIONS, "blosc-zstd", row)
        with create_stream(settings) as stream:
            for i in range(4):
                stream.append(np.full((4, 6), i + 1, "uint16"))
    assert '"clevel": 3' in (path / "0" / "zarr.json").read_text()
    metadata = json.loads((path / "zarr.json").read_text())
    metadata["attributes"]["ome_writers"]["status"] = "writing"
    (path / "zarr.json").write_text(json.dumps(metadata))
    in_shards = engine == "acquire-zarr" or shard is not None
    assert (read(path).images[0].levels[0].shards is not None) == in_shards
    repair_and_check(path)
    assert '"clevel": 3' in (path / "0" / "zarr.json").read_text()
    assert validate(path).valid
    copy = tmp_path / "copy.ome.zarr"
    convert(path, copy)
    for dataset in (path, copy):
        assert pixels(dataset / "0")[:, :, 0, 0].tolist() == [[1, 2], [3, 4]]


def test_large_journal_is_kept_without_its_incomplete_last_line(tmp_path: Path) -> None:
    """Journals larger than 1 MiB are referred to instead of embedded."""
    path = write_and_kill(unbounded(tmp_path / "a.ome.zarr"), 4, 4)
    with (path / "frame_metadata.jsonl").open("ab") as file:
        for i in range(1200):
            file.write(b'{"storage_index":[1,1],"i":%d,"text":"%s"}\n' % (i, b"x" * 1000))
        file.write(b'{"storage_index":[1,1],"te')
    repair_and_check(path)
    pointer = our_attributes(path)["frame_metadata"]
    assert pointer == {"journal": "frame_metadata.jsonl", "count": 1204}
    assert (path / "frame_metadata.jsonl").read_bytes().endswith(b"}\n")


@pytest.mark.parametrize("compression", CODECS)
def test_torn_shard_index_is_rebuilt(compression: str, tmp_path: Path) -> None:
    """Half of the index is old, so that its checksum is wrong."""
    settings = unbounded(tmp_path / "a.ome.zarr", shard=4, compression=compression)
    path = write_and_kill(settings, 6, 6)
    wanted = pixels(path / "0")
    shard = path / "0" / "c" / "0" / "0" / "0" / "0"
    content = bytearray(shard.read_bytes())
    content[-4 - 4 * 16 : -4 - 3 * 16] = struct.pack(
        "<QQ", 3 * 2**62, 48
    )  # far beyond the end of the file
    shard.write_bytes(content)
    with pytest.raises(Exception, match="."):
        pixels(path / "0")
    repaired = repair_and_check(path)
    assert any("torn index: rebuilt, 2 of 4 chunks" in f.what for f in repaired.findings)
    after = pixels(path / "0")
    assert not after[0, 0].any()
    wanted[0, 0] = 0
    np.testing.assert_array_equal(after, wanted)


def test_shard_without_index_is_reported_and_unchanged(tmp_path: Path) -> None:
    path = write_and_kill(unbounded(tmp_path / "a.ome.zarr", shard=4), 6, 6)
    shard = path / "0" / "c" / "0" / "0" / "0" / "0"
    shard.write_bytes(b"\0" * 300)
    assert [finding.path for finding in repair(path).unsolved] == [shard]
    assert shard.read_bytes() == b"\0" * 300


def test_journal_is_embedded_after_crash_during_close(tmp_path: Path) -> None:
    """The root has the final status, but the journal of an image is not embedded yet."""
    path = write_and_kill(acquisition("collection", tmp_path / "a.ome.zarr"), 12, 12)
    metadata = json.loads((path / "zarr.json").read_text())
    metadata["attributes"]["ome_writers"]["status"] = "complete"
    (path / "zarr.json").write_text(json.dumps(metadata))
    (path / "1" / "zarr.json").unlink()
    repair_and_check(path)
    assert our_attributes(path)["status"] == "complete"
    assert [len(our_attributes(path, group)["frame_metadata"]) for group in "01"] == [6, 6]


def test_attributes_of_clients_are_kept(tmp_path: Path) -> None:
    path = write_and_kill(acquisition("collection", tmp_path / "a.ome.zarr"), 4, 4)
    metadata = json.loads((path / "zarr.json").read_text())
    metadata["attributes"]["lab"] = {"room": 7}
    (path / "zarr.json").write_text(json.dumps(metadata))
    repair_and_check(path)
    assert json.loads((path / "zarr.json").read_text())["attributes"]["lab"] == {"room": 7}
    assert 'Namespace="lab"' in (path / "OME" / "METADATA.ome.xml").read_text()


def test_only_temporary_files_and_stale_lock_are_removed(tmp_path: Path) -> None:
    path = write_and_kill(acquisition("single", tmp_path / "a.ome.zarr"), 2, 2)
    assert (path / ".ome-writers.lock").exists()
    (path / "0" / ".zarr.json.1-2.tmp").write_bytes(b"half")
    (path / "0" / "c" / "0.__lock").write_bytes(b"")
    (path / "notes.txt").write_text("mine")
    (path / "0" / "c" / "1").mkdir(exist_ok=True)
    repair_and_check(path)
    assert (path / "notes.txt").read_text() == "mine"
    assert not (path / ".ome-writers.lock").exists()
    assert not (path / "0" / "c" / "0.__lock").exists()


@pytest.mark.parametrize("engine", ["zarr-python", "zarrs-python"])
def test_staging_folder_of_library_engines_is_removed(tmp_path: Path, engine: str) -> None:
    if (missing := ENGINES[engine].missing_requirement()) is not None:
        pytest.skip(missing)
    path = write_and_kill(unbounded(tmp_path / "a.ome.zarr", chunk=3, format=engine), 4, 7)
    assert [p for p in path.rglob(".*") if p.is_dir()]
    repair_and_check(path)
    assert not list(path.rglob(".*"))
    assert pixels(path / "0")[:2, :, 0, 0].ravel().tolist() == [1, 2, 3, 4]


def test_moved_dataset_is_repaired_in_place(tmp_path: Path) -> None:
    """The path in the stored settings is ignored."""
    path = write_and_kill(acquisition("plate", tmp_path / "a.ome.zarr"), 4, 4)
    path.rename(tmp_path / "moved")
    repair_and_check(tmp_path / "moved")
    assert os.listdir(tmp_path) == ["moved"]


def test_dataset_locked_by_running_process_is_refused(tmp_path: Path) -> None:
    settings = acquisition("single", tmp_path / "a.ome.zarr")
    with create_stream(settings), pytest.raises(OutputLockedError, match=f"process {os.getpid()}"):
        repair(settings.output_path)
    (Path(settings.output_path) / ".ome-writers.lock").write_bytes(lock_content())
    with pytest.raises(OutputLockedError):
        repair(settings.output_path)


@pytest.mark.parametrize("kind", KINDS)
def test_image_group_that_is_a_link_out_of_the_dataset_is_refused(
    tmp_path: Path, kind: str
) -> None:
    path = write_and_kill(acquisition("collection", tmp_path / "a.ome.zarr"), 4, 4)
    (path / "1").rename(tmp_path / "outside")
    create_link(path / "1", tmp_path / "outside", "refusal to repair through a link", kind)
    before = checksums(tmp_path / "outside")
    with pytest.raises((PermissionError, UnsupportedError), match="through a link|leads out"):
        repair(path)
    assert checksums(tmp_path / "outside") == before


def test_datasets_of_other_writers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"):
        repair(tmp_path / "none")
    with pytest.raises(UnsupportedError, match="contains neither an OME-Zarr nor TIFF files"):
        repair(tmp_path)
    (tmp_path / "zarr.json").write_text("{torn")
    with pytest.raises(UnsupportedError, match=r"its zarr.json is missing or not valid JSON"):
        repair(tmp_path)
    (tmp_path / "zarr.json").write_text('{"attributes": {"ome": {"version": "0.5"}}}')
    with pytest.raises(
        UnsupportedError, match="was not written by this library and cannot be repaired"
    ):
        repair(tmp_path)


def test_missing_plane_of_a_level_is_computed_after_a_failed_run(tmp_path: Path) -> None:
    """A full disk can prevent the write of a level, and the dataset is closed nevertheless."""
    path = tmp_path / "run.ome.zarr"
    settings = acquisition("single", path, pyramid=Pyramid(levels=1))
    with suppress(ZeroDivisionError), create_stream(settings) as stream:
        stream.append(np.full(stream.plan.images[0].array.shape[-2:], 7, settings.dtype))
        raise ZeroDivisionError
    (plane,) = (file for file in (path / "1").glob("c/**/*") if file.is_file())
    plane.unlink()
    assert any("not the reduction" in finding.what for finding in validate(path).findings)
    (finding,) = repair(path).findings
    assert finding.path == path / "1"
    assert not validate(path).findings
    assert (pixels(path / "1")[0, 0] == 7).all()


LIBRARIES = {  # by engine: one that writes shards, too
    "direct": ("files", "shards", "thick", "thick shards"),
    "tensorstore": ("files", "shards"),
    "zarr-python": ("files",),
    "zarrs-python": ("thick", "shards"),
}


@pytest.mark.parametrize(
    ("engine", "kind"), [(engine, kind) for engine, kinds in LIBRARIES.items() for kind in kinds]
)
def test_chunks_of_a_level_are_removed_where_level_0_lacks_them(
    engine: str, kind: str, tmp_path: Path
) -> None:
    """Workers write the levels of a frame in any order: a writer can be killed after the smaller one."""
    if (missing := ENGINES[engine].missing_requirement()) is not None:
        pytest.skip(missing)
    chunk, shard = CHUNKS[kind]

    def settings(name: str) -> Any:
        layout: dict[str, Any] = {"chunk": chunk, "shard": shard, "format": engine}
        return unbounded(tmp_path / name, pyramid=Pyramid(levels=1), **layout)

    path = write_and_kill(settings("short.ome.zarr"), 10, 10)
    longer = settings("long.ome.zarr")
    with create_stream(longer) as stream:
        for number in range(28):
            stream.append(np.full((4, 6), number + 1, "uint16"))
    shutil.rmtree(path / "1" / "c")
    shutil.copytree(Path(longer.output_path) / "1" / "c", path / "1" / "c")
    findings = [str(finding) for finding in repair_and_check(path).findings]
    assert any("frames that level 0 lacks: removed" in finding for finding in findings), findings
    assert not validate(path).findings
    for level in "01":
        assert pixels(path / level)[:, :, 0, 0].ravel().tolist() == list(range(1, 11))


def damage_entry(shard: Path, number: int, count: int) -> None:
    """Overwrite several bits of an entry of the index at the end of a shard of `count` chunks."""
    content = bytearray(shard.read_bytes())
    at = len(content) - 4 - 16 * (count - number)
    content[at : at + 2] = bytes(0xFF ^ byte for byte in content[at : at + 2])
    shard.write_bytes(content)


@pytest.mark.parametrize("compression", CODECS)
@pytest.mark.parametrize("checksum", [False, True])
def test_lost_index_entry_of_a_closed_dataset_stays_an_error(
    compression: str, checksum: bool, tmp_path: Path
) -> None:
    """`repair` makes the other frames readable, and does not turn the damaged one into zeros."""
    path = tmp_path / "a.ome.zarr"
    settings = acquisition(
        "single",
        path,
        dimensions=[
            Dimension(name="t", count=4, chunk_size=1, shard_size_chunks=4),
            *acquisition("single").dimensions[-2:],
        ],
        compression=compression,
        format={"name": "ome-zarr", "checksum": checksum},
    )
    frames = np.random.default_rng(0).integers(1, 999, (4, *settings.shape[-2:]), np.uint16)
    with create_stream(settings) as stream:
        for frame in frames.astype(settings.dtype):
            stream.append(frame)
    shard = next(p for p in (path / "0" / "c").rglob("*") if p.is_file())
    damage_entry(shard, 2, 4)
    for _ in range(2):  # the second time, nothing changes
        found = repair(path).findings
        assert any("index entries of 1 chunks are damaged" in f.what for f in found if not f.solved)
        after = shard.read_bytes()
    assert shard.read_bytes() == after
    assert not [f for f in repair(path).findings if f.solved]
    findings = [f.what for f in validate(path).findings]
    assert any(f.startswith("image 0, index (2,), chunk 2/0/0: its index entry") for f in findings)
    read = [pytest.importorskip("zarr").open_array(path / "0"), ome_writers.open(path)]
    for array in read:
        for t in (0, 1, 3):
            np.testing.assert_array_equal(array[t], frames[t])
        with pytest.raises(Exception, match="."):
            array[2]
    with pytest.raises(Exception, match="."):
        pixels(path / "0")


def test_damaged_chunk_with_a_checksum_stays_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    settings = acquisition("single", path, format={"name": "ome-zarr", "checksum": True})
    with create_stream(settings) as stream:
        for _ in range(settings.num_frames or 0):
            stream.append(np.full(settings.shape[-2:], 7, settings.dtype))
    chunk = path.joinpath("0", "c", "2", "0", "0", "0")
    content = bytearray(chunk.read_bytes())
    content[5] ^= 1
    chunk.write_bytes(content)
    assert not repair(path).findings
    assert chunk.read_bytes() == content
    with pytest.raises(OSError, match=r"index \(2, 0\), chunk.*cannot be read.*CRC-32C"):
        ome_writers.open(path)[:]
