"""Metadata of OME-Zarr 0.5 and 0.6, rewritten into each other in place."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import ome_writers
from ome_writers import (
    OmeZarrFormat,
    OutputLockedError,
    UnsupportedError,
    convert_ngff_version,
    create_stream,
    read,
    validate,
)
from ome_writers_tools.cli import main
from support.acquisitions import LAYOUTS, acquisition

if TYPE_CHECKING:
    from ome_writers import DatasetSpec

DATA = Path(__file__).parents[2] / "data"


def write(path: Path, layout: str, version: str = "0.5") -> Path:
    """Write the first two frames of a dataset."""
    settings = acquisition(layout, path, format=OmeZarrFormat(version=version))
    with create_stream(settings) as stream:
        stream.append(np.ones((4, 6), "uint16"), frame_metadata={"note": "µm"})
        stream.append(np.full((4, 6), 2, "uint16"))
    return path


def files(path: Path) -> dict[str, bytes]:
    return {str(f.relative_to(path)): f.read_bytes() for f in path.rglob("*") if f.is_file()}


def comparable(spec: DatasetSpec) -> DatasetSpec:
    return replace(spec, version="", settings=None)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_there_and_back_is_the_identity(layout: str, tmp_path: Path) -> None:
    """Only ``zarr.json`` of groups change; the same dataset is read in both versions."""
    path = write(tmp_path / "a.ome.zarr", layout)
    before, spec = files(path), read(path)
    changed = convert_ngff_version(path, "0.6")
    assert changed[-1] == path / "zarr.json"
    after, parsed = files(path), read(path)
    different = {
        name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
    }
    assert different == {str(file.relative_to(path)) for file in changed}
    assert parsed.version == "0.6"
    assert parsed.settings is not None
    assert parsed.settings.format.version == "0.6"  # type: ignore[union-attr]
    assert comparable(parsed) == comparable(spec)
    assert ome_writers.open(path)[0].max() == 2
    assert convert_ngff_version(path, "0.6") == []
    convert_ngff_version(path, "0.5")
    assert files(path) == before
    assert validate(path).valid


@pytest.mark.parametrize("layout", LAYOUTS)
def test_metadata_equals_that_of_a_dataset_written_as_06(layout: str, tmp_path: Path) -> None:
    one = write(tmp_path / "one" / "a.ome.zarr", layout)
    other = write(tmp_path / "other" / "a.ome.zarr", layout, "0.6")
    convert_ngff_version(one, "0.6")
    for file in sorted(other.rglob("zarr.json")):
        made = json.loads((one / file.relative_to(other)).read_bytes())["attributes"]
        assert made.get("ome") == json.loads(file.read_bytes())["attributes"].get("ome")


@pytest.mark.parametrize("name", ["ngff-zarr-0.50", "ome-zarr-py-0.21"])
def test_06_of_other_program_to_05(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    for file, content in files(DATA / f"{name}.ome.zarr").items():
        (path / file).parent.mkdir(parents=True, exist_ok=True)
        (path / file).write_bytes(content)
    before = read(path)
    assert convert_ngff_version(path, "0.5")
    after = read(path)
    assert (before.version, after.version) == ("0.6", "0.5")
    assert after.images == before.images
    attributes = json.loads((path / "zarr.json").read_bytes())["attributes"]
    assert "axes" in attributes["ome"]["multiscales"][0]


def test_coordinate_systems_that_05_cannot_express_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ome.zarr", "collection", "0.6")
    file = path / "zarr.json"
    group = json.loads(file.read_bytes())
    scene = group["attributes"]["ome"]["scene"]
    scene["coordinateTransformations"][0]["type"] = "rotation"
    file.write_text(json.dumps(group))
    before = files(path)
    with pytest.raises(UnsupportedError, match="0.5 cannot express .*rotation"):
        convert_ngff_version(path, "0.5")
    assert files(path) == before


def test_dataset_that_is_being_written_is_refused(tmp_path: Path) -> None:
    settings = acquisition("single", tmp_path / "a.ome.zarr")
    with create_stream(settings) as stream:
        with pytest.raises(OutputLockedError, match="being written"):
            convert_ngff_version(settings.output_path, "0.6")
        stream.append(np.ones((4, 6), "uint16"))
    file = tmp_path / "a.ome.zarr" / "zarr.json"
    file.write_text(file.read_text().replace('"status": "cancelled"', '"status": "writing"'))
    with pytest.raises(UnsupportedError, match="repair"):
        convert_ngff_version(settings.output_path, "0.6")
    with pytest.raises(UnsupportedError, match="supported are 0.5 and 0.6"):
        convert_ngff_version(settings.output_path, "0.4")


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.ome.zarr", "plate")
    assert main(["convert", str(path), "--ngff", "0.6", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["files"]) == 6
    assert read(path).version == "0.6"
    assert main(["convert", str(path), str(tmp_path / "b.ome.zarr"), "--ngff", "0.6"]) == 0
    assert read(tmp_path / "b.ome.zarr").version == "0.6"
    assert main(["convert", str(path)]) == 2
    assert "required: DEST" in capsys.readouterr().err
