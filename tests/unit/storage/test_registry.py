"""What an engine needs, asked of what is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from ome_writers.storage import EngineRow


@pytest.mark.parametrize(
    ("version", "fits"),
    [("0.10", True), ("0.10rc1", True), ("0.11.dev3+gabc", True), ("1a1", True), ("0.9.7", False)],
)
def test_versions_of_all_kinds_are_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, fits: bool
) -> None:
    """A library that is installed in a version before its release is judged by its number."""
    (tmp_path / "someengine.py").write_text("")
    told = tmp_path / f"someengine-{version}.dist-info"
    told.mkdir()
    (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: someengine\nVersion: {version}\n")
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
    assert (row.missing() is None) == fits
