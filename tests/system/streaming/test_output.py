"""Claim of the output path, and replacement of existing datasets."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import ome_writers as ow
from ome_writers import AcquisitionSettings, create_stream, dims_from_standard_axes
from ome_writers.formats import lay_out
from ome_writers.routing import resolve
from ome_writers.streaming.output_claim import OutputClaim
from support.links import KINDS, create_link
from support.preloaded import run_python
from support.waiting import WAIT_S

DEAD = 2**22 + 12345  # above the largest process number of any Linux
DIMENSIONS = dims_from_standard_axes({"t": 2, "y": 4, "x": 4})


def settings(path: Path, *, overwrite: bool = False, **more: object) -> AcquisitionSettings:
    """Return settings for two tiny frames."""
    return AcquisitionSettings(
        root_path=path, dimensions=DIMENSIONS, dtype="uint8", overwrite=overwrite, **more
    )


def write(path: Path, value: int, *, overwrite: bool = False) -> None:
    """Write a dataset whose pixels all have one value."""
    with create_stream(settings(path, overwrite=overwrite)) as stream:
        for _ in range(2):
            stream.append(np.full((4, 4), value, "uint8"))


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def test_existing_output_raises_and_is_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "x.ome.zarr"
    write(path, 1)
    before = contents(tmp_path)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        create_stream(settings(path))
    assert contents(tmp_path) == before


def test_overwrite_replaces_own_dataset(tmp_path: Path) -> None:
    path = tmp_path / "x.ome.zarr"
    write(path, 1)
    write(path, 2, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["x.ome.zarr"]
    assert (path / "0" / "c" / "1" / "0" / "0").read_bytes() == bytes([2]) * 16


@pytest.mark.parametrize("kind", ["folder", "file", *KINDS])
def test_overwrite_refuses_foreign_files_and_links(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.ome.zarr"
    if kind == "folder":
        path.mkdir()
        (path / "thesis.txt").write_text("precious")
    elif kind == "file":
        path.write_text("precious")
    else:
        write(tmp_path / "real.ome.zarr", 1)
        create_link(path, tmp_path / "real.ome.zarr", "overwrite=True on a link", kind)
    before = contents(tmp_path)
    with pytest.raises(FileExistsError, match="not a dataset that this library wrote"):
        create_stream(settings(path, overwrite=True))
    assert contents(tmp_path) == before


@pytest.mark.thread_writer  # the lock names this process
@pytest.mark.parametrize("overwrite", [False, True])
def test_second_stream_on_same_path_raises(tmp_path: Path, overwrite: bool) -> None:
    path = tmp_path / "x.ome.zarr"
    with create_stream(settings(path)) as stream:
        with pytest.raises(ow.OutputLockedError, match=f"process {os.getpid()}"):
            create_stream(settings(path, overwrite=overwrite))
        stream.append(np.ones((4, 4), "uint8"))
        stream.append(np.ones((4, 4), "uint8"))
    assert not [p for p in path.iterdir() if "lock" in p.name]


def test_stale_lock_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "x.ome.zarr"
    write(path, 1)
    owner = {"pid": DEAD, "host": socket.gethostname()}
    (path / ".ome-writers.lock").write_text(json.dumps(owner))
    write(path, 2, overwrite=True)
    assert (path / "0" / "c" / "0" / "0" / "0").read_bytes() == bytes([2]) * 16


@pytest.mark.parametrize("reached", ["the lock", "its name", "the first array"])
def test_overwrite_replaces_folder_of_killed_start(tmp_path: Path, reached: str) -> None:
    path = tmp_path / "x.ome.zarr"
    path.mkdir()
    owner = json.dumps({"pid": DEAD, "host": socket.gethostname()})
    name = f".ome-writers.lock.{DEAD}-1.tmp" if reached == "the lock" else ".ome-writers.lock"
    (path / name).write_text(owner)
    if reached == "the first array":
        (path / "0").mkdir()
        (path / "0" / "zarr.json").write_text('{"zarr_format"')
    with pytest.raises(FileExistsError, match="overwrite=True"):
        create_stream(settings(path))
    write(path, 2, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["x.ome.zarr"]
    assert not [p for p in path.iterdir() if "lock" in p.name]


def test_overwrite_replaces_empty_file_of_killed_start(tmp_path: Path) -> None:
    """Only together with its lock file."""
    pytest.importorskip("tifffile")
    path = tmp_path / "x.ome.tiff"
    path.touch()
    with pytest.raises(FileExistsError, match="not a dataset that this library wrote"):
        create_stream(settings(path, overwrite=True))
    owner = {"pid": DEAD, "host": socket.gethostname()}
    (tmp_path / ".x.ome.tiff.lock").write_text(json.dumps(owner))
    write(path, 2, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["x.ome.tiff"]


@pytest.mark.skipif(
    os.name == "nt", reason="creation on a full disk: Windows has no limit of file sizes"
)
@pytest.mark.parametrize("suffix", [".ome.zarr", ".ome.tiff"])
def test_full_disk_at_creation_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    if suffix == ".ome.tiff":
        pytest.importorskip("tifffile")
    script = """
import resource, sys
from ome_writers import AcquisitionSettings, WriteError, create_stream, dims_from_standard_axes
dimensions = dims_from_standard_axes({"t": 2, "y": 4, "x": 4})
settings = AcquisitionSettings(root_path=sys.argv[1], dimensions=dimensions, dtype="uint8")
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
try:
    create_stream(settings)
except WriteError as error:
    sys.exit(3)
"""
    path = str(tmp_path / f"x{suffix}")
    process = run_python(["-c", script, path])
    assert process.returncode == 3, process.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(
    os.name == "nt" or os.geteuid() == 0,
    reason="overwrite in a folder without list permission: root may list it, and Windows has no such mode",
)
def test_overwrite_in_folder_without_list_permission(tmp_path: Path) -> None:
    above = tmp_path / "above"
    above.mkdir()
    write(above / "x.ome.zarr", 1)
    above.chmod(0o300)
    try:
        write(above / "x.ome.zarr", 2, overwrite=True)
    finally:
        above.chmod(0o700)
    assert [p.name for p in above.iterdir()] == ["x.ome.zarr"]


def test_failed_rollback_logs_and_raises_original_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "x.ome.zarr"
    write(path, 1)
    output = OutputClaim(lay_out(resolve(settings(path)))[1], overwrite=True)
    (aside,) = tmp_path.glob(".x.ome.zarr.replaced-*")
    aside.rename(tmp_path / "elsewhere")  # as a user might
    output.rollback()
    assert f"It is at {aside}" in caplog.text
    assert [p.name for p in tmp_path.iterdir()] == ["elsewhere"]


def test_overwrite_refuses_foreign_files_in_killed_start(tmp_path: Path) -> None:
    pytest.importorskip("tifffile")
    wanted = settings(tmp_path / "x.ome.tiff", overwrite=True)
    wanted.dimensions = dims_from_standard_axes({"p": 2, "t": 1, "y": 4, "x": 4})
    owner = json.dumps({"pid": DEAD, "host": socket.gethostname()})
    (tmp_path / "x").mkdir()
    for name in (".ome-writers.lock", "x.companion.ome", "x_p000.ome.tiff"):
        (tmp_path / "x" / name).write_text("" if name.endswith(".tiff") else owner)
    (tmp_path / "x" / "thesis.txt").write_text("precious")
    before = contents(tmp_path)
    with pytest.raises(FileExistsError, match=r"not part of the dataset.*'thesis\.txt'"):
        create_stream(wanted)
    assert contents(tmp_path) == before
    (tmp_path / "x" / "thesis.txt").unlink()
    create_stream(wanted).close()
    assert ow.validate(wanted.output_path).valid


def test_failed_start_restores_replaced_dataset(tmp_path: Path) -> None:
    path = tmp_path / "x.ome.zarr"
    write(path, 1)
    before = contents(tmp_path)
    with pytest.raises(NotImplementedError, match="does not support settings"):
        create_stream(
            settings(
                path, overwrite=True, format="direct", compression="none", schedule=None
            ).model_copy(update={"compression": "lzw"})
        )
    assert contents(tmp_path) == before


def test_incomplete_settings_raise(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="settings.dimensions must be set before creating a stream"
    ):
        create_stream(AcquisitionSettings(root_path=tmp_path / "x.ome.zarr", dtype="uint8"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".ome.zarr", ".ome.tiff"])
def test_concurrent_streams_on_same_path(tmp_path: Path, suffix: str) -> None:
    if suffix == ".ome.tiff":
        pytest.importorskip("tifffile", reason="the engine of OME-TIFF asks for it")
    for number in range(30):
        path = tmp_path / f"{number}{suffix}"
        together = threading.Barrier(3)
        begun: list[ow.OMEStream] = []
        refused: list[Exception] = []

        def begin(path: Path = path, together: threading.Barrier = together) -> None:
            asked = settings(path)
            together.wait(WAIT_S)
            try:
                begun.append(create_stream(asked))  # noqa: B023  # the threads end in this round
            except FileExistsError as error:
                refused.append(error)  # noqa: B023  # see above

        threads = [threading.Thread(target=begin) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_S)
        assert (len(begun), len(refused)) == (1, 2)
        for _ in range(2):
            begun[0].append(np.ones((4, 4), "uint8"))
        begun[0].close()
        assert ow.open(path)[...].all()
    assert len(list(tmp_path.iterdir())) == 30


def ngff(**more: object) -> str:
    """Return the zarr.json of an OME-Zarr image without any information about its writer."""
    multiscale = {"axes": [], "datasets": [{"path": "0"}], **more}
    attributes = {"ome": {"version": "0.5", "multiscales": [multiscale]}}
    return json.dumps({"zarr_format": 3, "node_type": "group", "attributes": attributes})


@pytest.mark.parametrize("other", ["image", "collection", "plate"])
def test_overwrite_refuses_foreign_ome_zarr(tmp_path: Path, other: str) -> None:
    path = tmp_path / "x.ome.zarr"
    path.mkdir()
    ome: dict[str, object] = {"version": "0.5", "bioformats2raw.layout": 3}
    if other == "image":
        (path / "zarr.json").write_text(ngff(name="theirs"))
    else:
        if other == "plate":
            ome = {"version": "0.5", "plate": {"wells": []}}
        document = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}
        (path / "zarr.json").write_text(json.dumps(document))
    with pytest.raises(FileExistsError, match="not a dataset that this library wrote"):
        create_stream(settings(path, overwrite=True))
    assert (path / "zarr.json").is_file()


@pytest.mark.skipif(
    os.name == "nt" or sys.platform == "darwin",
    reason="paths that are not Unicode: Windows and macOS have none",
)
def test_root_path_that_is_not_utf8(tmp_path: Path) -> None:
    for name in (b"caf\xe9.ome.zarr", b"caf\xe9.ome.tiff"):
        path = tmp_path / os.fsdecode(name)
        if path.suffix == ".tiff":
            pytest.importorskip("tifffile", reason="the engine of OME-TIFF asks for it")
        axes = dims_from_standard_axes({"p": 2, "y": 4, "x": 4})
        asked = AcquisitionSettings(root_path=path, dimensions=axes, dtype="uint8")
        with create_stream(asked) as stream:
            for value in (1, 2):
                stream.append(np.full((4, 4), value, "uint8"))
        assert ow.open(asked.output_path)[:, 0, 0].tolist() == [1, 2]


@pytest.mark.skipif(
    os.name == "nt",
    reason="control characters in file names of OME-XML: Windows refuses such names",
)
def test_file_names_in_ome_xml_are_valid_xml(tmp_path: Path) -> None:
    pytest.importorskip("tifffile", reason="the engine of OME-TIFF asks for it")
    axes = dims_from_standard_axes({"p": 2, "y": 4, "x": 4})
    asked = AcquisitionSettings(
        root_path=tmp_path / "a\tb\x01.ome.tiff", dimensions=axes, dtype="uint8"
    )
    with create_stream(asked) as stream:
        for value in (1, 2):
            stream.append(np.full((4, 4), value, "uint8"))
    assert ow.validate(asked.output_path).valid
    assert ow.open(asked.output_path)[:, 0, 0].tolist() == [1, 2]


@pytest.mark.skipif(
    os.name == "nt",
    reason="a replaced dataset that cannot be removed: Windows does not move it aside either",
)
def test_replaced_dataset_that_cannot_be_removed_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "x.ome.zarr"
    write(path, 1)
    file = next(p for p in path.rglob("*") if p.parent != path and p.is_file())
    root = os.geteuid() == 0
    if root and not immovable(file):
        pytest.skip("root may remove everything on this file system")
    mode = file.parent.stat().st_mode
    if not root:
        file.parent.chmod(0o500)
    try:
        write(path, 2, overwrite=True)
        aside = next(tmp_path.glob(".x.ome.zarr.replaced-*"))
        assert f"Remove {aside} yourself." in caplog.text
        assert (ow.open(path)[...] == 2).all()
    finally:
        for old in tmp_path.rglob(file.name):
            if root:
                subprocess.run(["chattr", "-i", old], check=False, capture_output=True)
            else:
                old.parent.chmod(mode)


def immovable(file: Path) -> bool:
    """Keep even root from removing a file; return whether that was possible."""
    if shutil.which("chattr") is None:
        return False
    return subprocess.run(["chattr", "+i", file], check=False, capture_output=True).returncode == 0
