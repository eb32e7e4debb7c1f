"""`root_path`: local paths as they are, ``file://`` URLs as paths, and what cannot be written refused."""

from __future__ import annotations

import warnings
from pathlib import Path, PurePath, PureWindowsPath

import numpy as np
import pytest

from ome_writers import AcquisitionSettings, create_stream, dims_from_standard_axes
from ome_writers import open as open_dataset

AXES = dims_from_standard_axes({"t": 1, "y": 4, "x": 4})


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/x.ome.zarr",
        "gs://bucket/x.ome.zarr",
        "https://example.org/x.ome.zarr",
        "memory://x.ome.zarr",
        "az://container/x.ome.tiff",
        "simplecache::s3://bucket/x.ome.zarr",
        Path("s3://bucket/x.ome.zarr"),  # pathlib makes "s3:/bucket" of it
        PureWindowsPath("s3://bucket/x.ome.zarr"),
        Path("HTTPS://example.org/x.ome.zarr"),
    ],
    ids=str,
)
def test_url_raises(url: str | PurePath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"is a URL.*local path.*ome-writers upload"):
        AcquisitionSettings(root_path=url, dimensions=AXES, dtype="uint8")
    settings = AcquisitionSettings(root_path="x.ome.zarr")
    with pytest.raises(ValueError, match="is a URL"):
        settings.root_path = url  # type: ignore[assignment]  # a validator takes paths
    assert settings.root_path == "x.ome.zarr"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "path", ["a:b", "C:/data/x", "C:\\data\\x", "c://x", "s3:x", "x:y/z", "//server/share/x"]
)
def test_drives_and_colons_are_paths(path: str) -> None:
    """Drive letters, network shares and names with a colon are not URLs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the format cannot be inferred from these
        assert AcquisitionSettings(root_path=path).root_path == path


@pytest.mark.parametrize("form", ["file://{}", "file://localhost{}", "FILE:{}"])
def test_file_url_becomes_local_path(tmp_path: Path, form: str) -> None:
    path = tmp_path / "my run.ome.zarr"
    url = form.format(path.as_uri().removeprefix("file://"))
    settings = AcquisitionSettings(root_path=url, dimensions=AXES, dtype="uint8")
    assert Path(settings.root_path) == path
    with create_stream(settings) as stream:
        stream.append(np.ones((4, 4), "uint8"))
    assert open_dataset(path)[...].all()
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///C:/data/my%20run.ome.zarr", "C:/data/my run.ome.zarr"),
        ("file:///c|/data/run.ome.zarr", "c:/data/run.ome.zarr"),
        ("file://C:/data/run.ome.zarr", "C:/data/run.ome.zarr"),  # one slash too few
        ("file:\\C:\\data\\run.ome.zarr", "C:/data/run.ome.zarr"),  # of pathlib
        ("file://server/share/run.ome.zarr", "//server/share/run.ome.zarr"),
        ("file:///data/run.ome.zarr", "/data/run.ome.zarr"),
    ],
)
def test_file_url_on_windows(url: str, path: str) -> None:
    from ome_writers.settings import read_root_path

    assert read_root_path(url, windows=True) == path


def test_file_url_with_other_host_raises() -> None:
    from ome_writers.settings import read_root_path

    with pytest.raises(ValueError, match="names the host 'data'.*file:///data/run.ome.zarr"):
        read_root_path("file://data/run.ome.zarr", windows=False)


@pytest.mark.parametrize("path", ["/", "//", "file:///"])
def test_file_system_root_raises(path: str) -> None:
    with pytest.raises(ValueError, match="root of a file system.*Add a name"):
        AcquisitionSettings(root_path=path, format="ome-zarr")


@pytest.mark.parametrize(
    "ending",
    [
        *("png", "PNG", "jpg", "jpeg", "gif", "bmp", "nd2", "czi", "lif", "lsm", "ims", "vsi"),
        *("h5", "hdf5", "npy", "mrc"),
    ],
)
def test_suffix_of_unsupported_image_format_raises(ending: str) -> None:
    for path in (f"run.{ending}", f"a.b/run.ome.{ending}"):
        with pytest.raises(ValueError, match=rf"ends in '\.{ending}'.*\.ome\.zarr or \.ome\.tiff"):
            AcquisitionSettings(root_path=path)
    settings = AcquisitionSettings(root_path="x.ome.zarr")
    with pytest.raises(ValueError, match="does not write"):
        settings.root_path = f"run.{ending}"
    assert settings.root_path == "x.ome.zarr"
    named = AcquisitionSettings(root_path=f"run.{ending}", format="ome-zarr", dimensions=AXES)
    assert named.output_path == f"run.{ending}.ome.zarr"


@pytest.mark.parametrize("path", ["run", "run.1", "2026.11.22", "x.dat", "cells.png.d", "x.raw"])
def test_unknown_suffix_becomes_ome_zarr(path: str) -> None:
    with pytest.warns(UserWarning, match="could not be inferred"):
        assert AcquisitionSettings(root_path=path).format.name == "ome-zarr"
