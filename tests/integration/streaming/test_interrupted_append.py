"""Ctrl-C in `append` loses at most the frame of that call. `tox -e faults` interrupts at every line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.interrupts import FORMS, interrupt_append, interrupt_close

if TYPE_CHECKING:
    from pathlib import Path

STEP = 9  # one line of so many


@pytest.mark.parametrize("form", FORMS)
def test_interrupted_append_keeps_all_other_frames(tmp_path: Path, form: str) -> None:
    """All frames but that of the call are on disk with their metadata, and the stream goes on."""
    line = 1
    while (result := interrupt_append(form, tmp_path, line)).hit:
        assert not result.lost, f"line {line}"
        line += STEP
    assert not result.lost
    assert line > 50


@pytest.mark.parametrize("form", ["direct-shards", "tifffile", "zarr-python"])
def test_close_can_be_repeated_after_interrupt(tmp_path: Path, form: str) -> None:
    line = 1
    while (result := interrupt_close(form, tmp_path, line)).hit:
        assert not result.lost, f"line {line}"
        line += STEP
    assert line > 10
