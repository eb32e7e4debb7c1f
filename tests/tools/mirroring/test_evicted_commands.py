"""Every command on a partly evicted dataset works, or its error names what is where.

Datasets of the other format do not exist: `test_formats_and_backends_whose_files_change_are_refused`.
"""

from __future__ import annotations

import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import ome_writers
from ome_writers import AcquisitionSettings, Dimension, Mirror, create_stream, mirror
from ome_writers.repair import repair
from ome_writers_tools.cli import main
from ome_writers_tools.serving import DatasetServer
from support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

pytest.importorskip("obstore", reason="obstore is not installed")

FRAMES = np.random.default_rng(1).integers(1, 60_000, (12, 16, 16), dtype="uint16")
STORED = 11  # in three shards of five; the last one is not complete, and not evicted
MOVED = "0/c/0/0/0"


def settings(path: Path, share: Path, **fields: Any) -> AcquisitionSettings:
    return AcquisitionSettings(
        root_path=path,
        dimensions=[
            Dimension(name="t", count=12, type="time", chunk_size=1, shard_size_chunks=5),
            Dimension(name="y", count=16),
            Dimension(name="x", count=16),
        ],
        dtype="uint16",
        mirror=Mirror(str(share), evict=True),
        **fields,
    )


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Return a cancelled recording of 11 of 12 frames, of which the first 10 are at `tmp_path / "share"` only."""
    path = tmp_path / "a.ome.zarr"
    with create_stream(settings(path, tmp_path / "share")) as stream:
        for frame in FRAMES[:STORED]:
            stream.append(frame)
    kept = sorted(p.relative_to(path).as_posix() for p in path.rglob("0/c/*/0/0"))
    assert kept == ["0/c/2/0/0"]
    return path


def succeed(*command: object) -> None:
    assert main([str(part) for part in command]) == 0


def is_recorded(path: Path | str) -> bool:
    return bool((np.asarray(ome_writers.open(path)) == FRAMES[:STORED]).all())


def check_info(path: Path) -> None:
    succeed("info", path, "--json")


def check_open(path: Path) -> None:
    view = ome_writers.open(path)
    assert (np.asarray(view) == FRAMES[:STORED]).all()
    assert (np.asarray(view[3, 2:5, 1:4]) == FRAMES[3, 2:5, 1:4]).all()


def check_preview(path: Path) -> None:
    pytest.importorskip("PIL", reason="Pillow is not installed")
    succeed("preview", path, "-o", path.with_name("a.png"))


def check_watch(path: Path) -> None:
    succeed("watch", path, "--json")


def check_validate(path: Path) -> None:
    succeed("validate", path)


def check_repair(path: Path) -> None:
    assert not repair(path).findings
    assert is_recorded(path)


def check_convert_to_zarr(path: Path) -> None:
    succeed("convert", path, path.with_name("b.ome.zarr"), "--verify")
    assert is_recorded(path.with_name("b.ome.zarr"))


def check_convert_to_tiff(path: Path) -> None:
    pytest.importorskip("tifffile", reason="tifffile is not installed")
    succeed("convert", path, path.with_name("b.ome.tiff"), "--verify")
    assert is_recorded(path.with_name("b.ome.tiff"))


def check_process(path: Path) -> None:
    output = path.with_name("max.ome.zarr")
    succeed("process", path, output, "--maximum", "t")
    assert (np.asarray(ome_writers.open(output)).squeeze() == FRAMES[:STORED].max(axis=0)).all()


def check_pyramid(path: Path) -> None:
    """The new level is sent by the next upload."""
    succeed("pyramid", path, "--levels", "2")
    assert is_recorded(path)
    mirror(path, path.with_name("share"))
    assert len(ome_writers.read(path.with_name("share")).images[0].levels) == 3


def check_resume(path: Path) -> None:
    share = path.with_name("share")
    with create_stream(settings(path, share), resume=True) as stream:
        assert [index["t"] for index in stream.remaining()] == [11]
        stream.append(FRAMES[11])
    for copy in (path, share):
        assert (np.asarray(ome_writers.open(copy)) == FRAMES).all()


def check_labels(path: Path) -> None:
    ome_writers.add_labels(path, "cells", (FRAMES[:STORED] > 9).astype("uint8"))
    assert is_recorded(path)


def check_edit(path: Path) -> None:
    """The target has it after the next upload."""
    succeed("edit", path, "--description", "HeLa")
    assert is_recorded(path)
    mirror(path, path.with_name("share"))
    assert ome_writers.read(path.with_name("share")).description == "HeLa"


def check_crate(path: Path) -> None:
    succeed("crate", path, "--license", "CC-BY-4.0")


def check_upload(path: Path) -> None:
    """Nothing that was moved is sent again."""
    share = path.with_name("share")
    before = (share / MOVED).stat().st_mtime_ns
    succeed("upload", path, share)
    assert (share / MOVED).stat().st_mtime_ns == before
    succeed("upload", path, share, "--delete-after")
    assert not path.exists()
    assert is_recorded(share)


def check_serve(path: Path) -> None:
    with DatasetServer(path) as server:
        url = f"{server.data_url}/{MOVED}"
        with urllib.request.urlopen(url) as answer:
            whole = answer.read()
        assert whole == (path.with_name("share") / MOVED).read_bytes()
        part = urllib.request.Request(url, headers={"Range": "bytes=-16"})
        with urllib.request.urlopen(part) as answer:
            assert (answer.status, answer.read()) == (206, whole[-16:])


READING = [
    check_open,
    check_preview,
    check_validate,
    check_convert_to_zarr,
    check_convert_to_tiff,
    check_process,
    check_pyramid,
]
OTHERS = [
    check_info,
    check_watch,
    check_repair,
    check_resume,
    check_labels,
    check_edit,
    check_crate,
    check_upload,
    check_serve,
]


@pytest.mark.parametrize("check", READING + OTHERS)
def test_command_reads_through_to_the_target(dataset: Path, check: Callable[[Path], None]) -> None:
    check(dataset)


def commands(path: Path) -> dict[str, list[str]]:
    beside = str(path.with_name("b.ome.zarr"))
    return {
        "preview": [str(path), "-o", str(path.with_name("a.png"))],
        "validate": [str(path)],
        "convert": [str(path), beside],
        "process": [str(path), beside, "--maximum", "t"],
        "pyramid": [str(path), "--levels", "2"],
        "upload": [str(path), str(path.with_name("share"))],
    }


def contents(path: Path) -> dict[Path, bytes]:
    """Return the files of a dataset without those of an unfinished pyramid, which the next attempt replaces."""
    files = (p for p in path.rglob("*") if p.is_file())
    return {p: p.read_bytes() for p in files if ".ome-writers.pyramid" not in p.parts}


@pytest.mark.parametrize("command", commands(Path("a")))
def test_command_without_the_target_says_what_is_where(
    dataset: Path,
    command: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing of the dataset changes, no output stays, and it works when the target is back."""
    monkeypatch.setattr("ome_writers_tools.mirroring.uploader._MAX_ATTEMPTS", 1)
    share = dataset.with_name("share")
    share.rename(dataset.with_name("away"))
    before = contents(dataset)
    assert main([command, *commands(dataset)[command]]) == 1
    captured = capsys.readouterr()
    text = " ".join((captured.err + captured.out).split())
    assert share.as_uri() in text
    assert "was moved to" in text or "has vanished" in text
    assert contents(dataset) == before
    assert not dataset.with_name("b.ome.zarr").exists()
    if share.exists():
        shutil.rmtree(share)
    dataset.with_name("away").rename(share)
    assert is_recorded(dataset)


def test_info_without_the_target(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It does not need pixels: it shows how much is where."""
    shutil.rmtree(dataset.with_name("share"))
    succeed("info", dataset)
    text = " ".join(capsys.readouterr().out.split())
    assert f"in 2 files at {dataset.with_name('share').as_uri()}" in text
    assert "11 of 12" in text


def test_server_without_the_target(dataset: Path) -> None:
    """Its answer is not "not found": a viewer would show zeros."""
    shutil.rmtree(dataset.with_name("share"))
    with DatasetServer(dataset) as server:
        with pytest.raises(urllib.error.HTTPError) as raised:
            urllib.request.urlopen(f"{server.data_url}/{MOVED}")
        raised.value.close()
        assert raised.value.code == 503
        with urllib.request.urlopen(f"{server.data_url}/0/c/2/0/0") as answer:
            assert answer.read() == (dataset / "0/c/2/0/0").read_bytes()


def test_stream_view_reads_evicted_frames(tmp_path: Path) -> None:
    """And in another process's view, while the stream is open."""
    path = tmp_path / "a.ome.zarr"
    with create_stream(settings(path, tmp_path / "share", flush_interval=0.05)) as stream:
        for frame in FRAMES[:STORED]:
            stream.append(frame)
        moved = tmp_path / "share" / MOVED
        wait_until(lambda: moved.exists() and not (path / MOVED).exists())
        stream.flush()
        assert (np.asarray(stream.view()[:STORED]) == FRAMES[:STORED]).all()
        assert (np.asarray(ome_writers.open(path)[:10]) == FRAMES[:10]).all()
