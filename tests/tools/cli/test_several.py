"""Commands for several datasets: paths, patterns and directories of datasets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ome_writers import (
    AcquisitionSettings,
    OmeTiffFormat,
    create_stream,
    dims_from_standard_axes,
)
from ome_writers_tools.cli import main


def write(path: Path, **more: object) -> None:
    """Write a dataset of three frames, or of three per position."""
    sizes = {"t": 3, "y": 4, "x": 6}
    positions = {"p": ["left", "right"]} if more.pop("positions", False) else {}
    settings = AcquisitionSettings(
        root_path=path,
        dimensions=dims_from_standard_axes({**positions, **sizes}),
        dtype="uint8",
        **more,
    )
    with create_stream(settings) as stream:
        for number in range(settings.num_frames or 0):
            stream.append(np.full((4, 6), number, "uint8"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with two OME-Zarr and a text file."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.ome.zarr")
    write(tmp_path / "b.ome.zarr")
    (tmp_path / "notes.txt").write_text("not a dataset")
    return tmp_path


# A normal run has every second case: each command with one or two of what was typed.
TYPED = [
    pytest.param(command, typed, marks=pytest.mark.sweep if (i + j) % 2 else ())
    for i, command in enumerate(["info", "validate", "repair", "preview"])
    for j, typed in enumerate([["a.ome.zarr", "b.ome.zarr"], ["*.ome.zarr"], ["?.ome.*"]])
]


@pytest.mark.parametrize(("command", "typed"), TYPED)
def test_each_dataset_is_processed(
    folder: Path, command: str, typed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Patterns are expanded without a shell; the order is sorted."""
    assert main([command, *typed, "--json"]) == 0
    datasets = json.loads(capsys.readouterr().out)["datasets"]
    assert [Path(one["path"]).name for one in datasets] == ["a.ome.zarr", "b.ome.zarr"]
    if command == "preview":
        assert (folder / "a.png").is_file()
        assert (folder / "b.png").is_file()
    else:
        assert main([command, *typed]) == 0
        output = capsys.readouterr().out
        assert output.index("a.ome.zarr") < output.index("b.ome.zarr")


@pytest.mark.parametrize("command", ["info", "validate", "repair", "preview"])
def test_failed_dataset_does_not_stop_others(
    folder: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "notes.txt", "missing", "b.ome.zarr"]) == 1
    streams = capsys.readouterr()
    lines = streams.err.splitlines()
    assert "notes.txt" in lines[0]
    assert lines[1:] == [
        "ome-writers: missing does not exist.",
        "ome-writers: 2 of 3 datasets failed",
    ]
    assert ("b.png" if command == "preview" else "b.ome.zarr") in streams.out


def test_json_names_the_error_of_each_dataset(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", "missing", "b.ome.zarr", "--json"]) == 1
    missing, described = json.loads(capsys.readouterr().out)["datasets"]
    assert missing == {"path": "missing", "error": "missing does not exist."}
    assert described["status"] == "complete"


def test_pattern_without_match(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preview", "a.ome.zarr", "*.ome.tiff"]) == 1
    assert "*.ome.tiff: no file or directory matches this pattern" in capsys.readouterr().err
    assert not (folder / "a.png").exists()


def test_name_with_brackets_is_not_a_pattern(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder / "run[1].ome.zarr")
    assert main(["info", "run[1].ome.zarr", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["path"] == "run[1].ome.zarr"


def test_dataset_named_twice_is_processed_once(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["preview", "a.ome.zarr", "*.ome.zarr"]) == 0
    assert capsys.readouterr().out.split() == ["a.png", "b.png"]


def test_output_option_with_several_datasets_is_usage_error(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["preview", "*.ome.zarr", "-o", "x.png"]) == 2
    assert "--output" in capsys.readouterr().err
    assert not (folder / "x.png").exists()


def test_preview_of_current_directory(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder / "a.ome.zarr")
    assert main(["preview", "."]) == 0
    assert Path(capsys.readouterr().out.strip()) == (folder / "a.png").resolve()
    assert (folder / "a.png").is_file()


def test_info_lists_datasets_of_directory(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tifffile", reason="the OME-TIFF engine requires it")
    import tifffile

    write(folder / "one.ome.tiff")
    write(folder / "two.ome.tiff")
    write(folder / "pair.ome.tiff", positions=True)
    companion = OmeTiffFormat(multi_file_metadata="companion-file")
    write(folder / "linked.ome.tiff", positions=True, format=companion)
    for file in (folder / "linked").iterdir():  # a set among other datasets
        file.rename(folder / file.name)
    (folder / "linked").rmdir()
    (folder / "linked.ome.tiff").unlink()  # the entry file of the set
    write(folder / "more" / "c.ome.zarr")
    tifffile.imwrite(folder / "plain.tif", np.zeros((4, 4), "uint8"), description="a picture")
    assert main(["info", ".", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [one["path"] for one in listed["datasets"]] == [
        "a.ome.zarr",
        "b.ome.zarr",
        "linked_p000.ome.tiff",
        "one.ome.tiff",
        "pair",
        "two.ome.tiff",
    ]
    assert [len(one["images"]) for one in listed["datasets"]] == [1, 1, 2, 1, 2, 1]
    assert main(["info", "."]) == 0
    output = capsys.readouterr().out
    assert ".: 6 datasets" in output
    assert "Directories with further datasets: more" in output
    assert "TIFF files without OME-XML: plain.tif" in output
    assert "notes.txt" not in output


def test_info_of_directory_reports_unreadable_datasets(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "torn.ome.zarr").mkdir()
    (folder / "torn.ome.zarr" / "zarr.json").write_text("{")
    (folder / "cut.ome.tiff").write_bytes(b"II*\0")
    assert main(["info", "."]) == 1
    streams = capsys.readouterr()
    assert streams.out.count("cannot be read") == 2
    assert "cut.ome.tiff" in streams.err
    assert "torn.ome.zarr" in streams.err


def test_directory_of_one_tiff_set_is_one_dataset(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tifffile", reason="the OME-TIFF engine requires it")
    write(tmp_path / "pair.ome.tiff", positions=True)
    assert main(["info", str(tmp_path / "pair"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["layout"] == "collection"


def test_help_documents_exit_statuses(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--help"]) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert "1 a dataset has findings or cannot be read" in output
    assert "130 interrupted by Ctrl-C" in output
