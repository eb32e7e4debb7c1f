"""Every example runs from an empty folder, without a warning, and says what it did."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.codeblocks import skip_where_zarr_python_is_too_old

# Micro-Manager's core now and then crashes a process that takes it down at the end; that end is left out.
RUN = (
    "import os, runpy, sys; sys.argv.pop(0); runpy.run_path(sys.argv[0], run_name='__main__'); "
    "sys.stdout.flush(); 'pymmcore_plus' in sys.modules and os._exit(0)"
)
ABORTED = "FATAL: exception not rethrown"
EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_example_runs(example: Path, tmp_path: Path) -> None:
    """The example ends well, prints something, and leaves nothing outside its folder."""
    skip_where_zarr_python_is_too_old(example.read_text(encoding="utf-8"))
    before = set(example.parent.iterdir())
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUN, str(example)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    # All that the C library says when a core is alive as Python ends (see ome_writers_pymmcore.ending).
    aborted = (done.returncode, done.stderr.strip()) == (-signal.SIGABRT, ABORTED)
    assert done.returncode == 0 or aborted, done.stdout + done.stderr
    assert done.stdout.strip()
    assert set(example.parent.iterdir()) - before <= {example.parent / "__pycache__"}
