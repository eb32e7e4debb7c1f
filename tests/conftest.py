"""Settings for every test: no log file in the home directory, no deadline of hypothesis, no colours."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
from hypothesis import settings

from ome_writers.streaming import events
from ome_writers.views import summary
from support.sweeps import SWEEPS

# pymmcore-plus writes a log file into the user's home and its messages to the terminal.
os.environ.setdefault("PYMM_LOG_FILE", "0")
os.environ.setdefault("PYMM_LOG_LEVEL", "ERROR")

# The threads that OpenBLAS starts with each process take 0.1 s of CPU time, and no test multiplies matrices.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Output is compared without colours, whatever the terminal or CI requests.
for name in ("FORCE_COLOR", "NO_COLOR"):
    os.environ.pop(name, None)

settings.register_profile("default", deadline=None, max_examples=100 if SWEEPS else 30)
settings.register_profile("thorough", deadline=None, max_examples=2000)
settings.register_profile("long", deadline=None, max_examples=6000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# Within these times, a busy machine may not run the thread that is waited for.
events.CLOSE_TIMEOUT_S = 300.0
summary._THUMBNAIL_TIMEOUT_S = 300.0


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers that select crash and disk-failure tests, see ``tests/faults/conftest.py``."""
    gc.disable()  # until all tests are collected
    config.addinivalue_line("markers", "fault: runs only in `tox -e faults`")
    config.addinivalue_line("markers", "short: a crash test that normal test runs include")
    config.addinivalue_line(
        "markers", "thread_writer: of a writer in this process; see `tox -e process`"
    )
    config.addinivalue_line("markers", "sweep: one of many similar cases, only in `tox -e sweeps`")


@pytest.hookimpl(trylast=True)  # after pytest-rerunfailures
def pytest_sessionstart(session: pytest.Session) -> None:
    """Keep the number of reruns in each of xdist's workers.

    pytest-rerunfailures asks the main process for it before each test, over a socket that
    delays small messages: 40 to 500 ms per test. Only a test that ends its worker needs that.
    """
    if hasattr(session.config, "workerinput") and hasattr(session.config, "failures_db"):
        from pytest_rerunfailures import StatusDB

        session.config.failures_db.sock.close()
        session.config.failures_db = StatusDB()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the cases of sweeps, unless `OME_WRITERS_SWEEPS` is set; and what ``tox -e process`` cannot run."""
    marks = [] if SWEEPS else ["sweep"]
    if os.environ.get("OME_WRITERS_WRITER") == "process":
        marks.append("thread_writer")
    deselected = {item for item in items if any(map(item.get_closest_marker, marks))}
    config.hook.pytest_deselected(items=[*deselected])
    items[:] = [item for item in items if item not in deselected]


def pytest_collection_finish() -> None:
    """Exclude the collected tests from garbage collections, which take longer with them."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def repository() -> Path:
    """Return the directory of ``pyproject.toml``."""
    return Path(__file__).parent.parent
