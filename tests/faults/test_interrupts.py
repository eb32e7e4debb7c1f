"""KeyboardInterrupt at every line of Python that `append` and `close` run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.interrupts import FORMS, interrupt_append, interrupt_close

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.interrupts import Interrupted


def _every_line(interrupt: Callable[[int], Interrupted]) -> tuple[int, list[tuple[int, int]]]:
    """Return the number of lines, and (line, frame) of each frame that an interrupt there has lost."""
    line, lost = 1, []
    while True:
        result = interrupt(line)
        lost += [(line, frame) for frame in result.lost]
        if not result.hit:
            return line - 1, lost
        line += 1


@pytest.mark.timeout(600)
@pytest.mark.parametrize("form", FORMS)
def test_an_interrupt_at_any_line_of_append_costs_no_other_frame(tmp_path: Path, form: str) -> None:
    """After the interrupt the stream takes the rest, and all other frames are on disk with their metadata."""
    lines, lost = _every_line(lambda line: interrupt_append(form, tmp_path, line))
    print(f"{form}: append interrupted at {lines} lines, {len(lost)} other frames lost")
    assert lines > 50
    assert not lost


@pytest.mark.timeout(600)
@pytest.mark.parametrize("form", ["direct", "direct-shards", "tifffile", "tensorstore"])
def test_an_interrupt_with_an_explicit_index_costs_no_other_frame(
    tmp_path: Path, form: str
) -> None:
    """The same where each frame says where it goes."""
    lines, lost = _every_line(lambda line: interrupt_append(form, tmp_path, line, explicit=True))
    print(f"{form}: append(index=...) interrupted at {lines} lines, {len(lost)} other frames lost")
    assert lines > 50
    assert not lost


@pytest.mark.timeout(600)
@pytest.mark.parametrize("form", FORMS)
def test_an_interrupt_at_any_line_of_close_costs_no_frame(tmp_path: Path, form: str) -> None:
    """The next call of `close` finishes what the interrupted one began."""
    lines, lost = _every_line(lambda line: interrupt_close(form, tmp_path, line))
    print(f"{form}: close interrupted at {lines} lines, {len(lost)} frames lost")
    assert lines > 10
    assert not lost
