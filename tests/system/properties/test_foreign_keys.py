"""Keys of other programs in the metadata of an OME-Zarr survive every operation that changes it."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ome_writers
from ome_writers import AcquisitionSettings, Dimension, Position, Pyramid
from support.sweeps import SWEEPS

IMAGES = ("0", "1")
GROUPS = ("", "OME", *IMAGES)


def _same(block: Any) -> Any:
    return block


def _kill(path: Path) -> None:
    """Make a dataset one whose writer was killed."""
    attributes = _attributes(path, "")
    attributes["ome_writers"]["status"] = "writing"
    attributes["ome_writers"]["frames"]["written"] = 0
    _store(path, "", attributes)


def _repair(path: Path) -> Path:
    _kill(path)
    assert ome_writers.repair(path).findings
    return path


def _edit(path: Path) -> Path:
    ome_writers.edit(
        path,
        scale={"x": 0.25, "z": 2.0},
        names={0: "other"},
        positions={1: {"x": 5.0}},
        channels={0: {"name": "c", "color": "red", "window": (0, 9)}},
        description="d",
    )
    return path


def _convert_ngff_version(path: Path) -> Path:
    for version in ("0.6", "0.5"):
        assert ome_writers.convert_ngff_version(path, version)
    return path


def _add_pyramid(path: Path) -> Path:
    assert ome_writers.add_pyramid(path, Pyramid(levels=2)) == [*IMAGES]
    return path


def _process(path: Path) -> Path:
    output = path.with_name("processed.ome.zarr")
    ome_writers.process(path, _same, output)
    return output


OPERATIONS: dict[str, Callable[[Path], Path]] = {
    "repair": _repair,
    "edit": _edit,
    "convert_ngff_version": _convert_ngff_version,
    "add_pyramid": _add_pyramid,
    "process": _process,
}

_scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5)
_blocks = st.dictionaries(
    st.text(max_size=5), _scalars | st.lists(_scalars, max_size=2), max_size=2
)
_keys = st.text(min_size=1, max_size=5).map(lambda key: f"other {key}")
_by_key = st.dictionaries(_keys, _blocks, min_size=1, max_size=2)


def _attributes(path: Path, group: str) -> dict[str, Any]:
    attributes: dict[str, Any] = json.loads(
        (path / group / "zarr.json").read_text(encoding="utf-8")
    )["attributes"]
    return attributes


def _store(path: Path, group: str, attributes: dict[str, Any]) -> None:
    content = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    (path / group / "zarr.json").write_text(json.dumps(content), encoding="utf-8")


def _blocks_of(attributes: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the objects to which other programs add keys."""
    ome = attributes["ome"]
    multiscales = {f"multiscale {n}": each for n, each in enumerate(ome.get("multiscales", ()))}
    omero = {"omero": ome["omero"]} if "omero" in ome else {}
    return {"attributes": attributes, "ome": ome, **multiscales, **omero}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "run.ome.zarr"
    dimensions = [
        Dimension(
            name="p", type="position", coords=[Position(name=n, x_coord=1.0) for n in IMAGES]
        ),
        Dimension(name="c", coords=["first", "second"]),
        Dimension(name="z", count=2, scale=1.0),
        Dimension(name="y", count=130, scale=0.5),
        Dimension(name="x", count=130, scale=0.5),
    ]
    plan = AcquisitionSettings(root_path=path, dimensions=dimensions, dtype="uint8")
    with ome_writers.create_stream(plan) as stream:
        for number in range(8):
            stream.append(np.full((130, 130), number, "uint8"))
    return path


@pytest.mark.parametrize("name", OPERATIONS)
@settings(
    max_examples=8 if SWEEPS else 4, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(keys=st.fixed_dictionaries(dict.fromkeys(GROUPS, _by_key)))
def test_keys_of_other_programs_survive(
    dataset: Path, name: str, keys: dict[str, dict[str, Any]]
) -> None:
    """`process` writes another dataset: of it, the keys of the root group are compared."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(shutil.copytree(dataset, Path(folder, "run.ome.zarr")))
        for group in GROUPS:
            attributes = _attributes(path, group)
            for block in _blocks_of(attributes).values():
                block.update(keys[group])
            _store(path, group, attributes)
        output = OPERATIONS[name](path)
        if output != path:
            assert keys[""].items() <= _attributes(output, "").items()
            return
        for group in GROUPS:
            for where, block in _blocks_of(_attributes(output, group)).items():
                assert keys[group].items() <= block.items(), (group, where)
