"""Limits on file length, and reasons for every exception to a rule."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from support.sources import name_of, source_files

if TYPE_CHECKING:
    from pathlib import Path

MAX_LINES = 300
REASON = re.compile(r"^# Longer than 300 lines: \S.{10,}", re.M)
SILENCED = re.compile(r"#\s*(type: ignore|pyright: ignore|noqa)(?P<rest>.*)")
CODE = re.compile(r"\[[\w, -]+\]|: ?[A-Z]+\d+(, ?[A-Z]+\d+)*")
EXPLAINED = re.compile(rf"({CODE.pattern})\s*(#|--)\s*\S.{{5,}}")


@pytest.mark.parametrize("path", source_files(), ids=name_of)
def test_file_has_at_most_300_lines(path: Path) -> None:
    """A longer file contains a line "# Longer than 300 lines: why"."""
    text = path.read_text(encoding="utf-8")
    lines, reason = text.count("\n"), REASON.search(text) is not None
    assert lines <= MAX_LINES or reason, f"{lines} lines"


@pytest.mark.parametrize("path", source_files(), ids=name_of)
def test_type_ignore_and_noqa_have_a_reason(path: Path) -> None:
    """A ``type: ignore`` or ``noqa`` has its code, and a reason after it or on the line above."""
    above = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if match := SILENCED.search(line):
            rest = match["rest"].strip()
            assert CODE.match(rest), line
            assert EXPLAINED.match(rest) or above.lstrip().startswith("# "), line
        above = line
