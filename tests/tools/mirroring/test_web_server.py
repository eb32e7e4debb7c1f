"""An OME-Zarr on a web server, which usually does not list files: what does not need a list works, without delays."""

from __future__ import annotations

import json
import re
import shutil
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import ome_writers
from ome_writers import UnsupportedError, convert, validate
from ome_writers.formats import referenced_copy
from ome_writers.untrusted import path_or_url
from ome_writers_tools.cli import main
from support.acquisitions import LAYOUTS, write
from support.web_server import (
    HANDLERS_WITHOUT_LISTS,
    CountingHandler,
    DenyingHandler,
    PlainHandler,
    RangeHandler,
    WebDavHandler,
    WebServer,
    serve,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest.importorskip("obstore", reason="obstore is not installed")

LEFTOVERS = "left over by a writer"
without_lists = pytest.mark.parametrize("web", HANDLERS_WITHOUT_LISTS, indirect=True)


@pytest.fixture
def web(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[WebServer]:
    """A server of `tmp_path`."""
    with serve(tmp_path, getattr(request, "param", RangeHandler)) as server:
        yield server


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """Return the JSON that a successful command prints."""
    capsys.readouterr()
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert main([*arguments]) == 1
    return capsys.readouterr().err


def test_frames_equal_those_on_disk(tmp_path: Path, web: WebServer) -> None:
    path = write(tmp_path / "a b.ome.zarr")
    view = ome_writers.open(f"{web.url}/a%20b.ome.zarr")
    assert np.array_equal(np.asarray(view), np.asarray(ome_writers.open(path)))


def test_each_chunk_takes_two_requests(tmp_path: Path, web: WebServer) -> None:
    write(tmp_path / "a.ome.zarr", "single")
    view = ome_writers.open(f"{web.url}/a.ome.zarr")
    np.asarray(view[2, 1])
    chunk = "/a.ome.zarr/0/c/2/1/0/0"
    assert [each for each in web.requests if chunk in each] == [f"HEAD {chunk}", f"GET {chunk}"]


@pytest.mark.parametrize("web", [PlainHandler], indirect=True)
def test_without_range_requests_the_error_names_them(tmp_path: Path, web: WebServer) -> None:
    write(tmp_path / "a.ome.zarr")
    with pytest.raises(OSError, match=r"[^.]\.$") as raised:
        np.asarray(ome_writers.open(f"{web.url}/a.ome.zarr"))
    assert "Range request not supported" in str(raised.value)
    assert "Use a web server that supports range requests" in str(raised.value)
    assert "AWS" not in str(raised.value)


@without_lists
def test_info_without_a_list_has_no_size(
    tmp_path: Path, web: WebServer, capsys: pytest.CaptureFixture[str]
) -> None:
    path, url = write(tmp_path / "a.ome.zarr", "single"), f"{web.url}/a.ome.zarr"
    local, remote = run(capsys, "info", str(path)), run(capsys, "info", url)
    unknown = {"path": url, "files": None, "bytes_on_disk": None}
    assert remote == {**local, **unknown}
    assert sum("PROPFIND" in each for each in web.requests) == 1
    assert main(["info", url]) == 0
    assert "unknown (the server does not list files), raw 288 B\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("web", "layout"),
    [  # each server and each layout in a normal run
        pytest.param(handler, layout, marks=() if (i + j) % 3 == 0 else pytest.mark.sweep)
        for i, handler in enumerate(HANDLERS_WITHOUT_LISTS)
        for j, layout in enumerate(LAYOUTS)
    ],
    indirect=["web"],
)
def test_validate_without_a_list_skips_only_what_needs_it(
    layout: str, tmp_path: Path, web: WebServer, capsys: pytest.CaptureFixture[str]
) -> None:
    path, url = write(tmp_path / "a.ome.zarr", layout), f"{web.url}/a.ome.zarr"
    local, remote = run(capsys, "validate", str(path)), run(capsys, "validate", url)
    assert sum("PROPFIND" in each for each in web.requests) == 1
    assert remote["valid"]
    first, *others = remote["checks"]
    assert first["name"] == LEFTOVERS
    assert first["skipped"].startswith("the server does not list its files (")
    assert others == local["checks"][1:]
    assert {each["name"]: each["skipped"] for each in others}["pixels"] is None


@pytest.mark.parametrize("web", [CountingHandler], indirect=True)
def test_validate_requests_at_most_eight_files_at_a_time(tmp_path: Path, web: WebServer) -> None:
    """With a list of the files and without it."""
    write(tmp_path / "a.ome.zarr", "collection")
    assert validate(f"{web.url}/a.ome.zarr").valid
    assert 1 < CountingHandler.most <= 8
    CountingHandler.most = 0
    with referenced_copy(path_or_url(f"{web.url}/a.ome.zarr")):
        assert 1 < CountingHandler.most <= 8


def test_validate_without_a_list_finds_damage(tmp_path: Path, web: WebServer) -> None:
    path = write(tmp_path / "a.ome.zarr", "collection", compression="blosc-zstd")
    damaged, missing = path / "0/0/c/1/0/0/0", path / "1/0/c/2/1/0/0"
    damaged.write_bytes(b"damaged")
    missing.unlink()
    found = {str(f.path): f.what for f in validate(f"{web.url}/a.ome.zarr").findings}
    assert found == {
        str(f.path).replace(str(path), f"{web.url}/a.ome.zarr").replace("\\", "/"): f.what
        for f in validate(path).findings
    }
    assert len(found) == 3  # and the number of frames in the metadata


@pytest.mark.parametrize("series", ["../b.ome.zarr", "/etc", "0/0/0/0/0/0/0/0", 5, "none"])
def test_validate_without_a_list_stays_inside_the_dataset(
    series: Any, tmp_path: Path, web: WebServer
) -> None:
    path = write(tmp_path / "a.ome.zarr", "collection")
    shutil.copytree(path, tmp_path / "b.ome.zarr")
    metadata = json.loads((path / "OME/zarr.json").read_text())
    metadata["attributes"]["ome"]["series"].append(series)
    (path / "OME/zarr.json").write_text(json.dumps(metadata))
    assert not validate(f"{web.url}/a.ome.zarr").valid
    assert not [each for each in web.requests if "b.ome.zarr" in each]


def test_validate_without_a_list_of_metadata_that_are_not_json(
    tmp_path: Path, web: WebServer
) -> None:
    path, url = write(tmp_path / "a.ome.zarr", "collection"), f"{web.url}/a.ome.zarr"
    (path / "1/zarr.json").write_bytes(b"{")
    findings = validate(url).findings
    assert {str(f.path) for f in findings} == {f"{url}/1/zarr.json"}


def test_validate_does_not_copy_chunks_of_other_programs(tmp_path: Path, web: WebServer) -> None:
    path = write(tmp_path / "a.ome.zarr", "single")
    metadata = json.loads((path / "zarr.json").read_text())
    del metadata["attributes"]["ome_writers"]
    (path / "zarr.json").write_text(json.dumps(metadata))
    assert validate(f"{web.url}/a.ome.zarr").valid
    assert not [each for each in web.requests if "/c/" in each]


def test_conversion_to_one_file_needs_a_list(tmp_path: Path, web: WebServer) -> None:
    path, url = write(tmp_path / "a.ome.zarr"), f"{web.url}/a.ome.zarr"
    with pytest.raises(OSError, match=r"does not list its files.*ome-writers convert http:.*COPY"):
        convert(url, tmp_path / "a.ozx")
    convert(url, tmp_path / "b.ome.zarr", verify=True)
    convert(path, tmp_path / "a.ozx")
    view = ome_writers.open(f"{web.url}/a.ozx")
    assert np.array_equal(np.asarray(view), np.asarray(ome_writers.open(path)))


@pytest.mark.parametrize("web", [WebDavHandler], indirect=True)
def test_webdav_servers_list_files(
    tmp_path: Path, web: WebServer, capsys: pytest.CaptureFixture[str]
) -> None:
    path, url = write(tmp_path / "a.ome.zarr"), f"{web.url}/a.ome.zarr"
    for command in ("info", "validate"):
        local, remote = run(capsys, command, str(path)), run(capsys, command, url)
        assert remote == {**local, "path": url}


def test_preview_is_written_to_the_working_directory(
    tmp_path: Path,
    web: WebServer,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write(tmp_path / "a b.ome.zarr")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    url = f"{web.url}/a%20b.ome.zarr"
    assert main(["preview", url]) == 0
    assert capsys.readouterr().out == "a b.png\n"
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["a b.png"]
    assert "a b.png already exists" in error_of(capsys, "preview", url)


@without_lists
def test_missing_datasets_are_reported_as_such(
    tmp_path: Path, web: WebServer, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("info", "validate", "preview"):
        error = error_of(capsys, command, f"{web.url}/none.ome.zarr")
        assert "none.ome.zarr does not exist" in error
        assert "404" in error
        assert "AWS" not in error
    assert not [each for each in web.requests if "PROPFIND" in each]


def test_folder_of_datasets_is_refused_with_advice(
    tmp_path: Path, web: WebServer, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "folder/a.ome.zarr")
    assert "add the name of one" in error_of(capsys, "info", f"{web.url}/folder")
    with pytest.raises(UnsupportedError, match="add the name of one"):
        ome_writers.open(f"{web.url}/folder")


@pytest.mark.parametrize("web", [DenyingHandler], indirect=True)
def test_denied_requests_name_the_status(
    web: WebServer, capsys: pytest.CaptureFixture[str]
) -> None:
    error = error_of(capsys, "info", f"{web.url}/a.ome.zarr")
    assert "403 Forbidden. Check the URL in a browser" in error
    assert "AWS" not in error


@pytest.mark.parametrize("host", ["127.0.0.1", "unknown.invalid"])
def test_servers_that_cannot_be_reached_are_named_at_once(
    host: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not after ten requests, by readers, uploads and streams with a mirror, over HTTP and S3."""
    path = write(tmp_path / "a.ome.zarr")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-key")
    unknown = "Host not found|host is known" if sys.platform == "win32" else "failed to lookup"
    reason = "refused" if host == "127.0.0.1" else f"({unknown})"
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # without `listen`, connections are refused
        server = f"http://{host}:{unused.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL", server)
        began = time.process_time(), time.monotonic()
        for url in (f"{server}/a.ome.zarr", "s3://bucket/a.ome.zarr"):
            for command in ("info", "validate", "preview"):
                error = error_of(capsys, command, url)
                assert re.search(reason, error)
                assert "Check that the server is running" in error
                assert "AWS" not in error
            with pytest.raises(ome_writers.UploadError, match=f"{reason}.*name and port"):
                ome_writers.mirror(path, url)
            axes = ome_writers.dims_from_standard_axes({"t": 1, "y": 8, "x": 8})
            stream = ome_writers.create_stream(
                root_path=tmp_path / "b.ome.zarr",
                dimensions=axes,
                dtype="uint8",
                mirror=url,
                overwrite=True,
            )
            with pytest.raises(ome_writers.UploadError, match=reason):
                stream.close()
        used, passed = time.process_time() - began[0], time.monotonic() - began[1]
    assert passed - used < 8  # ten requests take 2 to 3 seconds, here 50 seconds
