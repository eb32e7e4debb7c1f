"""KeyboardInterrupt at every line of Python code of `append` and `close`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.interrupts import FORMS, interrupt_append, interrupt_close

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.interrupts import Interrupted


def _every_line(interrupt: Callable[[int], Interrupted]) -> tuple[int, list[tuple[int, int]]]:
    """Return the number of lines, and (line, frame) of each frame lost by an interrupt there."""
    line, lost = 1, []
    while True:
        result = interrupt(line)
        lost += [(line, frame) for frame in result.lost]
        if not result.hit:
            return line - 1, lost
        line += 1


@pytest.mark.timeout(600)
@pytest.mark.parametrize("form", FORMS)
def test_interrupted_append_loses_no_other_frame(tmp_path: Path, form: str) -> None:
    """The stream accepts the remaining frames, and all others are on disk with their metadata."""
    lines, lost = _every_line(lambda line: interrupt_append(form, tmp_path, line))
    print(f"{form}: append interrupted at {lines} lines, {len(lost)} other frames lost")
    assert lines > 50
    assert not lost


@pytest.mark.timeout(600)
@pytest.mark.parametrize("form", ["direct", "direct-shards", "tifffile", "tensorstore"])
def test_interrupted_append_by_index_loses_no_other_frame(tmp_path: Path, form: str) -> None:
    lines, lost = _every_line(lambda line: interrupt_append(form, tmp_path, line, explicit=True))
    print(f"{form}: append(index=...) interrupted at {lines} lines, {len(lost)} other frames lost")
    assert lines > 50
    assert not lost


@pytest.mark.timeout(600)
@pytest.mark.parametrize("form", FORMS)
def test_interrupted_close_loses_no_frame(tmp_path: Path, form: str) -> None:
    """The next call of `close` completes the interrupted one."""
    lines, lost = _every_line(lambda line: interrupt_close(form, tmp_path, line))
    print(f"{form}: close interrupted at {lines} lines, {len(lost)} frames lost")
    assert lines > 10
    assert not lost
