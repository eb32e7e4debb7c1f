"""Where an MDAWriter writes, and how: what is chosen, what is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from adapters.pymmcore.acquisitions import delivered
from adapters.pymmcore.stored import SUFFIXES, check_delivered, read
from ome_writers import AcquisitionSettings, OutputExistsError, UnsupportedError
from ome_writers_pymmcore import MDAWriter

pytest.importorskip("useq")
pytest.importorskip("pymmcore_plus")
pytest.importorskip("tensorstore", reason="the independent reader")
pytest.importorskip("tifffile", reason="the independent reader")

import useq

if TYPE_CHECKING:
    from pathlib import Path

    from pymmcore_plus import CMMCorePlus

pytestmark = pytest.mark.camera

TIMES = {"interval": 0, "loops": 5}
TWO = ["DAPI", "FITC"]


def test_existing_output_is_refused_before_first_frame(
    demo_core: CMMCorePlus, tmp_path: Path
) -> None:
    """The existing output is unchanged, and `result` raises the error."""
    seq = useq.MDASequence(time_plan=TIMES)
    first = MDAWriter(tmp_path / "x.ome.zarr", core=demo_core)
    demo_core.mda.run(seq, output=first)
    before = read(tmp_path / "x.ome.zarr")[0].pixels
    second = MDAWriter(tmp_path / "x.ome.zarr").attach(demo_core)
    with delivered(demo_core) as frames:
        demo_core.mda.run(seq)
    second.detach()
    assert frames == []
    with pytest.raises(OutputExistsError, match=r"x\.ome\.zarr"):
        second.result()
    np.testing.assert_array_equal(read(tmp_path / "x.ome.zarr")[0].pixels, before)


@SUFFIXES
@pytest.mark.parametrize("several", [False, True])
def test_second_run_numbered_or_overwritten(
    demo_core: CMMCorePlus, suffix: str, several: bool, tmp_path: Path
) -> None:
    """``numbered=True`` writes to the next unused name, also for directories of TIFF files."""
    seq = useq.MDASequence(stage_positions=[(0, 0), (1, 1)] if several else [], channels=TWO)
    for _ in range(3):
        writer = MDAWriter(tmp_path / f"x.ome.{suffix}", core=demo_core, numbered=True)
        demo_core.mda.run(seq, output=writer)
        writer.result()
    names = [f"x{n}.ome.{suffix}" for n in ("", "_1", "_2")]
    if several and suffix == "tiff":
        names += ["x", "x_1", "x_2"]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(names)


@SUFFIXES
@pytest.mark.parametrize("several", [False, True])
def test_second_run_with_sink_of_pymmcore_plus(
    demo_core: CMMCorePlus, suffix: str, several: bool, tmp_path: Path
) -> None:
    """An existing path, or directory of TIFF files, ends the run before the first frame, with a solution."""
    seq = useq.MDASequence(stage_positions=[(0, 0), (1, 1)] if several else [], channels=TWO)
    output = tmp_path / f"x.ome.{suffix}"
    demo_core.mda.run(seq, output=output)
    taken = tmp_path / "x" if several and suffix == "tiff" else output
    assert {path.name for path in tmp_path.iterdir()} == {output.name, taken.name}
    before = sorted((p, p.stat().st_mtime_ns) for p in taken.rglob("*"))
    with pytest.raises(OutputExistsError, match=rf"{taken.name} exists.*overwrite=True") as error:
        demo_core.mda.run(seq, output=output)
    assert ("x.ome.tiff becomes the folder x" in str(error.value)) == (taken != output)
    assert sorted((p, p.stat().st_mtime_ns) for p in taken.rglob("*")) == before
    with delivered(demo_core) as frames:
        demo_core.mda.run(seq, output=output, overwrite=True)
    check_delivered(output, seq, frames)
    demo_core.mda.run(seq, output=tmp_path / f"y.ome.{suffix}")


def test_sequential_backend_is_refused(demo_core: CMMCorePlus, tmp_path: Path) -> None:
    """acquire-zarr cannot write at an index: the message has the reason and two alternatives."""
    pytest.importorskip("acquire_zarr")
    writer = MDAWriter(tmp_path / "x.ome.zarr", core=demo_core, format="acquire-zarr")
    demo_core.mda.run(useq.MDASequence(time_plan=TIMES), output=writer)
    with pytest.raises(UnsupportedError, match=r"acquire-zarr.*output=path"):
        writer.result()


def test_invalid_settings_are_refused_at_construction() -> None:
    with pytest.raises(ValueError, match="zip"):
        MDAWriter("x.ome.zarr", compression="zip")
    with pytest.raises(ValueError, match="root_path"):
        MDAWriter(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="dimensions"):
        MDAWriter("x.ome.zarr", plate={"row_names": ["A"], "column_names": ["1"]})


def test_settings_are_passed_on(demo_core: CMMCorePlus, tmp_path: Path) -> None:
    """As an AcquisitionSettings object, as keywords, and as chunk and shard shapes."""
    settings = AcquisitionSettings(root_path=tmp_path / "x.ome.zarr", compression="zstd")
    writer = MDAWriter(
        settings, core=demo_core, overwrite=True, chunk_shapes={"x": 24}, shard_shapes={"t": 5}
    )
    demo_core.mda.run(useq.MDASequence(time_plan=TIMES), output=writer)
    writer.result()
    found = writer.stream.settings
    assert (found.compression, found.overwrite, found.dtype) == ("zstd", True, "uint16")
    document = json.loads((tmp_path / "x.ome.zarr/0/zarr.json").read_text(encoding="utf-8"))
    assert document["chunk_grid"]["configuration"]["chunk_shape"] == [5, 32, 24]
    (codec,) = document["codecs"]
    assert codec["configuration"]["chunk_shape"] == [1, 32, 24]


def test_output_to_memory(demo_core: CMMCorePlus) -> None:
    writer = MDAWriter("memory", core=demo_core)
    with delivered(demo_core) as frames:
        demo_core.mda.run(useq.MDASequence(time_plan=TIMES), output=writer)
    writer.result()
    np.testing.assert_array_equal(np.asarray(writer.view()), [frame for _, frame in frames])
