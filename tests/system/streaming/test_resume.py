"""`resume` and `create_stream(resume=True)`: which datasets, which settings, and what is refused."""

from __future__ import annotations

import itertools
import json
import shutil
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import ome_writers as omew
from ome_writers import AcquisitionSettings, Dimension
from support.interrupted import checksums, write_and_kill
from support.preloaded import run_python
from support.sweeps import swept


def settings(path: Path, t: int | None = 6, z: int = 4, **fields: Any) -> AcquisitionSettings:
    dimensions = [
        Dimension(name="t", count=t),
        Dimension(name="z", count=z),
        Dimension(name="y", count=4, type="space"),
        Dimension(name="x", count=6, type="space"),
    ]
    return AcquisitionSettings(root_path=path, dimensions=dimensions, dtype="uint16", **fields)


def frame(number: int) -> np.ndarray:
    return np.full((4, 6), number + 1, "uint16")


def record(
    output: AcquisitionSettings | Path, frames: int, *, failed: bool = False
) -> list[dict[str, int]]:
    """Append up to `frames` of the frames that a dataset lacks; return their indices."""
    create = omew.resume if isinstance(output, Path) else omew.create_stream
    options = {} if isinstance(output, Path) else {"resume": True}
    written = []
    try:
        with create(output, **options) as stream:  # type: ignore[operator]
            for index in itertools.islice(stream.remaining(), frames):
                stream.append(frame(4 * index["t"] + index["z"]), frame_metadata=dict(index))
                written.append(index)
            if failed:
                raise KeyError("a failure of the acquisition")
    except KeyError:
        assert failed
    return written


def values(path: Path) -> list[int]:
    return np.asarray(omew.open(path))[..., 0, 0].ravel().tolist()


def acquisition(path: Path) -> dict[str, Any]:
    """Return what a dataset says about its acquisition."""
    if path.is_dir():
        return json.loads((path / "zarr.json").read_bytes())["attributes"]["ome_writers"]
    tifffile = pytest.importorskip("tifffile")
    with tifffile.TiffFile(path) as file:
        tree = ElementTree.fromstring(file.ome_metadata)
    texts = (element.text or "" for element in tree.iter() if element.tag.endswith("}Value"))
    (own,) = (json.loads(text) for text in texts if '"attempts"' in text)
    return own


@pytest.mark.thread_writer  # with another one, the killed program leaves a complete dataset
@pytest.mark.parametrize("name", ["a.ome.zarr", "a.ome.tiff"])
def test_resume_continues_a_killed_stream(tmp_path: Path, name: str) -> None:
    path = write_and_kill(settings(tmp_path / name), 7, 10)
    assert len(record(path, 100)) == 24 - 7  # frames 7 to 9 were not flushed
    spec = omew.read(path)
    assert (spec.status, spec.frames_written) == ("complete", 24)
    assert values(path) == [n + 1 for n in range(24)]
    first, second = acquisition(path)["attempts"]
    assert (first["frames"], second["frames"]) == (7, 17)
    assert first["started"][:-1] <= first["ended"] <= second["ended"]
    assert second["host"]


@pytest.mark.thread_writer
@pytest.mark.parametrize("name", ["a.ome.zarr", "chunks.ome.zarr", "a.ome.tiff"])
@pytest.mark.parametrize(
    ("order", "described"),
    [
        pytest.param([0, 1, 2, 3, 4, 5], [3, 5], id="later frames have metadata"),
        pytest.param([5, 1, 2, 0, 3, 4], [0, 3], id="later frames have metadata, out of order"),
        pytest.param([5, 1, 2, 0, 3, 4], [1, 3], id="some frames have metadata"),
        pytest.param([5, 1, 2, 0, 3, 4], [], id="no frame has metadata"),
    ],
)
def test_resume_keeps_just_the_flushed_frames(
    tmp_path: Path, name: str, order: list[int], described: list[int]
) -> None:
    """Pixels of later ones may be on disk as well, but not their metadata."""
    wanted = settings(tmp_path / name, t=3, z=2, buffer_bytes=100)  # hardly more than a frame
    if name == "chunks.ome.zarr":
        wanted.dimensions[1].chunk_size = 2
    path = write_and_kill(wanted, 3, order, metadata=described)
    with omew.resume(path) as stream:
        numbers = [2 * index["t"] + index["z"] for index in stream.remaining()]
        for n in numbers:
            index, metadata = {"t": n // 2, "z": n % 2}, {"delta_t": n / 4, "serial": n}
            stream.append(
                frame(n), index=index, frame_metadata=metadata if n in described else None
            )
    assert numbers == sorted(order[3:])
    assert sorted(f["serial"] for f in omew.read_frame_metadata(path)) == described
    assert values(path) == [n + 1 for n in range(6)]


@pytest.mark.parametrize("failed", [False, True])
def test_resume_continues_a_cancelled_or_failed_stream(tmp_path: Path, failed: bool) -> None:
    path = tmp_path / "a.ome.zarr"
    record(settings(path), 9, failed=failed)
    assert omew.read(path).status == ("failed" if failed else "cancelled")
    assert record(path, 100) == [{"t": n // 4, "z": n % 4} for n in range(9, 24)]
    assert (omew.read(path).status, values(path)) == ("complete", [n + 1 for n in range(24)])
    frames = omew.read_frame_metadata(path)
    assert [(f["t"], f["z"]) for f in frames] == [divmod(n, 4) for n in range(24)]


@pytest.mark.thread_writer
@pytest.mark.parametrize("planes", [1, 3])
def test_resume_removes_what_the_killed_writer_was_writing(tmp_path: Path, planes: int) -> None:
    """Also beside a complete chunk, which the writer was replacing."""
    wanted = settings(tmp_path / "a.ome.zarr")
    wanted.dimensions[1].chunk_size = planes
    path = write_and_kill(wanted, 7, 10)
    chunk = path / "0" / "c" / "0" / "0" / "0" / "0"
    assert chunk.is_file()
    time.sleep(0.01)  # time stamps may be that coarse
    chunk.with_name(".0.1234-5678.tmp").write_bytes(chunk.read_bytes())
    record(path, 100)
    assert values(path) == [n + 1 for n in range(24)]
    assert not [check for check in omew.validate(path).checks if check.findings]


@pytest.mark.thread_writer
@pytest.mark.parametrize("name", ["a.ome.zarr", "chunks.ome.zarr", "a.ome.tiff"])
@pytest.mark.parametrize("described", [[2, 4], []])
def test_resume_keeps_the_flushed_frames_of_two_killed_writers(
    tmp_path: Path, name: str, described: list[int]
) -> None:
    """In free order, with metadata of some frames or of none."""
    wanted = settings(tmp_path / name, t=3, z=2, buffer_bytes=100)
    if name == "chunks.ome.zarr":
        wanted.dimensions[1].chunk_size = 2
    path = write_and_kill(wanted, 2, [5, 2, 3, 4], metadata=described)
    assert write_and_kill(wanted, 2, [4, 1, 3], metadata=described, resume=True) == path
    with omew.resume(path) as stream:
        assert [2 * index["t"] + index["z"] for index in stream.remaining()] == [0, 3]
        stream.append(frame(0))
        stream.append(frame(3))
    assert sorted(f["serial"] for f in omew.read_frame_metadata(path)) == described
    assert values(path) == [n + 1 for n in range(6)]


def test_resume_seven_times(tmp_path: Path) -> None:
    """Frames of earlier days keep their bytes."""
    path = tmp_path / "a.ome.zarr"
    known: dict[str, str] = {}
    for day in range(7):
        record(settings(path, t=None), 4)
        now = {name: hash_ for name, hash_ in checksums(path).items() if "/c/" in name}
        assert known.items() <= now.items()
        known = now
        assert omew.read(path).frames_written == 4 * (day + 1)
        assert omew.read(path).status == "complete"  # its first axis is unbounded
    assert values(path) == [n + 1 for n in range(28)]
    assert [attempt["frames"] for attempt in acquisition(path)["attempts"]] == [4] * 7


def test_resume_with_a_longer_first_axis(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    record(settings(path, t=3), 100)
    with pytest.raises(omew.OutputExistsError, match="complete: nothing remains of its 12 frames"):
        omew.resume(path)
    assert record(settings(path, t=5), 100)[0] == {"t": 3, "z": 0}
    assert (omew.read(path).status, values(path)) == ("complete", [n + 1 for n in range(20)])


def test_resume_creates_what_does_not_exist(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    with omew.create_stream(settings(path), resume=True) as stream:
        assert len(list(stream.remaining())) == 24
        stream.append(frame(0))
        stream.append(frame(5), index={"t": 1, "z": 1})
        assert len(list(stream.remaining())) == 22
    assert "attempts" not in acquisition(path)
    with pytest.raises(FileNotFoundError):
        omew.resume(tmp_path / "b.ome.zarr")


def test_resume_refuses_other_settings_and_lists_them(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    record(settings(path), 3)
    before = checksums(path)
    other = settings(path, t=4, z=5, compression="zstd")
    expected = "compression: None on disk, 'zstd' now, t.count: 6 on disk, 4 now, z.count: 4 on disk, 5 now"
    with pytest.raises(omew.SettingsError, match=expected):
        omew.create_stream(other, resume=True)
    assert checksums(path) == before
    # settings of the stream, not of the dataset
    with omew.create_stream(
        settings(path, buffer_bytes=10_000, flush_interval=0.1, durability="disk"), resume=True
    ) as stream:
        assert next(stream.remaining()) == {"t": 0, "z": 3}


def test_resume_of_a_dataset_that_is_being_written_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    with omew.create_stream(settings(path)) as stream:
        stream.append(frame(0))
        with pytest.raises(omew.OutputLockedError, match="is being written by process"):
            omew.resume(path)
    first = omew.resume(path)
    with pytest.raises(omew.OutputLockedError, match="is being written by process"):
        omew.resume(path)
    first.close()


def test_resume_of_a_moved_dataset(tmp_path: Path) -> None:
    record(settings(tmp_path / "a.ome.zarr"), 5)
    moved = tmp_path / "elsewhere" / "b"
    moved.parent.mkdir()
    shutil.move(tmp_path / "a.ome.zarr", moved)
    record(moved, 100)
    assert (omew.read(moved).status, values(moved)) == ("complete", [n + 1 for n in range(24)])
    assert omew.read(moved).images[0].name == "a"  # the metadata keeps its name
    assert not (tmp_path / "a.ome.zarr").exists()


_RESUMER = """
import os, sys
import numpy as np
import ome_writers
stream = ome_writers.resume(sys.argv[1])
for index in stream.remaining():
    number = 4 * index["t"] + index["z"]
    if number == int(sys.argv[2]):
        break
    stream.append(np.full((4, 6), number + 1, "uint16"))
stream.flush()
if "killed" in sys.argv:
    os.kill(os.getpid(), 9)
stream.close()
"""


def resume_in_process(path: Path, *arguments: str) -> None:
    ended = run_python(["-c", _RESUMER, str(path), *arguments])
    assert (ended.returncode != 0) == ("killed" in arguments), ended.stderr


@pytest.mark.thread_writer  # as above
@pytest.mark.parametrize("name", ["a.ome.zarr", "a.ome.tiff"])
def test_resume_of_a_dataset_that_was_moved_after_a_kill(tmp_path: Path, name: str) -> None:
    """Twice: after the kill of its writer, and after that of the process that resumed it."""
    first = write_and_kill(settings(tmp_path / name), 7, 10)
    second = tmp_path / "elsewhere" / f"b.{name.partition('.')[2]}"
    third = tmp_path / f"c.{name.partition('.')[2]}"
    second.parent.mkdir()
    first.rename(second)
    resume_in_process(second, "13", "killed")
    second.rename(third)
    with omew.resume(third) as stream:
        assert next(stream.remaining()) == {"t": 3, "z": 1}
    resume_in_process(third, "24")
    assert (omew.read(third).status, values(third)) == ("complete", [n + 1 for n in range(24)])
    assert not [finding for check in omew.validate(third).checks for finding in check.findings]


@pytest.mark.thread_writer  # as above
@pytest.mark.parametrize("name", ["a.ome.zarr", "a.ome.tiff"])
@pytest.mark.parametrize("t", [6, None])
def test_an_open_view_shows_the_frames_of_processes_that_resume(
    tmp_path: Path, name: str, t: int | None
) -> None:
    path = write_and_kill(settings(tmp_path / name, t), 7, 10)
    view = omew.open(path)
    assert [view[0, z][0, 0] for z in range(4)] == [1, 2, 3, 4]
    resume_in_process(path, "13", "killed")
    assert [view[divmod(number, 4)][0, 0] for number in range(13)] == [*range(1, 14)]
    resume_in_process(path, "24")
    assert np.asarray(view)[..., 0, 0].ravel().tolist() == [*range(1, 25)]


def test_a_resumed_stream_does_not_restart(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    record(settings(path), 2)
    with omew.resume(path) as stream:
        with pytest.raises(omew.RestartError, match="frames of an earlier stream"):
            stream.restart(settings(path, t=7))
        with pytest.raises(omew.FrameTypeError):
            stream.append(np.zeros((4, 6), "uint8"))
    assert values(path) == [1, 2, 0, 0]


def test_an_error_while_resuming_changes_nothing(tmp_path: Path) -> None:
    path = write_and_kill(settings(tmp_path / "a.ome.zarr"), 7, 10)
    with pytest.raises(omew.SettingsError, match="written with other settings"):
        omew.create_stream(settings(path, z=5), resume=True)
    assert omew.read(path).status == "writing"


def test_frames_and_metadata_that_were_skipped_remain(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    with omew.create_stream(settings(path)) as stream:
        stream.append(frame(0))
        stream.skip(frames=2)
        stream.append(frame(3))
    with omew.resume(path) as stream:
        assert list(itertools.islice(stream.remaining(), 3)) == [
            {"t": 0, "z": 1},
            {"t": 0, "z": 2},
            {"t": 1, "z": 0},
        ]
        stream.skip(frames=1)
        stream.append(frame(2))
        stream.append(frame(4))
        assert stream.has_frame((0, 3))
        assert not stream.has_frame((0, 1))
        assert np.asarray(stream.view())[:2, :, 0, 0].tolist() == [[1, 0, 3, 4], [5, 0, 0, 0]]
        assert stream.stats().frames_accepted == 4
    assert values(path) == [1, 0, 3, 4, 5, 0, 0, 0]


def test_client_edits_and_global_metadata_stay(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    with omew.create_stream(settings(path)) as stream:
        stream.set_global_metadata("lab", {"who": "me"})
        metadata = stream.get_metadata()
        metadata["."]["ome"]["multiscales"][0]["name"] = "mine"
        stream.update_metadata(metadata)
        stream.append(frame(0))
    record(path, 100)
    attributes = json.loads((path / "zarr.json").read_bytes())["attributes"]
    assert attributes["lab"] == {"who": "me"}
    assert attributes["ome"]["multiscales"][0]["name"] == "mine"
    window = attributes["ome"]["omero"]["channels"][0]["window"]
    assert window["start"] == 1 < window["end"]


@pytest.mark.parametrize("make", ["foreign", "archive", "remote", "acquire-zarr"])
def test_what_cannot_be_resumed_is_refused_with_the_reason(tmp_path: Path, make: str) -> None:
    path: Any = tmp_path / "a.ome.zarr"
    record(settings(path), 2)
    if make == "foreign":
        content = json.loads((path / "zarr.json").read_bytes())
        del content["attributes"]["ome_writers"]
        (path / "zarr.json").write_text(json.dumps(content))
        reason = "ome-writers did not write it"
    elif make == "archive":
        omew.convert(path, path := tmp_path / "a.ozx")
        reason = "ozx"
    elif make == "remote":
        path, reason = "s3://bucket/a.ome.zarr", "remote datasets are only read"
    else:
        content = json.loads((path / "zarr.json").read_bytes())
        content["attributes"]["ome_writers"]["settings"]["format"]["backend"] = "acquire-zarr"
        (path / "zarr.json").write_text(json.dumps(content))
        reason = "backend 'acquire-zarr' cannot continue its own shards"
    with pytest.raises(omew.UnsupportedError, match=reason):
        omew.resume(path)


@pytest.mark.parametrize("name", ["a.ome.zarr", "a.ome.tiff"])
def test_info_says_whether_a_dataset_can_be_resumed(tmp_path: Path, name: str) -> None:
    path = write_and_kill(settings(tmp_path / name), 7, 10)
    with pytest.raises(omew.OutputExistsError, match="resume=True"):
        omew.create_stream(settings(tmp_path / name))
    assert "continues the recording" in run_python(["-m", "ome_writers", "info", str(path)]).stdout
    record(path, 100)
    after = run_python(["-m", "ome_writers", "info", str(path)]).stdout
    assert "continues the recording" not in after


def test_resumed_ometiff_keeps_edits_of_clients(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    path = tmp_path / "a.ome.tiff"
    with omew.create_stream(settings(path)) as stream:
        models = stream.get_metadata()
        models[0].images[0].description = "mine"
        stream.update_metadata(models)
        stream.append(frame(0), frame_metadata={"delta_t": 1.5})
    record(path, 100)
    assert (omew.read(path).status, values(path)) == ("complete", [n + 1 for n in range(24)])
    with tifffile.TiffFile(path) as file:
        assert "<Description>mine" in file.ome_metadata
    assert len(omew.read_frame_metadata(path)) == 24


@pytest.mark.parametrize(
    "case",
    swept(
        itertools.product((5, 100), (1, 2), ("none", "deflate")),
        lambda case: (case[0] == 5) ^ (case[1] == 1) ^ (case[2] == "none"),
        lambda case: "-".join(map(str, case)),
    ),
)
def test_an_ometiff_with_a_longer_first_axis(tmp_path: Path, case: tuple[int, int, str]) -> None:
    """Twice; of a complete dataset, and of one with missing frames."""
    first, positions, compression = case
    tifffile = pytest.importorskip("tifffile")
    p = [Dimension(name="p", type="position", coords=["a", "b"])] if positions > 1 else []
    fields: dict[str, Any] = {"compression": compression, "format": {"name": "ome-tiff"}}
    fields["format"]["prefer_single_file"] = "always" if first > 5 else "auto"
    fields["pyramid"] = {"smallest": 2, "axes": ["y", "x"]}

    def longer(t: int, name: str = "a.ome.tiff") -> AcquisitionSettings:
        given = settings(tmp_path / name, t=t, **fields)
        dims = [given.dimensions[0], *p, *given.dimensions[1:]]
        return AcquisitionSettings(
            root_path=tmp_path / name, dimensions=dims, dtype="uint16", **fields
        )

    record(longer(2), first)
    record(longer(3), 3)
    record(longer(5), 100)
    record(longer(5, "whole.ome.tiff"), 100)
    out = [Path(longer(5, name).output_path) for name in ("a.ome.tiff", "whole.ome.tiff")]
    assert [omew.read(o).status for o in out] == ["complete", "complete"]
    for level in (0, 1):
        found, expected = (np.asarray(omew.open(o, level=level)) for o in out)
        np.testing.assert_array_equal(found, expected)
    frames = [sorted(map(str, omew.read_frame_metadata(o))) for o in out]
    assert frames[0] == frames[1]
    assert not any(check.findings for check in omew.validate(out[0]).checks)
    file = out[0] if out[0].is_file() else sorted(out[0].glob("*.tiff"))[0]
    with tifffile.TiffFile(file) as tiff:
        assert 5 in tiff.series[0].shape[:-2]


@pytest.mark.thread_writer  # as above
@pytest.mark.parametrize("name", ["a.ome.zarr", "a.ome.tiff"])
@pytest.mark.parametrize("t", [6, None])
def test_an_open_view_follows_a_resumed_stream(tmp_path: Path, name: str, t: int | None) -> None:
    path = write_and_kill(settings(tmp_path / name, t), 7, 10)
    view = omew.open(path)
    assert np.asarray(view)[0, :, 0, 0].tolist() == [1, 2, 3, 4]
    with omew.resume(path) as stream:
        assert np.asarray(view[0, 2])[0, 0] == 3
        for number in range(7, 24):
            stream.append(frame(number), frame_metadata={"serial": number})
            if number % 6 == 0:
                stream.flush()
                assert view[divmod(number, 4)][0, 0] == number + 1
    assert np.asarray(view)[..., 0, 0].ravel().tolist() == [n + 1 for n in range(24)]


def test_a_black_frame_of_a_closed_unbounded_dataset_is_not_missing(tmp_path: Path) -> None:
    """In a chunk of several planes, without frame metadata, the number of frames alone tells that it was written."""
    dimensions = [
        Dimension(name="t", count=None),
        Dimension(name="z", count=4, chunk_size=2),
        Dimension(name="y", count=4),
        Dimension(name="x", count=6),
    ]
    path = tmp_path / "a.ome.zarr"
    with omew.create_stream(root_path=path, dimensions=dimensions, dtype="uint16") as stream:
        for number in range(6):
            stream.append(frame(-1 if number == 1 else number))
    with omew.resume(path) as stream:
        assert next(iter(stream.remaining())) == {"t": 1, "z": 2}


_KILLED_START = """
import json, os, signal, sys
import ome_writers

settings, operations = json.load(sys.stdin)
settings = ome_writers.AcquisitionSettings.model_validate(settings)
left = [operations]


def count(event, arguments):
    if event in ("open", "os.mkdir", "os.rename", "os.remove") and "/a.ome." in str(arguments[0]).replace(os.sep, "/"):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), getattr(signal, "SIGKILL", 9))


sys.addaudithook(count)
ome_writers.create_stream(settings)
os._exit(3)  # without closing it
"""


@pytest.mark.parametrize("name", ["a.ome.zarr", "a.ome.tiff"])
def test_resume_after_a_kill_while_the_dataset_was_created(tmp_path: Path, name: str) -> None:
    """At any file operation: what is there is continued, or created again if it is not a dataset yet."""
    for operations in range(1, 60, 3):
        folder = tmp_path / str(operations)
        output = settings(folder / name)
        arguments = json.dumps([output.model_dump(mode="json"), operations])
        ended = run_python(["-c", _KILLED_START], stdin=arguments).returncode
        record(output, 24)
        assert values(folder / name) == [*range(1, 25)]
        if ended == 3:
            break
    assert ended == 3


_KILLED_CLOSE = """
import json, os, signal, sys
import numpy as np
import ome_writers
from ome_writers.streaming.dataset_writer import DatasetWriter

DatasetWriter.close_metadata = lambda *_: os.kill(os.getpid(), getattr(signal, "SIGKILL", 9))
settings, indices = json.load(sys.stdin)
stream = ome_writers.create_stream(ome_writers.AcquisitionSettings.model_validate(settings))
for t, z in indices:
    stream.append(np.full((4, 6), 4 * t + z + 1, "uint16"), index={"t": t, "z": z})
stream.flush()
stream.close()
"""


@pytest.mark.thread_writer  # with another one, the killed program leaves a complete dataset
@pytest.mark.parametrize("t", [None, 6])
def test_missing_planes_are_not_frames_after_a_kill_in_close(tmp_path: Path, t: int | None) -> None:
    """Which gives missing planes of an OME-TIFF pixels of zeros before it writes the final metadata."""
    path = tmp_path / "a.ome.tiff"
    indices = [(3, 1), (0, 2), (1, 0), (3, 3)]
    arguments = json.dumps([settings(path, t).model_dump(mode="json"), indices])
    run_python(["-c", _KILLED_CLOSE], stdin=arguments)
    assert omew.read(path).status == "writing"
    repaired = tmp_path / "repaired.ome.tiff"
    shutil.copy(path, repaired)
    omew.repair(repaired)
    assert omew.read(repaired).frames_written == 4
    with omew.resume(path) as stream:
        remaining = [tuple(i.values()) for i in itertools.islice(stream.remaining(), 14)]
        assert remaining[:12] == [divmod(n, 4) for n in range(16) if divmod(n, 4) not in indices]
        for at, z in remaining[:12]:
            stream.append(frame(4 * at + z), index={"t": at, "z": z})
    assert values(path)[:16] == [n + 1 for n in range(16)]
