"""redsun's unmodified `Writer` writes a product beside a dataset of ours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("ophyd_async", reason="ophyd-async needs Python 3.11 or later: tox -e ophyd")
pytest.importorskip("redsun.writers", reason="redsun is a dependency of tox -e ophyd only")

import bluesky.plans as bp
from ophyd_async.core import init_devices
from redsun import writers

import ome_writers
from adapters.ophyd.detectors import detector
from ome_writers_ophyd import OMEDataLogic

if TYPE_CHECKING:
    from bluesky.run_engine import RunEngine
    from ophyd_async.core import PathProvider


def test_redsun_writes_a_product_beside_the_dataset(
    engine: RunEngine, paths: PathProvider, tmp_path: Path
) -> None:
    with init_devices():
        camera = detector(OMEDataLogic(paths, shape=(32, 48)), "camera")
    writer = writers.Writer()
    writer.derive("mean", source="camera")
    means: list[str] = []

    def follow(name: str, document: dict[str, object]) -> None:
        if name == "stop":
            means.append(writer.write("mean", np.full((1, 32, 48), 7, "uint16")))
        writer(name, document)

    engine(bp.count([camera], num=2), follow)
    product = tmp_path / Path(means[0]).name
    assert np.asarray(ome_writers.open(product))[..., 0, 0].tolist() in ([7], [[7]])
    (dataset,) = (p for p in tmp_path.iterdir() if p.name != product.name)
    assert ome_writers.open(dataset).shape == (2, 32, 48)
    ome_writers.validate(dataset)
