"""`mirror`: the copy in the store equals the dataset, also after interruptions and while it is written."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import ome_writers
from ome_writers import (
    AcquisitionSettings,
    Dimension,
    SettingsError,
    UnsupportedError,
    UploadError,
    create_stream,
    dims_from_standard_axes,
    mirror,
)
from ome_writers_tools.cli import main
from ome_writers_tools.mirroring.upload_journal import journal_path
from support.acquisitions import LAYOUTS, acquisition
from support.interrupted import write_and_kill
from support.links import KINDS, create_link
from support.preloaded import run_python
from support.waiting import WAIT_S

if TYPE_CHECKING:
    from collections.abc import Callable

obstore = pytest.importorskip("obstore", reason="obstore is not installed")


def settings(path: Path, **fields: Any) -> AcquisitionSettings:
    dimensions = [
        Dimension(name="t", count=None, type="time", chunk_size=1, shard_size_chunks=8),
        Dimension(name="y", count=32),
        Dimension(name="x", count=32),
    ]
    return AcquisitionSettings(
        root_path=path, dimensions=dimensions, dtype="uint16", flush_interval=0.1, **fields
    )


def write(path: Path, frames: int = 20) -> Path:
    with create_stream(settings(path)) as stream:
        for t in range(frames):
            stream.append(np.full((32, 32), t, "uint16"), frame_metadata={"t": t})
    return Path(stream.settings.output_path)


def files(folder: Path) -> dict[str, bytes]:
    """Return the files of a dataset or its copy by key, without the claim."""
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and not p.name.endswith(".ome-writers.upload.json")
    }


@pytest.mark.parametrize("layout", LAYOUTS)
def test_copy_equals_the_dataset(layout: str, tmp_path: Path) -> None:
    with create_stream(acquisition(layout, tmp_path / "a.ome.zarr")) as stream:
        while True:
            try:
                stream.append(np.ones(stream.plan.images[0].frame_shape, "uint16"))
            except IndexError:
                break
    result = mirror(tmp_path / "a.ome.zarr", (tmp_path / "store").as_uri())
    assert files(tmp_path / "store") == files(tmp_path / "a.ome.zarr")
    assert (result.files, result.uploaded_files, result.status) == (
        len(files(tmp_path / "store")),
        result.files,
        "complete",
    )


def test_second_upload_sends_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ome.zarr")
    mirror(path, (tmp_path / "store").as_uri())
    assert mirror(path, (tmp_path / "store").as_uri()).uploaded_files == 0
    assert mirror(path, (tmp_path / "other").as_uri()).uploaded_files == len(files(path))


def test_changed_and_removed_files_are_updated(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ome.zarr")
    (path / "notes.txt").write_text("first")
    mirror(path, (tmp_path / "store").as_uri())
    (path / "notes.txt").unlink()
    (path / "more.txt").write_text("second")
    assert mirror(path, (tmp_path / "store").as_uri()).uploaded_files == 1
    assert files(tmp_path / "store") == files(path)


def test_tiff_is_sent_when_it_is_closed(tmp_path: Path) -> None:
    with create_stream(settings(tmp_path / "a.ome.tiff")) as stream:
        stream.append(np.ones((32, 32), "uint16"))
        stream.flush()
        mirror(tmp_path / "a.ome.tiff", (tmp_path / "store").as_uri())
        assert files(tmp_path / "store") == {}
    mirror(tmp_path / "a.ome.tiff", (tmp_path / "store").as_uri())
    assert files(tmp_path / "store") == {"a.ome.tiff": (tmp_path / "a.ome.tiff").read_bytes()}


def test_remote_reader_sees_reported_frames_while_following(tmp_path: Path) -> None:
    """At any time, the frames that the copy reports are in the copy."""
    path, store = tmp_path / "a.ome.zarr", tmp_path / "store"
    results = []
    with create_stream(settings(path)) as stream:
        stream.append(np.full((32, 32), 0, "uint16"))
        stream.flush()
        thread = threading.Thread(
            target=lambda: results.append(mirror(path, store.as_uri(), follow=True, interval=0.2))
        )
        thread.start()
        seen = []
        for t in range(1, 10_000):
            stream.append(np.full((32, 32), t, "uint16"))
            time.sleep(0.05)
            if t > 60 and max(seen, default=0) > 5:  # a busy machine needs more frames
                break
            if t % 10 == 0 and (store / "zarr.json").exists():
                written = ome_writers.read(store).frames_written or 0
                frames = np.asarray(ome_writers.open(store))
                assert (frames[:written, 0, 0] == np.arange(written)).all()
                seen.append(written)
    thread.join(WAIT_S)
    assert results[0].status == "complete"
    assert files(store) == files(path)
    assert max(seen) > 5


_KILLED_UPLOAD = """
import os, signal, sys, ome_writers

def kill(sent, total):
    if sent == 5:
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))

ome_writers.mirror(sys.argv[1], sys.argv[2], workers=1, on_file=kill)
"""


def test_killed_upload_continues(tmp_path: Path) -> None:
    """The journal lists what is in the store; a second process sends the remaining files only."""
    path = write(tmp_path / "a.ome.zarr", frames=400)
    url = (tmp_path / "store").as_uri()
    run_python(["-c", _KILLED_UPLOAD, str(path), url])
    assert len(files(tmp_path / "store")) >= 5
    sent = len(journal_path(path).read_bytes().splitlines()) - 1
    result = mirror(path, url)
    assert 0 < result.uploaded_files <= result.files - sent + 1
    assert files(tmp_path / "store") == files(path)


def test_delete_removes_the_dataset_after_comparison(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ome.zarr")
    content = files(path)
    mirror(path, (tmp_path / "store").as_uri(), delete=True)
    assert [p.name for p in tmp_path.iterdir()] == ["store"]
    assert files(tmp_path / "store") == content


def test_delete_waits_until_readers_have_closed_the_files(tmp_path: Path) -> None:
    """On Windows. Other platforms remove open files."""
    path = write(tmp_path / "a.ome.zarr")
    mirror(path, (tmp_path / "store").as_uri())
    with (path / "0" / "zarr.json").open("rb") as reader:
        closing = threading.Timer(0.5, reader.close)
        closing.start()
        mirror(path, (tmp_path / "store").as_uri(), delete=True)
        closing.join()


def test_delete_keeps_the_entry_file_of_a_set(tmp_path: Path) -> None:
    """It is beside the folder that was copied: its content was not verified."""
    with create_stream(acquisition("collection", tmp_path / "a.ome.tiff")) as stream:
        for _ in range(12):
            stream.append(np.ones((4, 6), "uint16"))
    entry = (tmp_path / "a.ome.tiff").read_bytes()
    mirror(tmp_path / "a.ome.tiff", (tmp_path / "store").as_uri(), delete=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.ome.tiff", "store"]
    assert (tmp_path / "a.ome.tiff").read_bytes() == entry


def test_damaged_objects_are_sent_again(tmp_path: Path) -> None:
    path, store = write(tmp_path / "a.ome.zarr"), tmp_path / "store"
    content = files(path)
    mirror(path, store.as_uri())
    shard = next(p for p in (store / "0" / "c").rglob("*") if p.is_file())
    shard.write_bytes(shard.read_bytes()[:-1])
    (store / "0" / "zarr.json").write_bytes(b"x" * len(content["0/zarr.json"]))
    assert mirror(path, store.as_uri(), delete=True).uploaded_files == 2
    assert files(store) == content
    assert not path.exists()


def test_bandwidth_is_limited(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ome.zarr")
    result = mirror(path, (tmp_path / "store").as_uri(), bytes_per_second=50_000)
    assert result.bytes / result.seconds < 60_000


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            lambda p, u: (p, u.replace("file://", "s3://key:secret@")),
            UnsupportedError,
            "contains credentials",
        ),
        (lambda p, u: (p / "none", u), FileNotFoundError, "none"),
        (lambda p, _: (p, p.as_uri()), SettingsError, "Choose another URL"),
        (lambda p, _: (p, (p / "copy").as_uri()), SettingsError, "Choose another URL"),
        (lambda p, _: (p, p.parent.as_uri()), SettingsError, "Choose another URL"),
        (lambda p, u: (p.parent, u), UnsupportedError, "neither an OME-Zarr nor"),
    ],
)
def test_invalid_arguments_raise(
    change: Callable[[Path, str], tuple[Path, str]],
    error: type[Exception],
    message: str,
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "a.ome.zarr")
    with pytest.raises(error, match=message) as raised:
        mirror(*change(path, (tmp_path / "store").as_uri()))
    assert "secret" not in str(raised.value)
    assert [p.name for p in tmp_path.iterdir()] == ["a.ome.zarr"]
    assert not (path / "copy").exists()


def test_stream_refuses_its_own_folder_as_mirror(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    with pytest.raises(SettingsError, match="Choose another URL"):
        create_stream(settings(path, mirror=path.as_uri()))
    assert not path.exists()


def test_hidden_files_are_part_of_the_dataset(repository: Path, tmp_path: Path) -> None:
    source = repository / "tests/data/ngff-zarr-0.50-v0.4.ome.zarr"
    path = shutil.copytree(source, tmp_path / "a.ome.zarr")  # .zgroup, .zattrs and .zarray
    (path / ".notes").write_text("kept")
    content = files(path)
    mirror(path, (tmp_path / "store").as_uri(), delete=True)
    assert files(tmp_path / "store") == content
    assert not path.exists()


@pytest.mark.parametrize("kind", KINDS)
def test_dataset_with_links_is_refused(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "a.ome.zarr")
    (path / "0" / "c").rename(path / "0" / "chunks")
    create_link(path / "0" / "c", path / "0" / "chunks", "refusal to mirror links", kind)
    with pytest.raises(UnsupportedError, match="c is a link"):
        mirror(path, (tmp_path / "store").as_uri(), delete=True)
    assert (path / "zarr.json").is_file()


def test_upload_of_a_killed_acquisition_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The frames on disk are sent; the exit code of ``--follow`` says that the dataset is not complete."""
    path = tmp_path / "a.ome.zarr"
    write_and_kill(
        AcquisitionSettings(
            root_path=path,
            dimensions=dims_from_standard_axes({"t": 5, "y": 4, "x": 6}),
            dtype="uint16",
        ),
        flushed=2,
        appended=2,
    )
    assert main(["upload", str(path), (tmp_path / "store").as_uri(), "--follow"]) == 1
    assert "its writer ended without closing it" in capsys.readouterr().err
    assert (tmp_path / "store" / "zarr.json").is_file()


def test_command_upload(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.ome.zarr")
    assert main(["upload", str(path), (tmp_path / "store").as_uri()]) == 0
    assert "complete" in capsys.readouterr().out
    assert files(tmp_path / "store") == files(path)


def test_s3(s3_options: dict[str, Any], tmp_path: Path) -> None:
    path = write(tmp_path / "a.ome.zarr")
    result = mirror(path, "s3://bucket/runs/a.ome.zarr", storage_options=s3_options)
    assert result.uploaded_files == result.files
    store = obstore.store.from_url("s3://bucket/runs/a.ome.zarr", **s3_options)
    stored = {str(item["path"]) for batch in obstore.list(store) for item in batch}
    content = files(path)
    assert stored == {*content, ".ome-writers.upload.json"}
    assert all(bytes(obstore.get(store, key).bytes()) == data for key, data in content.items())
    assert "geheim" not in journal_path(path).read_text()
    with pytest.raises(UploadError, match=r"the upload to s3://none/x failed"):
        mirror(
            path,
            "s3://none/x",
            storage_options={**s3_options, "retry_config": {"max_retries": 0}},
            interval=0,
        )
