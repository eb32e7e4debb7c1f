"""Third-party readers and validators accept four layouts, three axis orders and every engine."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from system.third_party_readers.datasets import (
    ENGINES,
    LAYOUTS,
    ORDERS,
    attributes,
    read_strict_json,
    read_with_tensorstore,
    read_with_zarr_python,
    validate_with_ome_zarr_models,
    write,
)

yaozarrs = pytest.importorskip("yaozarrs", reason="a validator of OME-Zarr")


# A normal run has one axis order for each engine and layout, and each order with each of both.
CASES = [
    pytest.param(
        layout,
        order,
        *engine.values,
        marks=[*engine.marks, *([] if (i + j + k) % len(ORDERS) == 0 else [pytest.mark.sweep])],
    )
    for i, layout in enumerate(LAYOUTS)
    for j, order in enumerate(ORDERS)
    for k, engine in enumerate(ENGINES)
]


@pytest.mark.parametrize(("layout", "order", "engine"), CASES)
def test_readers_and_validators(tmp_path: Path, layout: str, order: str, engine: str) -> None:
    """Validators accept the dataset, its metadata is strict JSON, and two readers return every pixel."""
    written = write(tmp_path / "x.ome.zarr", layout, order, engine)
    yaozarrs.validate_zarr_store(str(written.root))
    for path in written.root.rglob("zarr.json"):
        read_strict_json(path)
    assert attributes(written.root)["ome_writers"]["status"] == "complete"
    for group, pixels in written.images.items():
        array = written.root / group / "0"
        assert read_strict_json(array / "zarr.json")["dimension_names"] == list("tczyx")
        assert np.array_equal(read_with_tensorstore(array), pixels)
    if sys.version_info >= (3, 11):
        for group, pixels in written.images.items():
            assert np.array_equal(read_with_zarr_python(written.root / group / "0"), pixels)
        # ome-zarr-models 1.7 does not support collections of version 0.5: open each image.
        roots = [""] if layout == "plate" else []
        validate_with_ome_zarr_models(written.root, [*roots, *written.images])
