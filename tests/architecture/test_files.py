"""Limits on file length, and reasons for every exception to a rule."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from support.sources import offenders

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_LINES = 300
REASON = re.compile(r"^# Longer than 300 lines: \S.{10,}", re.M)
SILENCED = re.compile(r"#\s*(type: ignore|pyright: ignore|noqa)(?P<rest>.*)")
CODE = re.compile(r"\[[\w, -]+\]|: ?[A-Z]+\d+(, ?[A-Z]+\d+)*")
EXPLAINED = re.compile(rf"({CODE.pattern})\s*(#|--)\s*\S.{{5,}}")


def _too_long(path: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf-8")
    lines = text.count("\n")
    if lines > MAX_LINES and not REASON.search(text):
        yield f"{lines} lines"


def _silenced_without_reason(path: Path) -> Iterator[str]:
    above = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if match := SILENCED.search(line):
            rest = match["rest"].strip()
            explained = EXPLAINED.match(rest) or above.lstrip().startswith("# ")
            if not (CODE.match(rest) and explained):
                yield line
        above = line


def test_files_have_at_most_300_lines() -> None:
    """A longer file contains a line "# Longer than 300 lines: why"."""
    assert not offenders(_too_long)


def test_type_ignore_and_noqa_have_a_reason() -> None:
    """A ``type: ignore`` or ``noqa`` has its code, and a reason after it or on the line above."""
    assert not offenders(_silenced_without_reason)
