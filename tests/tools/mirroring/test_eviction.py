"""`Mirror(evict=True)`: finished files are removed from this disk once they are verified at the target, not before."""

from __future__ import annotations

import json
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import ome_writers
from ome_writers import (
    AcquisitionSettings,
    Dimension,
    Mirror,
    MovedFileError,
    UnsupportedError,
    UploadError,
    create_stream,
    mirror,
)
from ome_writers.repair import repair
from ome_writers_tools.cli import main
from support.lying_store import LyingStore
from support.preloaded import run_python
from support.sweeps import swept
from support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest.importorskip("obstore", reason="obstore is not installed")

FRAMES = np.random.default_rng(1).integers(1, 60_000, (24, 16, 16), dtype="uint16")
RECORD = ".ome-writers.moved.jsonl"
LAYOUTS = {  # shards of so many chunks, and chunks of so many planes
    "chunks": (None, 1),
    "chunks of several planes": (None, 4),
    "shards": (5, 1),
    "shards of chunks of several planes": (2, 3),
}


def settings(
    path: Path, target: str | Path, layout: str = "shards", **fields: Any
) -> AcquisitionSettings:
    shard, chunk = LAYOUTS[layout]
    frames = fields.pop("frames", len(FRAMES))
    dimensions = [
        Dimension(name="t", count=frames, type="time", chunk_size=chunk, shard_size_chunks=shard),
        Dimension(name="y", count=16, chunk_size=10),
        Dimension(name="x", count=16, chunk_size=10),
    ]
    fields = {"dtype": "uint16", "flush_interval": 0.05, **fields}
    if "mirror" not in fields:
        fields["mirror"] = Mirror(str(target), evict=True)
    return AcquisitionSettings(root_path=path, dimensions=dimensions, **fields)


def record(stream: ome_writers.OMEStream, frames: range) -> None:
    for t in frames:
        stream.append(FRAMES[t], frame_metadata={"t": t})


def chunks(path: Path) -> dict[str, bytes]:
    """Return chunk files and shards by key."""
    found = {}
    for file in path.rglob("*"):
        with suppress(FileNotFoundError):  # removed meanwhile
            if file.is_file() and "/c/" in file.as_posix():
                found[file.relative_to(path).as_posix()] = file.read_bytes()
    return found


@pytest.mark.parametrize("layout", swept(LAYOUTS, [*LAYOUTS][::3].__contains__))
def test_target_equals_a_run_without_a_mirror(
    tmp_path: Path, layout: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was moved is read from the target meanwhile and afterwards, by views, `validate`, `repair` and `convert`."""
    path, target = tmp_path / "a.ome.zarr", tmp_path / "share"
    fields = {"compression": "zstd", "pyramid": {"levels": 2}}
    with create_stream(settings(path, target, layout, **fields)) as stream:
        record(stream, range(20))
        wait_until(lambda: stream.stats().bytes_evicted)
        assert (np.asarray(stream.view()[:20]) == FRAMES[:20]).all()
        record(stream, range(20, 24))
    with create_stream(
        settings(tmp_path / "b.ome.zarr", "", layout, mirror=None, **fields)
    ) as stream:
        record(stream, range(24))
    expected = chunks(tmp_path / "b.ome.zarr")
    if "shards" in layout:  # where chunks are in a shard depends on the time of flushes
        assert chunks(target).keys() == expected.keys()
    else:
        assert chunks(target) == expected
    assert not chunks(path)
    for copy in (path, target):
        assert (np.asarray(ome_writers.open(copy)) == FRAMES).all()
    assert ome_writers.validate(path).valid
    assert not repair(path).findings
    assert main(["convert", str(path), str(tmp_path / "c.ome.zarr"), "--verify"]) == 0
    capsys.readouterr()
    assert main(["info", str(path)]) == 0
    assert f"files at {target.as_uri()}" in " ".join(capsys.readouterr().out.split())
    for command in (["manifest", str(path)], ["convert", str(path), str(tmp_path / "c.ozx")]):
        assert main(command) == 1
        assert "would be missing from" in " ".join(capsys.readouterr().err.split())


@pytest.fixture
def lying(monkeypatch: pytest.MonkeyPatch) -> Iterator[LyingStore]:
    store = LyingStore()
    monkeypatch.setenv("AWS_ENDPOINT_URL", store.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "geheim-123")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setattr("ome_writers_tools.mirroring.uploader._MAX_ATTEMPTS", 2)
    yield store
    store.close()


LIES = [None, "keeps nothing", "flips a bit", "flips a bit, states the old checksum"]


@pytest.mark.parametrize(
    ("lie", "layout"),
    [  # each lie with one of the layouts in a normal run
        pytest.param(lie, layout, marks=pytest.mark.sweep if lie and (i + j) % 2 else ())
        for i, lie in enumerate(LIES)
        for j, layout in enumerate(["chunks", "shards"])
    ],
)
def test_nothing_is_removed_that_the_target_does_not_have(
    tmp_path: Path, lying: LyingStore, lie: str | None, layout: str
) -> None:
    path, lying.lie = tmp_path / "a.ome.zarr", lie
    reads_back = lie is not None and "old" in lie
    target = Mirror("s3://bucket/run", evict=True, read_back=reads_back)
    stream = create_stream(settings(path, "", layout, mirror=target))
    record(stream, range(24))
    stream.flush()
    time.sleep(0.3 if lie else 0)
    if lie is None:
        stream.close()
        assert not chunks(path)
        assert (np.asarray(ome_writers.open(path)) == FRAMES).all()
        return
    with pytest.raises(UploadError, match="not affected"):
        stream.close()
    assert (np.asarray(ome_writers.open(path)) == FRAMES).all()
    shutil.rmtree(path / "0" / "c" / "0")  # it is the only copy, and is not read from elsewhere
    assert not np.asarray(ome_writers.open(path))[0].any()


def test_share_that_vanishes_and_comes_back(tmp_path: Path) -> None:
    """Nothing is removed while it is away; then the run goes on, and what was moved is read again."""
    path, share, away = tmp_path / "a.ome.zarr", tmp_path / "share", tmp_path / "away"
    with create_stream(settings(path, share)) as stream:
        record(stream, range(10))
        wait_until(
            lambda: not chunks(path).keys() & {"0/c/0/0/0"} and (share / "zarr.json").exists()
        )
        share.rename(away)
        before = chunks(away).keys()
        record(stream, range(10, 20))
        stream.flush()
        time.sleep(0.5)
        moved = {json.loads(line).get("key") for line in (path / RECORD).read_bytes().splitlines()}
        assert moved - {None} <= before
        with pytest.raises(MovedFileError, match=r"0/c/0/0/0 was moved to .*Mount the share"):
            np.asarray(ome_writers.open(path))
        while away.exists():
            shutil.rmtree(share, ignore_errors=True)
            with suppress(OSError):  # the mirror may have written there since
                away.rename(share)
        record(stream, range(20, 24))
    for copy in (path, share):
        assert (np.asarray(ome_writers.open(copy)) == FRAMES).all()


def test_two_streams_to_one_target(tmp_path: Path) -> None:
    """The second one moves nothing, and its frames stay on this disk."""
    share = tmp_path / "share"
    with create_stream(settings(tmp_path / "a.ome.zarr", share)) as first:
        record(first, range(12))
        wait_until(lambda: first.stats().bytes_evicted)
        second = create_stream(settings(tmp_path / "b.ome.zarr", share))
        record(second, range(24))
        with pytest.raises(UploadError, match="copy of another dataset"):
            second.close()
        record(first, range(12, 24))
    assert not (tmp_path / "b.ome.zarr" / RECORD).exists()
    for path in tmp_path.glob("*.ome.zarr"):
        assert (np.asarray(ome_writers.open(path)) == FRAMES).all()


def test_frame_in_a_moved_shard_is_replaced(tmp_path: Path) -> None:
    path, share = tmp_path / "a.ome.zarr", tmp_path / "share"
    expected = FRAMES.copy()
    with create_stream(settings(path, share)) as stream:
        record(stream, range(24))
        wait_until(lambda: "0/c/0/0/0" not in chunks(path))
        stream.append(FRAMES[20], index={"t": 2})
    expected[2] = FRAMES[20]
    for copy in (path, share):
        assert (np.asarray(ome_writers.open(copy)) == expected).all()


def test_upload_of_a_partly_moved_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was moved is neither sent again nor removed; another target, or an empty one, is refused."""
    monkeypatch.setattr("ome_writers_tools.mirroring.uploader._MAX_ATTEMPTS", 1)
    path, share = tmp_path / "a.ome.zarr", tmp_path / "share"
    with create_stream(settings(path, share)) as stream:
        record(stream, range(24))
    before = chunks(share)
    (tmp_path / ".a.ome.zarr.upload.jsonl").unlink()
    mirror(path, share)
    assert chunks(share) == before
    with pytest.raises(UnsupportedError, match=r"files were moved to file:.*share"):
        mirror(path, tmp_path / "other")
    with pytest.raises(UnsupportedError, match="might remove them there"):
        create_stream(settings(path, share, overwrite=True))
    share.rename(tmp_path / "gone")
    with pytest.raises(UploadError, match="has vanished"):
        mirror(path, share)
    shutil.rmtree(share)
    (tmp_path / "gone").rename(share)
    damaged = next(p for p in share.rglob("c/*/0/0") if p.is_file())
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(UploadError, match="moved to .* are not there as they were verified"):
        mirror(path, share)
    assert not ome_writers.validate(path).valid


def test_target_of_another_dataset_is_not_read(tmp_path: Path) -> None:
    """The record is untrusted: without the claim of its dataset, no file of the target is opened."""
    path, share = tmp_path / "a.ome.zarr", tmp_path / "share"
    with create_stream(settings(path, share)) as stream:
        record(stream, range(24))
    claim = share / ".ome-writers.upload.json"
    claim.write_text(json.dumps({"dataset": "another"}), encoding="utf-8")
    with pytest.raises(MovedFileError, match="claimed by 'another'"):
        np.asarray(ome_writers.open(path))


@pytest.mark.parametrize("format", ["ome-tiff", "tensorstore"])
def test_formats_and_backends_whose_files_change_are_refused(tmp_path: Path, format: str) -> None:
    path = tmp_path / ("a.ome.tiff" if format == "ome-tiff" else "a.ome.zarr")
    with pytest.raises(UnsupportedError, match="its files may change until the stream is closed"):
        create_stream(settings(path, tmp_path / "share", format=format))
    assert not list(tmp_path.glob("a.*"))


def test_longer_axis_continues_a_moved_shard(tmp_path: Path) -> None:
    path, share = tmp_path / "a.ome.zarr", tmp_path / "share"
    for frames in (8, 24):
        with create_stream(settings(path, share, frames=frames), resume=True) as stream:
            remaining = [index["t"] for index in stream.remaining()]
            record(stream, range(remaining[0], frames))
    assert remaining == list(range(8, 24))
    assert not chunks(path)
    for copy in (path, share):
        assert (np.asarray(ome_writers.open(copy)) == FRAMES).all()


_WRITER = """
import json, os, signal, sys, threading, time
import numpy as np
import ome_writers
settings, lifetime_s, seed = json.load(sys.stdin)
frames = np.random.default_rng(1).integers(1, 60_000, (24, 16, 16), dtype="uint16")
threading.Timer(lifetime_s, os.kill, (os.getpid(), getattr(signal, "SIGKILL", 9))).start()
settings = ome_writers.AcquisitionSettings.model_validate(settings)
try:
    with ome_writers.create_stream(settings, resume=True) as stream:
        for index in list(stream.remaining()):
            stream.append(frames[index["t"]])
            time.sleep(0.05)
except ome_writers.OutputExistsError as error:  # it was killed in `close`
    path, url = error.args[0].partition("ome-writers upload ")[2].rstrip("`.").split()
    ome_writers.mirror(path, url)
print("done", flush=True)
os._exit(0)
"""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kills", swept([2, 50], lambda kills: kills == 2))
def test_killed_and_resumed_until_it_is_complete(tmp_path: Path, kills: int) -> None:
    """After each kill, no frame that another process could read before is on neither side."""
    path, share = tmp_path / "a.ome.zarr", tmp_path / "share"
    random = np.random.default_rng(kills)
    seen = np.zeros(len(FRAMES), bool)
    for attempt in range(10 * kills):
        lifetime_s = random.uniform(0.1, 1.2) if attempt < kills else 250
        arguments = settings(path, share).model_dump(mode="json"), lifetime_s, attempt
        done = run_python(["-c", _WRITER], stdin=json.dumps(arguments))
        if (path / "zarr.json").exists():
            stored = np.asarray(ome_writers.open(path))
            there = np.zeros(len(FRAMES), bool)
            there[: len(stored)] = (stored == FRAMES[: len(stored)]).all(axis=(1, 2))
            assert not (seen & ~there).any(), f"lost after kill {attempt}"
            assert not stored[~there[: len(stored)]].any(), "other pixels"
            seen |= there
        if "done" in done.stdout and attempt >= kills:
            break
        if "done" in done.stdout:
            shutil.rmtree(path)
            shutil.rmtree(share)
            seen[:] = False
    assert ome_writers.read(path).status == ome_writers.read(share).status == "complete"
    for copy in (path, share):
        assert (np.asarray(ome_writers.open(copy)) == FRAMES).all()


def test_image_of_a_partly_moved_dataset_is_read(tmp_path: Path) -> None:
    """By its own path, which does not contain the record of moved files."""
    path = tmp_path / "a.ome.zarr"
    dimensions = [
        Dimension(name="p", coords=["left", "right"], type="position"),
        Dimension(name="t", count=12, type="time"),
        Dimension(name="y", count=16),
        Dimension(name="x", count=16),
    ]
    fields = {"mirror": Mirror(str(tmp_path / "share"), evict=True), "dtype": "uint16"}
    acquisition = AcquisitionSettings(root_path=path, dimensions=dimensions, **fields)
    with create_stream(acquisition) as stream:
        record(stream, range(24))
    assert not chunks(path)
    for image, expected in enumerate((FRAMES[:12], FRAMES[12:])):
        assert (np.asarray(ome_writers.open(path / str(image))) == expected).all()
    shutil.move(tmp_path / "share", tmp_path / "away")
    with pytest.raises(MovedFileError, match="0/0/c/0/0/0 was moved to"):
        ome_writers.open(path / "0")[0]


def test_writer_in_a_process_of_its_own_removes_files(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    with create_stream(settings(path, tmp_path / "share"), writer="process") as stream:
        record(stream, range(24))
    assert not chunks(path)
    moved = sum(map(len, chunks(tmp_path / "share").values()))
    assert stream.stats().bytes_evicted == moved
    assert (np.asarray(ome_writers.open(path)) == FRAMES).all()
