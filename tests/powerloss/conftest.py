"""The results of all layouts as one table at the end of the run."""

from __future__ import annotations

import pytest

from powerloss.checking import HEADER

ROWS = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def rows(pytestconfig: pytest.Config) -> list[str]:
    """Return the list of table rows."""
    return pytestconfig.stash.setdefault(ROWS, [])


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the table."""
    found = config.stash.get(ROWS, [])
    if found:
        terminalreporter.write_line(f"\n{HEADER}")
        terminalreporter.write_line("|" + "---|" * HEADER.count(" | ") + "---|")
        for row in found:
            terminalreporter.write_line(row)
