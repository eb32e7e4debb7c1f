"""Reading functions take the URL of an OME-Zarr, and return what they return for the same dataset on this disk."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ome_writers
from ome_writers import (
    Dimension,
    InvalidFileError,
    UnsupportedError,
    convert,
    convert_ngff_version,
    create_stream,
    mirror,
    read_frame_metadata,
    validate,
)
from ome_writers.repair import repair
from ome_writers_tools.cli import main
from support.acquisitions import LAYOUTS, write

obstore = pytest.importorskip("obstore", reason="obstore is not installed")


@pytest.fixture
def uploaded(tmp_path: Path, s3: str, request: pytest.FixtureRequest) -> tuple[Path, str]:
    """A dataset and the URL of its copy."""
    path = write(tmp_path / "a.ome.zarr")
    url = f"{s3}/{request.node.name}/a.ome.zarr"
    mirror(path, url)
    return path, url


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pixels_and_model_equal_those_on_disk(layout: str, tmp_path: Path, s3: str) -> None:
    path, url = write(tmp_path / "a.ome.zarr", layout), f"{s3}/{layout}/a.ome.zarr"
    mirror(path, url)
    local, remote = ome_writers.read(path), ome_writers.read(url)
    assert str(remote.path) == url
    assert replace(remote, path=local.path) == local
    view = ome_writers.open(url)
    assert view.dims == ome_writers.open(path).dims
    assert np.array_equal(np.asarray(view), np.asarray(ome_writers.open(path)))
    assert read_frame_metadata(url) == read_frame_metadata(path)


def test_view_is_pickled_as_its_url(uploaded: tuple[Path, str]) -> None:
    pickled = pickle.dumps(ome_writers.open(uploaded[1]))
    assert b"geheim" not in pickled
    assert np.array_equal(
        np.asarray(pickle.loads(pickled)), np.asarray(ome_writers.open(uploaded[0]))
    )


def test_open_view_reads_frames_that_arrive_later(
    tmp_path: Path, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those in a shard whose index was read before."""
    monkeypatch.setattr("ome_writers.untrusted.remote_store._STATUS_LIFETIME_S", 0.0)
    path, url = tmp_path / "a.ome.zarr", f"{s3}/growing/a.ome.zarr"
    dimensions = [
        Dimension(name="t", count=None, type="time", chunk_size=1, shard_size_chunks=50),
        Dimension(name="y", count=32),
        Dimension(name="x", count=32),
    ]
    with create_stream(root_path=path, dimensions=dimensions, dtype="uint16") as stream:
        view = None
        for t in range(3):
            stream.append(np.full((32, 32), t + 1, "uint16"))
            stream.flush()
            mirror(path, url)
            view = ome_writers.open(url) if view is None else view
            assert (np.asarray(view)[:, 0, 0] == np.arange(t + 1) + 1).all()
    assert view is not None
    assert view.shape == (3, 32, 32)


def test_commands_take_urls(
    uploaded: tuple[Path, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, url = uploaded
    for command in ("info", "validate"):
        printed = []
        for dataset in (str(path), url):
            assert main([command, dataset, "--json"]) == 0
            out = capsys.readouterr().out.replace(url, json.dumps(str(path))[1:-1])
            printed.append(json.loads(out))
        if command == "info":  # the claim of the copy is one more file
            assert printed[1].pop("files") == printed[0].pop("files") + 1
            assert printed[1].pop("bytes_on_disk") > printed[0].pop("bytes_on_disk")
        assert printed[0] == printed[1]
    monkeypatch.chdir(tmp_path)
    assert main(["preview", url]) == 0
    assert capsys.readouterr().out == "a.png\n"
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert main(["preview", url, "--output", "preview.png"]) == 0
    assert (tmp_path / "preview.png").read_bytes() == (tmp_path / "a.png").read_bytes()
    capsys.readouterr()
    assert main(["convert", url, str(tmp_path / "b.ome.tiff"), "--verify"]) == 0
    copied = np.asarray(ome_writers.open(tmp_path / "b.ome.tiff"))
    assert np.array_equal(copied, np.asarray(ome_writers.open(path)))


def test_validate_finds_a_damaged_object(uploaded: tuple[Path, str], s3: str) -> None:
    path, url = uploaded
    shard = next(p for p in path.rglob("c/**/*") if p.is_file()).relative_to(path).as_posix()
    obstore.put(obstore.store.from_url(url, client_options={"allow_http": True}), shard, b"damaged")
    findings = validate(url).findings
    assert f"{url}/{shard}" in map(str, (finding.path for finding in findings))


def test_single_file_archive(tmp_path: Path, s3: str) -> None:
    path = write(tmp_path / "a.ome.zarr")
    convert(path, tmp_path / "a.ozx")
    mirror(tmp_path / "a.ozx", f"{s3}/archives")
    url = f"{s3}/archives/a.ozx"
    assert np.array_equal(np.asarray(ome_writers.open(url)), np.asarray(ome_writers.open(path)))
    convert(url, tmp_path / "b.ome.zarr", verify=True)
    assert ome_writers.read(tmp_path / "b.ome.zarr").status == "complete"


def test_file_url_is_a_local_path(tmp_path: Path) -> None:
    path = write(tmp_path / "a b.ome.zarr")
    view = ome_writers.open(path.as_uri())
    assert np.array_equal(np.asarray(view), np.asarray(ome_writers.open(path)))
    assert main(["info", path.as_uri()]) == 0
    assert main(["edit", path.as_uri(), "--scale", "x=0.5"]) == 0
    assert ome_writers.read(path).images[0].levels[0].scale[-1] == 0.5


def test_what_cannot_be_read_is_refused(
    uploaded: tuple[Path, str], tmp_path: Path, s3: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path, url = uploaded
    with pytest.raises(FileNotFoundError, match="s3://bucket/none does not exist"):
        ome_writers.open(f"{s3}/none")
    convert(path, tmp_path / "a.ome.tiff")
    mirror(tmp_path / "a.ome.tiff", f"{s3}/tiff")
    for function in (ome_writers.open, ome_writers.read, validate):
        with pytest.raises(UnsupportedError, match="Copy it to this disk"):
            function(f"{s3}/tiff/a_p000.ome.tiff")
    changes: list[Any] = [repair, lambda p: convert_ngff_version(p, "0.6"), lambda p: mirror(p, s3)]
    for change in changes:
        with pytest.raises(UnsupportedError, match="remote datasets are only read"):
            change(url)
    for command in ("manifest", "edit --scale=x=1", "pyramid", "repair"):
        name, *options = command.split()
        assert main([name, url, *options]) == 1
        assert "remote datasets are only read" in capsys.readouterr().err
    with pytest.raises(UnsupportedError, match="contains credentials"):
        ome_writers.open("s3://key:geheim@bucket/a.ome.zarr")
    store = obstore.store.from_url(url, client_options={"allow_http": True})
    obstore.put(store, "zarr.json", b" " * (64 * 2**20 + 1))
    with pytest.raises(InvalidFileError, match="too large"):
        ome_writers.open(url)


def test_wrong_credentials_are_not_printed(
    uploaded: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("ome_writers.object_store._RETRY", {"max_retries": 0})
    with pytest.raises(OSError, match=r"cannot be read.*network") as raised:
        ome_writers.open(uploaded[1])
    assert "geheim" not in str(raised.value)
