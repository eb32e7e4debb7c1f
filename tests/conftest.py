"""What every test may count on: no log in the user's home, no deadline on a busy machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# pymmcore-plus writes a log file into the user's home and its messages to the terminal.
os.environ.setdefault("PYMM_LOG_FILE", "0")
os.environ.setdefault("PYMM_LOG_LEVEL", "ERROR")

# Output is compared without colours, whatever the terminal or CI asks for.
for name in ("FORCE_COLOR", "NO_COLOR"):
    os.environ.pop(name, None)

try:
    from hypothesis import settings
except ImportError:  # the environment `layers` has no need of it
    pass
else:
    settings.register_profile("default", deadline=None)
    settings.register_profile("thorough", deadline=None, max_examples=2000)
    settings.register_profile("long", deadline=None, max_examples=6000)
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest of the marks that divide the tests of faults, see ``tests/faults/conftest.py``."""
    config.addinivalue_line("markers", "fault: for `tox -e faults`; the normal tests leave it out")
    config.addinivalue_line("markers", "short: a fault that the normal tests have, too")


@pytest.fixture(scope="session")
def repository() -> Path:
    """Return the folder that holds ``pyproject.toml``."""
    return Path(__file__).parent.parent
