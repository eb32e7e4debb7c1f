"""A new stream at the path of a recording whose writer was killed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ome_writers
from ome_writers import AcquisitionSettings, OutputExistsError, create_stream
from ome_writers.repair import repair
from support.interrupted import write_and_kill

NAMES = {
    "run.ome.zarr": "run.interrupted-1.ome.zarr",
    "run.ome.tiff": "run.interrupted-1.ome.tiff",
    "set.ome.tiff": "set.interrupted-1",
}


def settings(folder: Path, name: str, *, overwrite: bool = False) -> AcquisitionSettings:
    sizes = {"p": 2} if name.startswith("set") else {}
    return AcquisitionSettings(
        root_path=folder / name,
        dimensions=ome_writers.dims_from_standard_axes({**sizes, "t": 9, "y": 4, "x": 6}),
        dtype="uint16",
        overwrite=overwrite,
    )


def requires_engine(name: str) -> None:
    if name.endswith("tiff"):
        pytest.importorskip("tifffile", reason="the engine of OME-TIFF asks for it")


@pytest.mark.parametrize("name", NAMES)
def test_error_names_frames_of_an_interrupted_recording(tmp_path: Path, name: str) -> None:
    requires_engine(name)
    path = write_and_kill(settings(tmp_path, name), flushed=5, appended=5)
    expected = 18 if name.startswith("set") else 9
    with pytest.raises(OutputExistsError) as error:
        create_stream(settings(tmp_path, name))
    assert f"{path} exists and contains 5 of {expected} frames of an interrupted" in str(
        error.value
    )
    assert f'ome-writers repair "{path}"' in str(error.value)


@pytest.mark.parametrize("name", NAMES)
def test_overwrite_keeps_an_interrupted_recording(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    requires_engine(name)
    write_and_kill(settings(tmp_path, name), flushed=5, appended=5)
    with create_stream(settings(tmp_path, name, overwrite=True)) as stream:
        for _ in range(stream.settings.num_frames or 0):
            stream.append(np.full((4, 6), 99, "uint16"))
    assert (np.asarray(ome_writers.open(stream.settings.output_path)) == 99).all()
    kept = tmp_path / NAMES[name]
    assert str(kept) in caplog.text
    assert ome_writers.read(kept).frames_written == 5
    frames = np.asarray(ome_writers.open(kept)).reshape(-1, 4, 6)
    assert frames[:5, 0, 0].tolist() == [1, 2, 3, 4, 5]
    assert not repair(kept).unsolved
    # closed now: replaced as any other dataset
    with create_stream(settings(tmp_path, name, overwrite=True)) as stream:
        stream.append(np.full((4, 6), 7, "uint16"))
    assert not (tmp_path / NAMES[name].replace("-1", "-2")).exists()
