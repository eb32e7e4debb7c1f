"""Nothing is called complete, and nothing is removed, unless the content in the store was verified in that call."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import ome_writers
from ome_writers import UploadError, create_stream, dims_from_standard_axes, mirror
from ome_writers_tools.cli import main
from ome_writers_tools.mirroring import checksums
from ome_writers_tools.mirroring.upload_journal import journal_path
from support.links import create_link
from support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable

obstore = pytest.importorskip("obstore", reason="obstore is not installed")


def make(path: Path, value: int, skip: Iterable[int] = (), **fields: Any) -> Path:
    dimensions = dims_from_standard_axes({"t": 4, "y": 8, "x": 8})
    with create_stream(root_path=path, dimensions=dimensions, dtype="uint16", **fields) as stream:
        for t in range(4):
            if t in skip:
                stream.skip()
            else:
                stream.append(np.full((8, 8), value + t, "uint16"))
    return path


def values(path: Path) -> list[int]:
    return [int(v) for v in np.asarray(ome_writers.open(path))[:, 0, 0]]


@pytest.mark.parametrize("suffix", ["ome.zarr", "ome.tiff"])
def test_dataset_of_another_id_is_refused(tmp_path: Path, suffix: str) -> None:
    for folder, value in (("pc1", 1), ("pc2", 5)):
        (tmp_path / folder).mkdir()
        make(tmp_path / folder / f"run.{suffix}", value)
    first, second = tmp_path / "pc1" / f"run.{suffix}", tmp_path / "pc2" / f"run.{suffix}"
    url = (tmp_path / "store").as_uri()
    mirror(first, url)
    with pytest.raises(UploadError, match="the copy of another dataset .*--overwrite"):
        mirror(second, url)
    mirror(second, url, overwrite=True)
    with pytest.raises(UploadError, match="the copy of another dataset"):
        mirror(first, url, delete=True)
    assert first.exists()
    copy = tmp_path / "store" if suffix == "ome.zarr" else tmp_path / "store" / second.name
    assert values(copy) == values(second)


def test_delete_compares_content_and_not_sizes(tmp_path: Path) -> None:
    path, store = make(tmp_path / "a.ome.zarr", 1), tmp_path / "store"
    mirror(path, store.as_uri())
    shutil.copytree(path, tmp_path / "b.ome.zarr")
    for chunk in (store / "0" / "c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(bytes(len(chunk.read_bytes())))
    assert mirror(path, store.as_uri(), delete=True).uploaded_files == 4
    assert values(store) == values(tmp_path / "b.ome.zarr")
    assert not path.exists()


def test_journal_is_no_proof_before_removal(tmp_path: Path) -> None:
    """A file that was changed without changing its time is read again, and sent."""
    path, store = make(tmp_path / "a.ome.zarr", 1), tmp_path / "store"
    mirror(path, store.as_uri())
    chunk = next(p for p in (path / "0" / "c").rglob("*") if p.is_file())
    times = chunk.stat().st_atime_ns, chunk.stat().st_mtime_ns
    chunk.write_bytes(b"\7" * chunk.stat().st_size)
    os.utime(chunk, ns=times)
    mirror(path, store.as_uri(), delete=True)
    assert (store / chunk.relative_to(path)).read_bytes() == b"\7" * 128


@pytest.mark.parametrize("journal", ["of another URL", "lost", "kept"])
def test_no_chunk_of_a_replaced_dataset_is_left(tmp_path: Path, journal: str) -> None:
    path, store = make(tmp_path / "a.ome.zarr", 1), tmp_path / "store"
    mirror(path, store.as_uri())
    if journal == "of another URL":
        mirror(path, (tmp_path / "other").as_uri())
    make(path, 50, skip=(2,), overwrite=True)
    if journal == "lost":
        journal_path(path).unlink()
    with pytest.raises(UploadError, match="the copy of another dataset"):
        mirror(path, store.as_uri())
    assert main(["upload", str(path), store.as_uri(), "--overwrite"]) == 0
    assert values(store) == values(path) == [50, 51, 0, 53]


def test_chunk_of_the_same_dataset_that_was_removed_is_deleted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Also without a journal. Other objects are kept: another program may have added labels to the copy."""
    path, store = make(tmp_path / "a.ome.zarr", 1), tmp_path / "store"
    mirror(path, store.as_uri())
    journal_path(path).unlink()
    chunk = next(p for p in (path / "0" / "c").rglob("*") if p.is_file())
    chunk.unlink()
    (store / "notes.txt").write_text("kept")
    with caplog.at_level(logging.WARNING, "ome_writers"):
        mirror(path, store.as_uri())
    assert values(store) == values(path)
    assert "contains 1 objects that are not part of" in caplog.text
    assert (store / "notes.txt").exists()


def test_second_stream_with_the_same_mirror_is_refused(tmp_path: Path) -> None:
    store = tmp_path / "store"
    dimensions = dims_from_standard_axes({"t": 4, "y": 8, "x": 8})
    streams = [
        create_stream(
            root_path=tmp_path / f"{name}.ome.zarr",
            dimensions=dimensions,
            dtype="uint16",
            mirror=store.as_uri(),
        )
        for name in "ab"
    ]
    for t in range(4):
        for value, stream in enumerate(streams):
            stream.append(np.full((8, 8), 10 * value + t, "uint16"))
    complete = 0
    for stream in streams:
        with suppress(UploadError):
            stream.close()
            assert values(store) == values(Path(stream.settings.output_path))
            complete += 1
    assert complete == 1


def test_emptied_store_is_filled_again(tmp_path: Path) -> None:
    path, store = make(tmp_path / "a.ome.zarr", 1), tmp_path / "store"
    count = mirror(path, store.as_uri()).files
    shutil.rmtree(store)
    assert mirror(path, store.as_uri()).uploaded_files == count
    next(p for p in (store / "0" / "c").rglob("*") if p.is_file()).unlink()
    assert mirror(path, store.as_uri()).uploaded_files == 1
    assert values(store) == values(path)


def test_store_that_vanishes_while_streaming_fails_at_close(tmp_path: Path) -> None:
    path, store = tmp_path / "a.ome.zarr", tmp_path / "store"
    dimensions = dims_from_standard_axes({"t": None, "y": 8, "x": 8})
    stream = create_stream(
        root_path=path,
        dimensions=dimensions,
        dtype="uint16",
        mirror=store.as_uri(),
        flush_interval=0.1,
    )
    stream.append(np.ones((8, 8), "uint16"))
    wait_until((store / "zarr.json").exists)
    shutil.rmtree(store)
    stream.append(np.ones((8, 8), "uint16"))
    with pytest.raises(UploadError, match="has vanished.*Check that the drive is mounted"):
        stream.close()
    mirror(path, store.as_uri())
    assert values(store) == [1, 1]


def test_journal_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    path = make(tmp_path / "j.ome.zarr", 1)
    thesis = tmp_path / "thesis.txt"
    thesis.write_text("five years")
    create_link(journal_path(path), thesis, "that a linked journal is not followed", "symlink")
    mirror(path, (tmp_path / "store").as_uri())
    assert thesis.read_text() == "five years"
    assert not journal_path(path).is_symlink()


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe",
        b"[" * 100_000 + b"\n",
        b"[1]\n",
        b"null\n{}\n",
        b'{"url": "%s", "dataset": "x"}\n{"key": [], "size": 1, "mtime_ns": 1}\n',
        b'{"url": 1}\n{"key": "zarr.json", "size": "1", "mtime_ns": null}\n',
        b"",
        None,
    ],
    ids=lambda content: repr(content)[:20],
)
def test_damaged_journal_is_discarded(tmp_path: Path, content: bytes | None) -> None:
    path, store = make(tmp_path / "j.ome.zarr", 1), tmp_path / "store"
    if content is None:
        journal_path(path).mkdir()
    else:
        journal_path(path).write_bytes(content)
    assert mirror(path, store.as_uri()).uploaded_files > 4
    mirror(path, store.as_uri())
    assert values(store) == values(path)


def test_members_of_a_damaged_journal_have_their_types(tmp_path: Path) -> None:
    path, store = make(tmp_path / "j.ome.zarr", 1), tmp_path / "store"
    count = mirror(path, store.as_uri()).files
    journal = journal_path(path)
    header, *lines = map(json.loads, journal.read_text().splitlines())
    damaged = [{**line, "size": str(line["size"])} for line in lines]
    journal.write_text("".join(f"{json.dumps(line)}\n" for line in (header, *damaged)))
    assert mirror(path, store.as_uri()).uploaded_files == count


def test_files_with_future_times_are_sent(tmp_path: Path) -> None:
    path, store = make(tmp_path / "a.ome.zarr", 1), tmp_path / "store"
    future = time.time() + 86_400
    for file in path.rglob("*"):
        os.utime(file, (future, future))
    mirror(path, store.as_uri())
    assert values(store) == values(path)


@pytest.mark.skipif(
    os.name == "nt" or os.getuid() == 0,
    reason="folders without write permission: not for Windows and root",
)
def test_dataset_in_a_read_only_folder_is_uploaded(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    path, store = make(tmp_path / "folder" / "a.ome.zarr", 1), tmp_path / "store"
    (tmp_path / "folder").chmod(0o555)
    try:
        mirror(path, store.as_uri())
        assert mirror(path, store.as_uri()).status == "complete"
    finally:
        (tmp_path / "folder").chmod(0o755)
    assert values(store) == values(path)


def test_checksum_of_parts_is_the_etag_of_s3(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No object is read back from a store whose ETags prove the content, also if files are sent in parts."""
    monkeypatch.setattr(checksums, "SINGLE_REQUEST_BYTES", 2**20)
    monkeypatch.setattr(checksums, "_MIN_PART_BYTES", 5 * 2**20)
    path = make(tmp_path / "a.ome.zarr", 1)
    noise = np.random.default_rng(0).integers(0, 255, 12 * 2**20, "uint8")
    (path / "large.bin").write_bytes(noise.tobytes())
    (path / "exact.bin").write_bytes(noise[: 10 * 2**20].tobytes())
    with caplog.at_level(logging.INFO, "werkzeug"):
        mirror(path, f"{s3}/parts/a.ome.zarr", delete=True)
    read = [line for line in caplog.messages if '"GET /bucket/parts' in line]
    assert all("upload.json" in line for line in read)
    assert not path.exists()


def test_object_that_a_store_drops_or_cuts_is_an_error(tmp_path: Path) -> None:
    """The URL is a WebDAV server that answers 201 and loses one chunk each time."""
    from support.web_server import LosingHandler, serve

    path = make(tmp_path / "a.ome.zarr", 1)
    (tmp_path / "www").mkdir()
    missing = r"1 of 6 objects .* differ .*0/c/2/0/0: missing"
    with (
        serve(tmp_path / "www", LosingHandler) as server,
        pytest.raises(UploadError, match=missing),
    ):
        mirror(path, f"{server.url}/a.ome.zarr", delete=True, interval=0)
    assert path.exists()


_SLOW_CLOSE = """
import faulthandler, signal, sys, numpy as np
from ome_writers import create_stream, dims_from_standard_axes
stream = create_stream(root_path=sys.argv[1], dimensions=dims_from_standard_axes({"t": 4, "y": 8, "x": 8}),
                       dtype="uint16", mirror=sys.argv[2])
for t in range(4):
    stream.append(np.full((8, 8), t, "uint16"))
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background processes ignore SIGINT
faulthandler.dump_traceback_later(280, exit=True)  # shows where it hangs
print("closing", flush=True)
stream.close()
"""


@pytest.mark.skipif(
    os.name == "nt", reason="sends SIGINT to a process, which Windows does not have"
)
def test_ctrl_c_ends_the_wait_for_a_slow_store(tmp_path: Path) -> None:
    from support.web_server import StalledHandler, serve

    path = tmp_path / "a.ome.zarr"
    (tmp_path / "www").mkdir()
    with serve(tmp_path / "www", StalledHandler) as server:
        command = [sys.executable, "-c", _SLOW_CLOSE, str(path), f"{server.url}/a.ome.zarr"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        wait_until(lambda: any(line.startswith("stalled") for line in server.requests))
        wait_until(lambda: ome_writers.read(path).status == "complete")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=300)
    assert b"KeyboardInterrupt" in errors
    assert values(path) == [0, 1, 2, 3]
    assert ome_writers.read(path).status == "complete"
