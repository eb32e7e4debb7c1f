"""Prints the number of refused inputs at the end of a run."""

from __future__ import annotations

import pytest

from system.invalid_input.cases import COUNTS


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if COUNTS["tried"]:
        terminalreporter.write_line(
            f"invalid inputs: {COUNTS['tried']} tried, {COUNTS['refused']} refused with a clear error"
        )
