"""An engine of another package: found by its entry point, and tested by the contract suite of `ome_writers.testing`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ome_writers
from ome_writers.routing import resolve
from ome_writers.settings import engines
from ome_writers.storage import EngineRow, EngineStats, WriteFailure, choose
from ome_writers.testing import EngineContract


class PlaneFileEngine:
    """Writes each plane as one uncompressed chunk of a Zarr array, at once."""

    def __init__(self, root: Path, targets: Any, options: Any) -> None:
        self.root, self.targets, self.failures, self.frames = root, targets, [], 0
        self.flush([target.shape for target in targets])

    def chunk(self, array: int, index: tuple[int, ...]) -> Path:
        return self.root / self.targets[array].key / "/".join(map(str, ("c", *index, 0, 0)))

    def write(self, number: int, array: int, index: Any, frame: Any, owned: bool = False) -> None:
        path = self.chunk(array, index)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(np.ascontiguousarray(frame).tobytes())
            self.frames += number >= 0
        except OSError as error:
            self.failures.append(WriteFailure(error, (number,)))

    def recover(self, number: int) -> bool:
        return False  # a frame that was interrupted is written again

    def read(self, array: int, index: tuple[int, ...]) -> Any:
        target, path = self.targets[array], self.chunk(array, index)
        if not path.exists():
            return np.zeros(target.frame_shape, target.numpy_dtype)
        return (
            np.frombuffer(path.read_bytes(), target.numpy_dtype).reshape(target.frame_shape).copy()
        )

    def put(self, key: str, content: bytes) -> None:
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def flush(self, shapes: Any) -> None:
        for target, shape in zip(self.targets, shapes, strict=True):
            chunk = [1] * len(target.index_shape) + list(shape[-2:])
            self.put(f"{target.key}/zarr.json", json.dumps({
                "zarr_format": 3, "node_type": "array", "shape": shape,
                "data_type": target.dtype, "fill_value": 0, "attributes": {},
                "dimension_names": target.dims,
                "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
                "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
                "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
            }).encode())  # fmt: skip

    close = flush

    def stats(self) -> EngineStats:
        return EngineStats(self.frames)


ROW = EngineRow(
    name="plane-files",
    format="ome-zarr",
    module="plane_files",
    opener="PlaneFileEngine",
    requires=("plane_files",),
    extra=None,
    compressions=frozenset({"none"}),
    dtypes=frozenset({"uint8", "uint16", "float32"}),
    sharding=False,
    survives_power_loss=False,
)


@pytest.fixture(autouse=True)
def _installed(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Install the engine as a package with an entry point."""
    site = tmp_path_factory.mktemp("site")
    info = site / "plane_files-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plane-files\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ome_writers.engines]\nplane-files = plane_files:ROW\n")
    (site / "plane_files.py").write_text(
        f"import sys\nthis = sys.modules[{__name__!r}]\n"
        "ROW, PlaneFileEngine = this.ROW, this.PlaneFileEngine\n"
    )
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, "plane_files", raising=False)
    engines._installed_rows.cache_clear()
    yield
    engines._installed_rows.cache_clear()
    engines._temporary_patterns.cache_clear()  # computed from these rows


class TestPlaneFileEngine(EngineContract):
    row = ROW


def settings(path: Path, **more: Any) -> ome_writers.AcquisitionSettings:
    dims = ome_writers.dims_from_standard_axes({"t": 2, "y": 4, "x": 6})
    return ome_writers.AcquisitionSettings(root_path=path, dimensions=dims, dtype="uint16", **more)


def test_third_party_engine_is_selected_by_name(tmp_path: Path) -> None:
    """By ``format="plane-files"`` and by ``backend``; ``"auto"`` selects an engine of this library."""
    assert settings(tmp_path / "run", format="plane-files").format == ome_writers.OmeZarrFormat(
        backend="plane-files"
    )
    assert choose("auto", resolve(settings(tmp_path / "a.ome.zarr"))).name == "direct"


def test_unsupported_settings_are_refused_from_the_row(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'zstd' is not supported for backend 'plane-files'"):
        settings(tmp_path / "a", format="plane-files", compression="zstd")
    with pytest.raises(NotImplementedError, match="plane-files: it does not survive power loss"):
        ome_writers.create_stream(settings(tmp_path / "a", format="plane-files", durability="disk"))


def test_dataset_is_readable_without_its_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading, checking and repairing a dataset need no engine: its package may not be installed there."""
    path = tmp_path / "run.ome.zarr"
    with ome_writers.create_stream(settings(path, format="plane-files")) as stream:
        for value in (1, 2):
            stream.append(np.full((4, 6), value, "uint16"))
    monkeypatch.setattr(engines, "entry_points", lambda **_: ())
    engines._installed_rows.cache_clear()
    with pytest.raises(ValueError, match="Unknown format 'plane-files'"):
        settings(path, format="plane-files")
    spec = ome_writers.read(path)
    assert spec.settings is not None
    assert spec.settings.format.backend == "plane-files"
    assert np.array_equal(ome_writers.open(path)[:, 0, 0], [1, 2])
    assert ome_writers.validate(path).valid
