"""RO-Crates of datasets load in `rocrate`, and nothing else is disturbed by them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ome_writers import (
    Author,
    Experiment,
    OutputExistsError,
    WriteError,
    convert,
    create_stream,
    dims_from_standard_axes,
    edit,
    validate,
)
from ome_writers_tools.cli import main
from ome_writers_tools.conversion import write_crate

NAME = "ro-crate-metadata.json"
EXPERIMENT = Experiment(
    license="CC-BY-4.0",
    authors=(
        Author(name="Josiah Carberry", orcid="0000-0002-1825-0097", affiliation="Brown University"),
        Author(name="Ada Lovelace", affiliation="Brown University"),
    ),
    description="Nuclei of HeLa cells.",
    specimen="HeLa cells, fixed in 4 % PFA, DAPI",
    organism="9606",
    modality="FBbi:00000246",
)
KINDS = [
    ("run.ome.zarr", 1, f"run.ome.zarr/{NAME}"),
    ("run.ome.zarr", 2, f"run.ome.zarr/{NAME}"),
    ("run 1.ome.tiff", 1, f"run 1.ome.tiff-{NAME}"),
    ("run.ome.tiff", 2, f"run/{NAME}"),
]


def _write(path: Path, positions: int = 1, **fields: Any) -> None:
    sizes = {"p": positions, "t": 2, "y": 16, "x": 16}
    dimensions = dims_from_standard_axes(sizes if positions > 1 else {**sizes, "p": 1})
    fields = {"experiment": EXPERIMENT, **fields}
    with create_stream(root_path=path, dimensions=dimensions, dtype="uint16", **fields) as stream:
        for number in range(2 * positions):
            stream.append(np.full((16, 16), number, "uint16"))


def _entities(file: Path) -> dict[str, Any]:
    return {entity["@id"]: entity for entity in json.loads(file.read_text("utf-8"))["@graph"]}


@pytest.mark.parametrize(("name", "positions", "crate"), KINDS)
def test_rocrate_loads_the_crate_of_a_stream(
    name: str, positions: int, crate: str, tmp_path: Path
) -> None:
    rocrate = pytest.importorskip(
        "rocrate.rocrate", reason="rocrate reads the crate: installed in `tox -e crate` only"
    )
    _write(tmp_path / name, positions)
    folder = (tmp_path / crate).parent
    if not crate.endswith(f"/{NAME}"):  # to a directory of its own, as for a repository
        folder = tmp_path / "deposit"
        folder.mkdir()
        shutil.copy(tmp_path / name, folder)
        shutil.copy(tmp_path / crate, folder / NAME)
    loaded = rocrate.ROCrate(folder)
    root = loaded.root_dataset
    assert root["name"] == name if folder != tmp_path / "run" else "run"
    assert root["description"] == "Nuclei of HeLa cells."
    assert root["license"].id == "https://spdx.org/licenses/CC-BY-4.0"
    assert [author["name"] for author in root["author"]] == ["Josiah Carberry", "Ada Lovelace"]
    assert root["author"][0].id == "https://orcid.org/0000-0002-1825-0097"
    assert root["author"][1]["affiliation"]["name"] == "Brown University"
    files = [entity for entity in loaded.data_entities if entity.type == "File"]
    assert len(files) == (positions if "tiff" in name else 0)
    for entity in files:
        assert (folder / entity["name"]).is_file()


def test_crate_has_the_terms_of_the_ngff_challenge(tmp_path: Path) -> None:
    _write(tmp_path / "run.ome.zarr")
    entities = _entities(tmp_path / "run.ome.zarr" / NAME)
    by_type = {entity["@type"]: entity for entity in entities.values()}
    assert entities["./"]["resultOf"] == {"@id": by_type["image_acquisition"]["@id"]}
    assert by_type["image_acquisition"]["fbbi_id"] == {"@id": "obo:FBbi_00000246"}
    assert by_type["biosample"]["organism_classification"] == {"@id": "NCBI:txid9606"}
    assert by_type["specimen"]["description"] == EXPERIMENT.specimen


@pytest.mark.parametrize(("name", "positions", "crate"), KINDS)
def test_other_functions_accept_a_crate(
    name: str, positions: int, crate: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    _write(path, positions)
    assert validate(path).valid
    assert main(["repair", str(path)]) == 0
    assert main(["manifest", str(path)]) == 0
    assert main(["manifest", str(path), "--check"]) == 0
    assert main(["info", str(path)]) == 0
    store = (tmp_path / "store" / name).as_uri()
    assert main(["upload", str(path), store]) == 0, capsys.readouterr().err
    convert(path, tmp_path / f"copy-{name}")
    copies = {file.parent.name for file in tmp_path.glob(f"copy*/{NAME}")}
    copies |= {file.name for file in tmp_path.glob(f"copy*-{NAME}")}
    assert copies, "the copy has no crate"
    _write(path, positions, overwrite=True)  # the earlier crate is recognized as our own
    assert (tmp_path / crate).is_file()


def test_crate_of_another_program_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "run.ome.tiff"
    crate = tmp_path / f"run.ome.tiff-{NAME}"
    crate.write_text("{}")
    with pytest.raises(WriteError, match="did not write it"):
        _write(path)
    assert crate.read_text() == "{}"
    path = tmp_path / "run.ome.zarr"
    _write(path)
    (path / NAME).write_text("{}")
    with pytest.raises(OutputExistsError, match="not part of the dataset"):
        _write(path, overwrite=True)


def test_command_describes_an_existing_dataset(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.ome.zarr"
    _write(path, experiment=None)
    assert not (path / NAME).exists()
    assert main(["crate", str(path)]) == 1
    assert "give one, such as CC-BY-4.0" in capsys.readouterr().err
    author = "Josiah Carberry=0000-0002-1825-0097"
    command = ["crate", str(path), "--license", "CC0-1.0", "--author", author, "--organism", "9606"]
    assert main(command) == 0
    assert capsys.readouterr().out.strip() == str(path / NAME)
    root = _entities(path / NAME)["./"]
    assert root["license"] == {"@id": "https://spdx.org/licenses/CC0-1.0"}
    assert root["description"] == "OME-Zarr 0.5, 1 image of 2 t x 16 y x 16 x"
    assert main(command) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0


def test_command_completes_what_the_dataset_was_written_with(tmp_path: Path) -> None:
    path = tmp_path / "run.ome.tiff"
    _write(path)
    assert main(["crate", str(path), "--description", "Control.", "--overwrite"]) == 0
    entities = _entities(tmp_path / f"run.ome.tiff-{NAME}")
    assert entities["./"]["description"] == "Control."
    assert len(entities["./"]["author"]) == 2


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("license", "CC BY 4.0", "SPDX identifier such as CC-BY-4.0"),
        ("organism", "human", "NCBI taxonomy ID such as 9606"),
        ("modality", "confocal", "ontology FBbi"),
        ("authors", [{"name": "Ada", "orcid": "0000-0002-1825-0098"}], "ORCID iD"),
    ],
)
def test_invalid_fields_are_refused(field: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Experiment.model_validate({"license": "CC-BY-4.0", field: value})


@pytest.mark.parametrize(("name", "positions", "crate"), KINDS)
def test_edit_changes_the_crate(name: str, positions: int, crate: str, tmp_path: Path) -> None:
    """A crate with other fields than the settings keeps them; one of another program is not touched."""
    _write(tmp_path / name, positions)
    path, file = tmp_path / name, tmp_path / crate
    path = path if path.exists() else tmp_path / "run"
    write_crate(path, {"specimen": "Yeast"}, overwrite=True)
    before = _entities(file)
    changes = {"description": "Mitoses.", "started": "2026-03-01T09:00:00+00:00"}
    assert file in edit(path, **changes)
    after = _entities(file)
    assert after["./"]["description"] == "Mitoses."
    assert after["./"]["dateCreated"] == "2026-03-01T09:00:00+00:00"
    for key in ("description", "dateCreated"):
        before["./"].pop(key), after["./"].pop(key)
    assert before == after
    assert validate(path).valid
    file.write_text('{"@graph": []}', "utf-8")
    assert file not in edit(path, description="Meioses.")
    assert file.read_text("utf-8") == '{"@graph": []}'
