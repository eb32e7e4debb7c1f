"""A run of this folder ends with how many bad inputs there were."""

from __future__ import annotations

import pytest

from refusals.bad import TRIED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures, which only the process has that ran the tests."""
    if TRIED["tried"]:
        terminalreporter.write_line(
            f"bad inputs: {TRIED['tried']} tried, {TRIED['refused']} refused with a clear error"
        )
