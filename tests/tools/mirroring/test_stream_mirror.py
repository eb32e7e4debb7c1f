"""Setting `mirror`: the dataset of a stream is uploaded while it is written, and `append` never waits for that."""

from __future__ import annotations

import logging
import os
import socket
import time
from itertools import islice
from pathlib import Path
from typing import Any

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
    mirror,
)
from ome_writers.object_store import local_folder
from ome_writers_tools.mirroring.upload_journal import journal_path
from support.waiting import wait_until

pytest.importorskip("obstore", reason="obstore is not installed")


def settings(path: Path, url: str, frames: int | None = None, **fields: Any) -> AcquisitionSettings:
    dimensions = [
        Dimension(name="t", count=frames, type="time", chunk_size=1, shard_size_chunks=8),
        Dimension(name="y", count=32),
        Dimension(name="x", count=32),
    ]
    fields = {"dtype": "uint16", "flush_interval": 0.1, **fields}
    return AcquisitionSettings(root_path=path, dimensions=dimensions, mirror=url, **fields)


def frame(value: int, dtype: str = "uint16") -> Any:
    return np.full((32, 32), value, dtype)


def files(folder: Path) -> dict[str, bytes]:
    """Return the files of a dataset or its copy by key, without the claim."""
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and not p.name.endswith(".ome-writers.upload.json")
    }


@pytest.mark.parametrize("name", ["a.ome.zarr", "a.ome.tiff"])
def test_copy_equals_the_dataset_after_close(name: str, tmp_path: Path) -> None:
    path, store = tmp_path / name, tmp_path / "store"
    with create_stream(settings(path, store.as_uri(), frames=20)) as stream:
        for t in range(20):
            stream.append(frame(t), frame_metadata={"t": t})
    assert files(store) == (files(path) if path.is_dir() else {name: path.read_bytes()})
    stats = stream.stats()
    assert stats.files_mirrored >= len(files(store))
    assert stats.bytes_mirrored >= sum(map(len, files(store).values()))


def test_frames_are_in_the_copy_before_close(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with create_stream(settings(tmp_path / "a.ome.zarr", store.as_uri())) as stream:
        for t in range(20):
            stream.append(frame(t))
        stream.flush()
        wait_until(lambda: (store / "zarr.json").exists())
        wait_until(lambda: (ome_writers.read(store).frames_written or 0) >= 20)
        assert (np.asarray(ome_writers.open(store))[:, 0, 0] == np.arange(20)).all()


def test_copy_is_complete_if_the_clock_is_set_back_meanwhile(tmp_path: Path) -> None:
    """The files that were written before then have later times than those that are written afterwards."""
    path, store = tmp_path / "a.ome.zarr", tmp_path / "store"
    numbers = iter(range(24))
    with create_stream(settings(path, store.as_uri())) as stream:
        for hours in (2, 1):
            for number in islice(numbers, 11):
                stream.append(frame(number))
            stream.flush()
            later = time.time() + 3600 * hours
            for file in path.rglob("*"):
                os.utime(file, (later, later))
            stream.append(frame(number := next(numbers)))
            wait_until((store / "zarr.json").exists)
            wait_until(lambda n=number: (ome_writers.read(store).frames_written or 0) > n)
    assert files(store) == files(path)
    assert (np.asarray(ome_writers.open(store))[:, 0, 0] == np.arange(24)).all()


def test_url_is_not_stored_in_the_dataset(tmp_path: Path) -> None:
    for name in ("a.ome.zarr", "b.ome.tiff"):
        url = (tmp_path / "the-store" / name).as_uri()
        with create_stream(settings(tmp_path / name, url, frames=1)) as stream:
            stream.append(frame(1))
        path = tmp_path / name
        stored = path.read_bytes() if path.is_file() else b"".join(files(path).values())
        assert b"the-store" not in stored
        found = ome_writers.read(path).settings
        assert found is not None
        assert found.mirror is None


@pytest.mark.parametrize(
    "url",
    ["s3://KEYID:geheim-123@bucket/a", "https://account/a?sig=geheim-123", "s3://b/a#geheim-123"],
)
def test_credentials_in_the_url_are_refused_and_not_printed(url: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="contains credentials") as raised:
        settings(tmp_path / "a.ome.zarr", url)
    assert "geheim" not in str(raised.value)


def test_invalid_url_is_refused(tmp_path: Path) -> None:
    for url in ("bucket/run", "ftp://host/run", "s3:///run"):
        with pytest.raises(ValueError, match="is not the URL of an object store"):
            settings(tmp_path / "a.ome.zarr", url)
    with pytest.raises(SettingsError, match="cannot be mirrored"):
        create_stream(settings(tmp_path / "x", "s3://bucket/run", format="scratch"))


@pytest.mark.skipif(os.name != "nt", reason="drives and network shares in paths: only on Windows")
def test_file_url_of_a_network_share() -> None:
    for path in (r"\\server\share\my runs", r"D:\runs"):
        assert local_folder(Path(path).as_uri()) == Path(path)


def test_path_of_a_folder_is_a_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    stores = [str(tmp_path / "my share"), tmp_path / "b", "./c", "d"]
    for number, store in enumerate(stores[:3]):
        path = tmp_path / f"{number}.ome.zarr"
        with create_stream(settings(path, store, frames=1)) as stream:  # type: ignore[arg-type] # tests paths
            stream.append(frame(1))
        assert files(tmp_path / store) == files(path)
        mirror(path, store)
    with pytest.raises(SettingsError, match="nor the absolute path of a folder"):
        mirror(tmp_path / "0.ome.zarr", stores[3])


def test_url_as_root_path_is_refused_with_the_setting_to_use() -> None:
    with pytest.raises(ValueError, match="mirror='s3://bucket/run.ome.zarr'"):
        AcquisitionSettings(root_path="s3://bucket/run.ome.zarr")


def test_unreachable_store_fails_at_close_and_upload_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The dataset on this disk is complete; no error contains credentials."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{unused.getsockname()[1]}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAGEHEIM")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "geheim-123")
    path = tmp_path / "a.ome.zarr"
    stream = create_stream(settings(path, "s3://bucket/a.ome.zarr"))
    with caplog.at_level(logging.WARNING, "ome_writers"):
        for t in range(20):
            stream.append(frame(t))
        wait_until(lambda: "could not be" in caplog.text or "failed" in caplog.text)
        stream.append(frame(20))
        with pytest.raises(UploadError, match="not affected") as raised:
            stream.close()
    assert ome_writers.read(path).status == "complete"
    assert (np.asarray(ome_writers.open(path))[:, 0, 0] == np.arange(21)).all()
    everything = f"{raised.value}{caplog.text}".encode()
    everything += b"".join(files(tmp_path).values())
    assert b"geheim" not in everything
    assert b"GEHEIM" not in everything
    mirror(path, (tmp_path / "store").as_uri())
    assert files(tmp_path / "store") == files(path)


def test_earlier_copy_is_not_replaced(tmp_path: Path) -> None:
    """Not even if its dataset was removed from this disk: the copy may be the only one."""
    path, store = tmp_path / "a.ome.zarr", tmp_path / "store"
    with create_stream(settings(path, store.as_uri(), frames=3)) as stream:
        for t in range(3):
            stream.append(frame(t))
    before = files(store)
    path.rename(tmp_path / "moved.ome.zarr")
    stream = create_stream(settings(path, store.as_uri(), frames=1))
    stream.append(frame(9))
    with pytest.raises(UploadError, match="nothing is uploaded"):
        stream.close()
    assert files(store) == before
    assert ome_writers.read(path).status == "complete"


def test_overwrite_replaces_the_copy(tmp_path: Path) -> None:
    path, store = tmp_path / "a.ome.zarr", tmp_path / "store"
    for frames in (30, 2):
        with create_stream(settings(path, store.as_uri(), frames=frames, overwrite=True)) as stream:
            for t in range(frames):
                stream.append(frame(t))
    assert files(store) == files(path)


def test_copy_follows_a_restart(tmp_path: Path) -> None:
    path, store = tmp_path / "a.ome.zarr", tmp_path / "store"
    with create_stream(settings(path, store.as_uri(), dtype="uint8")) as stream:
        stream.append(frame(1, "uint8"))
        stream.flush()
        wait_until(lambda: (store / "zarr.json").exists())
        stream.restart(settings(tmp_path / "b.ome.zarr", store.as_uri(), dtype="uint8"))
        stream.append(frame(2, "uint8"))
    assert files(store) == files(tmp_path / "b.ome.zarr")
    left = {p.name for p in tmp_path.iterdir()}
    assert left == {"store", "b.ome.zarr", journal_path(tmp_path / "b.ome.zarr").name}
