"""Other people's readers and validators agree with what was meant: four layouts, three orders, every engine."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from third_party_readers.datasets import (
    ENGINES,
    LAYOUTS,
    ORDERS,
    Written,
    accepted_by_ome_zarr_models,
    document,
    strict,
    through_tensorstore,
    through_zarr_python,
    write,
)

yaozarrs = pytest.importorskip("yaozarrs", reason="a validator of OME-Zarr")


@pytest.fixture(params=LAYOUTS)
def layout(request: pytest.FixtureRequest) -> str:
    """Return a layout's name."""
    return request.param


@pytest.fixture(params=list(ORDERS))
def order(request: pytest.FixtureRequest) -> str:
    """Return an acquisition order."""
    return request.param


@pytest.fixture(params=ENGINES)
def written(request: pytest.FixtureRequest, tmp_path: Path, layout: str, order: str) -> Written:
    """Return a dataset of each layout and order, written by each engine."""
    return write(tmp_path / "x.ome.zarr", layout, order, request.param)


def test_every_reader_finds_what_was_appended(written: Written, layout: str) -> None:
    """Validators accept the dataset, its documents are strict JSON, and two readers return every pixel."""
    yaozarrs.validate_zarr_store(str(written.root))
    for path in written.root.rglob("zarr.json"):
        strict(path)
    assert document(written.root)["ome_writers"]["status"] == "complete"
    for group, pixels in written.images.items():
        array = written.root / group / "0"
        assert strict(array / "zarr.json")["dimension_names"] == list("tczyx")
        assert np.array_equal(through_tensorstore(array), pixels)
    if sys.version_info >= (3, 11):
        for group, pixels in written.images.items():
            assert np.array_equal(through_zarr_python(written.root / group / "0"), pixels)
        # ome-zarr-models 1.7 knows no collection of version 0.5: there, each image is opened.
        roots = [""] if layout == "plate" else []
        accepted_by_ome_zarr_models(written.root, [*roots, *written.images])
