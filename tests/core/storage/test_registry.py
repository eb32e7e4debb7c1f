"""Requirements of engines, and settings that they do not support."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ome_writers import AcquisitionSettings, Dimension, storage
from ome_writers.routing import resolve
from ome_writers.storage import ENGINES, EngineRow


@pytest.mark.parametrize(
    ("version", "fits"),
    [("0.10", True), ("0.10rc1", True), ("0.11.dev3+gabc", True), ("1a1", True), ("0.9.7", False)],
)
def test_required_version_with_prereleases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, fits: bool
) -> None:
    (tmp_path / "someengine.py").write_text("")
    dist_info = tmp_path / f"someengine-{version}.dist-info"
    dist_info.mkdir()
    (dist_info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: someengine\nVersion: {version}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    row = EngineRow(
        name="some",
        format="ome-zarr",
        module="someengine",
        requires=("someengine",),
        extra=None,
        compressions=frozenset({"none"}),
        oldest=("someengine", (0, 10)),
    )
    assert (row.missing_requirement() is None) == fits


def test_missing_requirement_names_the_missing_module() -> None:
    """An engine whose library is installed, without another module that it needs."""
    row = replace(ENGINES["tifffile"], requires=("json", "no_such_module"))
    message = row.missing_requirement()
    assert message is not None
    assert message.startswith("tifffile needs no_such_module, which is not installed: pip install")


def unsupported_reasons(engine: str, *dimensions: Dimension, dtype: str = "uint16") -> list[str]:
    frame = [Dimension(name=name, count=4) for name in "yx"]
    return storage.unsupported_reasons(
        ENGINES[engine],
        resolve(
            AcquisitionSettings(
                root_path="run", format=engine, dimensions=[*dimensions, *frame], dtype=dtype
            )
        ),
    )


@pytest.mark.parametrize("count", [1, 2])
def test_sequential_engine_stores_the_unbounded_axis_first(count: int) -> None:
    """An unbounded axis after another one is refused, even if that has a single element."""
    endless, times = Dimension(name="turn", type="other"), Dimension(name="t", count=count)
    (reason,) = unsupported_reasons("acquire-zarr", endless, times)
    assert reason.startswith(
        "the axis that is acquired slowest must be stored first: 'turn' cannot follow"
    )
    assert not unsupported_reasons("tensorstore", endless, times)
    assert not unsupported_reasons(
        "acquire-zarr", Dimension(name="t"), Dimension(name="turn", count=count)
    )


def test_unsupported_dtype_names_format_or_engine() -> None:
    assert unsupported_reasons("tifffile", dtype="bool") == [
        "OME-TIFF has no pixel type for dtype 'bool' (use uint8 instead)"
    ]
    assert unsupported_reasons("acquire-zarr", dtype="complex64") == [
        "dtype 'complex64' is not supported"
    ]
