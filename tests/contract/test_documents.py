"""What the files of different engines say: the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from contract.cases import Case, frame
from contract.test_engines import ZARR, by_name
from ome_writers import create_stream


def documents(row: Any, case: Case, folder: Path) -> dict[str, Any]:
    """Write a case with an engine and return every JSON document of it by its path."""
    settings = case.settings(folder, row.name, row.format)
    with create_stream(settings) as stream:
        for number in range(len(case.places())):
            stream.append(frame(number, case.dtype), frame_metadata={"number": number})
    root = Path(settings.output_path)
    found = {}
    for path in sorted(root.rglob("*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        found[path.relative_to(root).as_posix()] = document
    settings_said = found["zarr.json"]["attributes"]["ome_writers"]["settings"]
    del settings_said["format"], settings_said["root_path"]  # the engine's name, and the folder
    return found


@pytest.mark.parametrize("row", ZARR[1:], ids=by_name)
@pytest.mark.parametrize("layout", ["single", "collection", "plate"])
def test_all_engines_say_the_same(row: Any, layout: str, tmp_path: Path) -> None:
    """Each document is equal to the one that the first engine writes, chunk for chunk and codec for codec."""
    case = Case(layout=layout, order="tzcp", compression="blosc-zstd", chunks="deep shards")
    case = Case(**{**vars(case), "ending": "cancelled"})
    first = documents(ZARR[0], case, tmp_path / "first")
    assert documents(row, case, tmp_path / "other") == first


# a field in a grid is called name_row_column
@pytest.mark.filterwarnings("ignore:The FieldOfView.path:UserWarning")
@pytest.mark.parametrize("row", ZARR, ids=by_name)
@pytest.mark.parametrize("layout", ["single", "collection", "plate"])
def test_validators_accept_all_documents(row: Any, layout: str, tmp_path: Path) -> None:
    """Yaozarrs and ome-zarr-models accept what each engine leaves on disk."""
    yaozarrs = pytest.importorskip("yaozarrs", reason="a validator of OME-Zarr")
    models = pytest.importorskip("ome_zarr_models", reason="a validator of OME-Zarr")
    zarr = pytest.importorskip("zarr", reason="ome-zarr-models opens with it; it needs Python 3.11")

    case = Case(layout=layout, chunks="shards over t")
    documents(row, case, tmp_path)
    root = tmp_path / "out.ome.zarr"
    yaozarrs.validate_zarr_store(str(root))
    # ome-zarr-models 1.7 knows no collection of 0.5, and no field of a grid (name_row_column): there, its images.
    for image in {"single": ".", "collection": "01", "plate": ["A/1/fov_0_0", "B/2/fov"]}[layout]:
        group = zarr.open_group(str(root / image), mode="r")
        assert models.open_ome_zarr(group, version="0.5") is not None
