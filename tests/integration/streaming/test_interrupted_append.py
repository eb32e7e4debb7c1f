"""Ctrl-C in `append`: at most the frame of that call is missing (every line: `tox -e faults`)."""

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
def test_interrupted_close_can_be_repeated(tmp_path: Path, form: str) -> None:
    """The second call brings all frames to disk."""
    line = 1
    while (result := interrupt_close(form, tmp_path, line)).hit:
        assert not result.lost, f"line {line}"
        line += STEP
    assert line > 10
