"""Where an MDAWriter writes, and how: what is chosen, what is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from adapters.pymmcore.runs import delivered
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


def test_an_output_that_exists_ends_the_run_before_it_begins(
    demo_core: CMMCorePlus, tmp_path: Path
) -> None:
    """What exists stays; the run takes no frame, and whoever asks for the result gets the error."""
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
def test_a_second_run_has_a_way_out(
    demo_core: CMMCorePlus, suffix: str, several: bool, tmp_path: Path
) -> None:
    """With numbered=True a run onto the same path takes the next free name, for folders of TIFFs as well."""
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
def test_a_second_run_by_the_clients_own_sink(
    demo_core: CMMCorePlus, suffix: str, several: bool, tmp_path: Path
) -> None:
    """A path that is taken, or whose folder of TIFFs is, ends the run before it begins, with the ways out."""
    seq = useq.MDASequence(stage_positions=[(0, 0), (1, 1)] if several else [], channels=TWO)
    output = tmp_path / f"x.ome.{suffix}"
    demo_core.mda.run(seq, output=output)
    taken = tmp_path / "x" if several and suffix == "tiff" else output
    assert {path.name for path in tmp_path.iterdir()} == {output.name, taken.name}
    before = sorted((p, p.stat().st_mtime_ns) for p in taken.rglob("*"))
    with pytest.raises(OutputExistsError, match=rf"{taken.name} exists.*overwrite=True") as said:
        demo_core.mda.run(seq, output=output)
    assert ("x.ome.tiff becomes the folder x" in str(said.value)) == (taken != output)
    assert sorted((p, p.stat().st_mtime_ns) for p in taken.rglob("*")) == before
    with delivered(demo_core) as frames:
        demo_core.mda.run(seq, output=output, overwrite=True)
    check_delivered(output, seq, frames)
    demo_core.mda.run(seq, output=tmp_path / f"y.ome.{suffix}")


def test_a_backend_that_takes_frames_in_order_only_says_so(
    demo_core: CMMCorePlus, tmp_path: Path
) -> None:
    """acquire-zarr cannot be addressed: the run ends with the reason and two ways out."""
    pytest.importorskip("acquire_zarr")
    writer = MDAWriter(tmp_path / "x.ome.zarr", core=demo_core, format="acquire-zarr")
    demo_core.mda.run(useq.MDASequence(time_plan=TIMES), output=writer)
    with pytest.raises(UnsupportedError, match=r"acquire-zarr.*output=path"):
        writer.result()


def test_settings_are_checked_when_the_writer_is_made() -> None:
    """A wrong field is refused at once, not when the microscope is ready."""
    with pytest.raises(ValueError, match="zip"):
        MDAWriter("x.ome.zarr", compression="zip")
    with pytest.raises(ValueError, match="dimensions"):
        MDAWriter("x.ome.zarr", plate={"row_names": ["A"], "column_names": ["1"]})


def test_settings_go_through(demo_core: CMMCorePlus, tmp_path: Path) -> None:
    """Settings as an object, as keywords, and as shapes of chunks and shards reach the stream."""
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


def test_memory_is_an_output(demo_core: CMMCorePlus) -> None:
    """``"memory"`` keeps the frames where no file is wanted."""
    writer = MDAWriter("memory", core=demo_core)
    with delivered(demo_core) as frames:
        demo_core.mda.run(useq.MDASequence(time_plan=TIMES), output=writer)
    writer.result()
    np.testing.assert_array_equal(np.asarray(writer.view()), [frame for _, frame in frames])
