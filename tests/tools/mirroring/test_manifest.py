"""Checksums of datasets: any changed, missing or added file is found, also by ``sha256sum``."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from ome_writers import create_stream, dims_from_standard_axes
from ome_writers_tools.cli import main

NAMES = ("run.ome.zarr", "run.ome.tiff")


def _write(path: Path) -> None:
    dimensions = dims_from_standard_axes({"p": 2, "t": 2, "y": 16, "x": 16})
    with create_stream(root_path=path, dimensions=dimensions, dtype="uint16") as stream:
        for number in range(4):
            stream.append(np.full((16, 16), number, "uint16"))


@pytest.mark.parametrize("name", NAMES)
def test_flipped_byte_is_found_in_any_file(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    _write(path)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert main(["manifest", str(path)]) == 0
    assert main(["manifest", str(path), "--check"]) == 0
    for file in files:
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
        capsys.readouterr()
        assert main(["manifest", str(path), "--check"]) == 1
        key = file.relative_to(tmp_path).as_posix()
        assert f"{key}: content differs" in capsys.readouterr().out
        content[len(content) // 2] ^= 1
        file.write_bytes(content)


def test_missing_and_added_files_are_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.ome.zarr"
    _write(path)
    main(["manifest", str(path)])
    (path / "0" / "zarr.json").rename(path / "0" / "other.json")
    assert main(["manifest", str(path), "--check"]) == 1
    printed = capsys.readouterr().out
    assert "run.ome.zarr/0/zarr.json: missing" in printed
    assert "run.ome.zarr/0/other.json: not in the manifest" in printed


@pytest.mark.skipif(
    shutil.which("sha256sum") is None, reason="sha256sum accepts the manifest: it is not installed"
)
@pytest.mark.parametrize("name", NAMES)
def test_sha256sum_accepts_the_manifest(name: str, tmp_path: Path) -> None:
    _write(tmp_path / name)
    main(["manifest", str(tmp_path / name)])
    command = ["sha256sum", "--check", "--strict", f"{name}.sha256"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_existing_manifest_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "run.ome.zarr"
    _write(path)
    assert main(["manifest", str(path)]) == 0
    assert main(["manifest", str(path)]) == 1
    assert main(["manifest", str(path), "--overwrite"]) == 0


def test_missing_manifest_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.ome.zarr"
    _write(path)
    assert main(["manifest", str(path), "--check"]) == 1
    assert "run.ome.zarr.sha256 does not exist. Write it with" in capsys.readouterr().err
    monkeypatch.chdir(path)
    assert main(["manifest", "."]) == 0
    assert main(["manifest", str(path), "--check"]) == 0


def test_growing_dataset_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.ome.zarr"
    dimensions = dims_from_standard_axes({"t": 2, "y": 16, "x": 16})
    with create_stream(root_path=path, dimensions=dimensions, dtype="uint16") as stream:
        assert main(["manifest", str(path)]) == 1
        assert "is being written" in capsys.readouterr().err
        stream.skip(frames=2)


def test_file_list_has_a_row_per_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.ome.tiff"
    _write(path)
    assert main(["manifest", str(path), "--file-list"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header == "Files"
    assert rows == ["run.ome.tiff", "run/run_p000.ome.tiff", "run/run_p001.ome.tiff"]
