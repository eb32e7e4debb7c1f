"""Companions of a stream, found by entry point: what is called, and when; missing ones."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ome_writers
from ome_writers import (
    AcquisitionSettings,
    UnsupportedError,
    create_stream,
    dims_from_standard_axes,
)

pytestmark = pytest.mark.thread_writer  # the companion is in this process
_FIELD = "experiment"
_EXPERIMENT = {"license": "CC-BY-4.0"}

calls: list[Any] = []


class Recorder:
    """Serves the field `experiment` instead of the RO-Crate."""

    def check(self, settings: AcquisitionSettings) -> None:
        calls.append(("check", settings.experiment is not None))

    def opened(self, layout: Any, settings: AcquisitionSettings, engine: Any) -> None:
        del engine
        calls.append(("opened", layout.output.name, settings.dtype))

    def restarted(self, layout: Any, settings: AcquisitionSettings, engine: Any) -> None:
        del engine
        calls.append(("restarted", layout.output.name, settings.dtype))

    def closing(self, spec: Any) -> Iterator[tuple[str, bytes]]:
        calls.append(("closing", spec.status))
        yield "notes/one.txt", b"written"

    def closed(self) -> None:
        calls.append("closed")

    def interrupted(self) -> None:
        calls.append("interrupted")

    def discarded(self) -> None:
        calls.append("discarded")

    def stats(self) -> Mapping[str, int]:
        return {"files_mirrored": 7}


@pytest.fixture
def companion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[Recorder]:
    """Install `Recorder` before the packages of this environment, as a package index would."""
    info = tmp_path / "site" / "companion-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: companion\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(
        f"[ome_writers.companions]\n{_FIELD} = companion_of_test:Recorder\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setitem(sys.modules, "companion_of_test", sys.modules[__name__])
    calls.clear()
    return Recorder


def settings(path: Path, **fields: Any) -> AcquisitionSettings:
    dimensions = dims_from_standard_axes({"t": 2, "y": 8, "x": 8})
    fields = {"dtype": "uint16", "experiment": _EXPERIMENT, **fields}
    return AcquisitionSettings(root_path=path, dimensions=dimensions, **fields)


@pytest.mark.usefixtures("companion")
def test_calls_during_an_acquisition_with_a_restart(tmp_path: Path) -> None:
    with create_stream(settings(tmp_path / "a.ome.zarr")) as stream:
        stream.append(np.zeros((8, 8), "uint16"))
        stream.restart(settings(tmp_path / "b.ome.zarr"))
        stream.append(np.ones((8, 8), "uint16"))
        assert stream.stats().files_mirrored == 7
    assert calls == [
        ("check", True),
        ("opened", "a.ome.zarr", "uint16"),
        ("check", True),
        ("restarted", "b.ome.zarr", "uint16"),
        ("closing", "complete"),
        "closed",
    ]
    assert (tmp_path / "b.ome.zarr" / "notes" / "one.txt").read_bytes() == b"written"


@pytest.mark.usefixtures("companion")
def test_restart_without_the_field_discards_its_companion(tmp_path: Path) -> None:
    with create_stream(settings(tmp_path / "a.ome.zarr")) as stream:
        stream.restart(settings(tmp_path / "a.ome.zarr", experiment=None))
        stream.append(np.ones((8, 8), "uint16"))
    assert calls[-1] == "discarded"


def test_field_without_a_companion_is_refused_before_anything_is_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in an installation without the tools."""
    path = tmp_path / "a.ome.zarr"
    monkeypatch.setattr("ome_writers.streaming.companions.ENTRY_POINT_GROUP", "ome_writers.none")
    for fields in ({}, {"mirror": str(tmp_path / "copy"), "experiment": None}):
        with pytest.raises(
            UnsupportedError, match=r"settings.\w+ is set, and nothing is installed"
        ):
            create_stream(settings(path, **fields))
    assert list(tmp_path.iterdir()) == []


def test_resumed_stream_continues_the_copy(tmp_path: Path) -> None:
    pytest.importorskip("obstore", reason="obstore is not installed")
    path, copy = tmp_path / "a.ome.zarr", tmp_path / "copy"
    with create_stream(settings(path, mirror=str(copy))) as stream:
        stream.append(np.zeros((8, 8), "uint16"))
    with create_stream(settings(path, mirror=str(copy)), resume=True) as stream:
        stream.append(np.ones((8, 8), "uint16"))
    assert ome_writers.read(copy).status == "complete"
    assert np.asarray(ome_writers.open(copy))[:, 0, 0].tolist() == [0, 1]
