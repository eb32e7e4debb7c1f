"""What the files of different engines say: the same."""

from __future__ import annotations

import json
import re
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.cases import Case, frame, pairwise
from contract.test_engines import ZARR, by_name
from contract.witnesses import stored
from ome_writers import create_stream
from ome_writers.routing import resolve

CASES = pairwise(
    {
        "layout": ("single", "collection", "plate"),
        "order": ("tpcz", "ptcz", "tzcp"),
        "dtype": ("uint8", "uint16", "float64"),
        "compression": ("none", "blosc-zstd", "blosc-lz4", "zstd"),
        "chunks": ("frames", "halves", "shards over t", "deep shards"),
        "ending": ("complete", "skipped", "unbounded", "cancelled", "kept"),
    }
)


def written(row: Any, case: Case, folder: Path) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Write a case with an engine; return every document of it by its path, and the pixels as others read them."""
    settings = case.settings(folder, row.name, row.format)
    with create_stream(settings) as stream:
        stream.set_global_metadata("lab", {"room": 3})
        for number, place in enumerate(case.places()):
            if place is None:
                stream.skip()
            else:
                stream.append(frame(number, case.dtype), frame_metadata={"number": number})
    root = Path(settings.output_path)
    found: dict[str, Any] = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.suffix == ".json":
            found[name] = json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix in (".xml", ".jsonl"):
            text = path.read_text(encoding="utf-8")
            found[name] = re.sub("<AcquisitionDate>.*?</AcquisitionDate>", "", text)
    said = found["zarr.json"]["attributes"]["ome_writers"]
    del said["id"], said["updated"]  # random, and the time
    settings_said = said["settings"]
    del settings_said["format"], settings_said["root_path"]  # the engine's name, and the folder
    return found, stored(stream.plan)


@cache
def written_first(case: Case) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Return what the first engine writes of a case."""
    with tempfile.TemporaryDirectory() as folder:
        return written(ZARR[0], case, Path(folder))


def without_shards(documents: dict[str, Any]) -> dict[str, Any]:
    """Return documents in which shards of one chunk each, the only ones that acquire-zarr knows, are that chunk."""
    for document in documents.values():
        if isinstance(document, dict) and document.get("node_type") == "array":
            (shard,) = document["codecs"]
            inside = shard["configuration"]
            assert document["chunk_grid"]["configuration"]["chunk_shape"] == inside["chunk_shape"]
            document["codecs"] = inside["codecs"]
    return documents


@pytest.mark.parametrize("row", ZARR[1:], ids=by_name)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_all_engines_write_the_same(row: Any, case: Case, tmp_path: Path) -> None:
    """Documents are equal to those of the first engine, codec for codec, and so are the pixels that readers see."""
    if reasons := row.unsupported_reasons(resolve(case.settings(tmp_path, row.name, row.format))):
        pytest.skip(f"{row.name}: {reasons[0]}")
    documents, pixels = written_first(case)
    others, seen = written(row, case, tmp_path)
    if row.name == "acquire-zarr" and "shards" not in case.chunks:
        others = without_shards(others)
    assert others == documents
    assert all(np.array_equal(a, b) for a, b in zip(pixels, seen, strict=True))


# a field in a grid is called name_row_column
@pytest.mark.filterwarnings("error:The FieldOfView.path:UserWarning")
@pytest.mark.parametrize("row", ZARR, ids=by_name)
@pytest.mark.parametrize(
    ("layout", "ending"),
    [
        ("single", "unbounded"),
        ("single", "cancelled"),
        ("collection", "complete"),
        ("collection", "kept"),
        ("plate", "skipped"),
        ("plate", "cancelled"),
    ],
)
def test_validators_accept_all_documents(
    row: Any, layout: str, ending: str, tmp_path: Path
) -> None:
    """Yaozarrs and ome-zarr-models accept what each engine leaves on disk, however the run ended."""
    yaozarrs = pytest.importorskip("yaozarrs", reason="a validator of OME-Zarr")
    models = pytest.importorskip("ome_zarr_models", reason="a validator of OME-Zarr")
    zarr = pytest.importorskip("zarr", reason="ome-zarr-models opens with it; it needs Python 3.11")

    case = Case(layout=layout, chunks="shards over t", ending=ending)
    written(row, case, tmp_path)
    root = tmp_path / "out.ome.zarr"
    yaozarrs.validate_zarr_store(str(root))
    # ome-zarr-models 1.7 does not know collections of 0.5: there, the images
    for image in {"single": ".", "collection": "01", "plate": "."}[layout]:
        group = zarr.open_group(str(root / image), mode="r")
        assert models.open_ome_zarr(group, version="0.5") is not None
