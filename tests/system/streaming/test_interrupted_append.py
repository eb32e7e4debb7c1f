"""Ctrl-C in `append` loses at most the frame of that call. `tox -e faults` interrupts at every line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ome_writers import validate
from ome_writers.repair import repair
from support.interrupts import FORMS, interrupt_append, interrupt_close, interrupt_last_append
from support.sweeps import SWEEPS

if TYPE_CHECKING:
    from pathlib import Path

STEP = 17 if SWEEPS else 197  # one line of so many


@pytest.mark.parametrize("form", FORMS)
def test_interrupted_append_keeps_all_other_frames(tmp_path: Path, form: str) -> None:
    """All frames but that of the call are on disk with their metadata, and the stream goes on."""
    line = 1
    while (result := interrupt_append(form, tmp_path, line)).hit:
        assert not result.lost, f"line {line}"
        line += STEP
    assert not result.lost
    assert line > 50


@pytest.mark.parametrize("form", ["direct", "direct-deep-chunks-in-shards", "direct-levels"])
def test_dataset_closed_after_interrupt_is_valid_once_repaired(tmp_path: Path, form: str) -> None:
    """A frame that the engine has stored but the stream has not counted becomes part of the dataset."""
    line = 1
    while (result := interrupt_last_append(form, tmp_path, line)).hit:
        assert not result.lost, f"line {line}"
        assert not validate(result.path).findings, f"line {line}"
        assert not repair(result.path).findings, f"line {line}"
        line += STEP
    assert line > 50


@pytest.mark.parametrize("form", ["direct-shards", "tifffile", "zarr-python"])
def test_close_can_be_repeated_after_interrupt(tmp_path: Path, form: str) -> None:
    line = 1
    while (result := interrupt_close(form, tmp_path, line)).hit:
        assert not result.lost, f"line {line}"
        line += STEP
    assert line > 10
