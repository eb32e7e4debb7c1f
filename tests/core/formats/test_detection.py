"""Format detection: messages for paths without a dataset, and folders of TIFF files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ome_writers import (
    AcquisitionSettings,
    OmeTiffFormat,
    UnsupportedError,
    create_stream,
    dims_from_standard_axes,
    read_frame_metadata,
    validate,
)
from ome_writers.formats.ometiff import first_tiff
from ome_writers.formats.registry import detect_format
from ome_writers.views import open_dataset
from ome_writers_tools.cli import main


def write(path: Path, metadata: str = "redundant", **sizes: int) -> None:
    dims = dims_from_standard_axes({**sizes, "y": 4, "x": 6})
    more = {"format": OmeTiffFormat(multi_file_metadata=metadata)} if ".tif" in path.name else {}
    settings = AcquisitionSettings(root_path=path, dimensions=dims, dtype="uint8", **more)
    with create_stream(settings) as stream:
        for _ in range(settings.num_frames):
            stream.append(np.ones((4, 6), "uint8"))


def test_missing_path_of_a_set_names_the_folder(tmp_path: Path) -> None:
    """`root_path` of several positions becomes a folder."""
    pytest.importorskip("tifffile", reason="the engine of OME-TIFF asks for it")
    write(tmp_path / "run.ome.tiff", p=2, t=1)
    (tmp_path / "run.ome.tiff").unlink()  # the entry file
    with pytest.raises(
        FileNotFoundError, match=r"run.ome.tiff does not exist, but the folder .*run does"
    ):
        detect_format(tmp_path / "run.ome.tiff")
    with pytest.raises(FileNotFoundError, match=r"other.ome.tiff does not exist\.$"):
        detect_format(tmp_path / "other.ome.tiff")


def test_folder_with_datasets_lists_them(tmp_path: Path) -> None:
    for name in "abcd":
        write(tmp_path / f"{name}.ome.zarr", t=1)
    with pytest.raises(
        UnsupportedError, match=r"It contains a.ome.zarr, .* and 1 more: name one of them"
    ):
        detect_format(tmp_path)


@pytest.mark.parametrize("command", ["info", "preview", "validate", "repair", "convert"])
def test_every_command_recognizes_zarr_v2(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "old.ome.zarr").mkdir()
    (tmp_path / "old.ome.zarr" / ".zgroup").write_text('{"zarr_format": 2}')
    old = {"multiscales": [{"version": "0.3", "axes": ["y", "x"], "datasets": [{"path": "0"}]}]}
    (tmp_path / "old.ome.zarr" / ".zattrs").write_text(json.dumps(old))
    more = [str(tmp_path / "new.ome.zarr")] if command == "convert" else []
    assert main([command, str(tmp_path / "old.ome.zarr"), *more]) == 1
    message = (
        "does not support this operation"
        if command in ("validate", "repair")
        else "is an OME-Zarr 0.3 in Zarr v2; of Zarr v2, only 0.4 is read"
    )
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("command", ["preview", "validate", "convert"])
def test_folder_with_two_datasets_is_not_read_as_one_set(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tifffile", reason="the engine of OME-TIFF asks for it")
    write(tmp_path / "both" / "a.ome.tiff", t=1)
    write(tmp_path / "both" / "b.ome.tiff", t=2)
    more = [str(tmp_path / "new.ome.zarr")] if command == "convert" else []
    assert main([command, str(tmp_path / "both"), *more]) == 1
    assert (
        "are not one set: the OME-XML of a.ome.tiff does not list b.ome.tiff"
        in capsys.readouterr().err
    )


def test_info_lists_unrelated_tiff_files_as_datasets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each with its own axes."""
    pytest.importorskip("tifffile", reason="the engine of OME-TIFF asks for it")
    write(tmp_path / "both" / "a.ome.tiff", t=1)
    write(tmp_path / "both" / "b.ome.tiff", t=2)
    assert main(["info", str(tmp_path / "both"), "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["datasets"]
    assert [Path(one["path"]).name for one in listed] == ["a.ome.tiff", "b.ome.tiff"]
    axes = [[{a["name"]: a["size"] for a in i["axes"]} for i in one["images"]] for one in listed]
    assert axes == [[{"t": 1, "y": 4, "x": 6}], [{"t": 2, "y": 4, "x": 6}]]


@pytest.mark.parametrize("metadata", ["redundant", "master-tiff", "companion-file"])
def test_folder_of_a_set_opens_in_each_metadata_mode(metadata: str, tmp_path: Path) -> None:
    """Also with the hidden files of macOS beside each file."""
    pytest.importorskip("tifffile", reason="the engine of OME-TIFF asks for it")
    write(tmp_path / "run & more.ome.tiff", metadata, p=3, t=1)
    folder = tmp_path / "run & more"
    for file in list(folder.iterdir()):
        (folder / f"._{file.name}").write_bytes(b"\0\5\x16\7Mac OS X")
    assert first_tiff(folder).name == "run & more_p000.ome.tiff"
    assert open_dataset(folder).shape == (3, 1, 4, 6)
    assert validate(folder).valid
    assert not read_frame_metadata(folder)
    assert main(["info", str(folder)]) == 0
    assert main(["repair", str(folder)]) == 0


def test_validate_names_the_damaged_metadata_file(tmp_path: Path) -> None:
    write(tmp_path / "a.ome.zarr", t=1)
    (tmp_path / "a.ome.zarr" / "zarr.json").write_text("{broken")
    findings = validate(tmp_path / "a.ome.zarr").findings
    assert [f.path.name for f in findings] == ["zarr.json"]
    assert "not strict JSON" in findings[0].what
