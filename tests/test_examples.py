"""Every example runs in an empty directory without a warning and prints a result."""

from __future__ import annotations

import os
import re
import runpy
import signal
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

from ome_writers.storage import ENGINES
from support.codeblocks import skip_where_python_is_too_old
from support.preloaded import run_python

# Micro-Manager's core sometimes crashes during interpreter shutdown, so the process skips it.
# With an engine name, all other OME-Zarr engines are removed from the registry.
RUN = (
    "import os, runpy, sys, warnings; from ome_writers.storage import ENGINES; "
    "engine = sys.argv.pop(1); sys.argv.pop(0); "
    "warnings.simplefilter('error'); warnings.filterwarnings('ignore', 'Error fetching icon'); "  # of superqt
    "warnings.filterwarnings('ignore', module='pydantic'); "  # about the models of napari's npe2
    "[ENGINES.pop(n) for n, row in [*ENGINES.items()] if engine and row.format == 'ome-zarr' and n != engine]; "
    "runpy.run_path(sys.argv[0], run_name='__main__'); "
    "sys.stdout.flush(); 'pymmcore_plus' in sys.modules and os._exit(0)"
)
ABORTED = "FATAL: exception not rethrown"
FOLDER = Path(__file__).parent.parent / "examples"
PAGES = runpy.run_path(str(FOLDER.parent / "docs" / "build_examples.py"))
EXAMPLES = sorted(FOLDER.glob("*.py"))
OTHERS = [n for n, row in ENGINES.items() if row.format == "ome-zarr" and n != "direct"]
# `tox -e examples` runs all of them with each engine
EXAMPLES_PER_ENGINE = (
    EXAMPLES if os.environ.get("OME_WRITERS_EXAMPLES") == "all" else [FOLDER / "first_dataset.py"]
)


def run(example: Path, folder: Path, engine: str = "") -> CompletedProcess[str]:
    """Run an example in a separate process."""
    skip_where_python_is_too_old(example.read_text(encoding="utf-8"))
    return run_python(
        # --close: windows run and close by themselves
        ["-c", RUN, engine, str(example), "--close"],
        cwd=folder,
        env={"QT_QPA_PLATFORM": os.environ.get("QT_QPA_PLATFORM", "offscreen")},
    )


def succeeded(done: CompletedProcess[str]) -> bool:
    """A core that exists during interpreter shutdown may abort: see `ome_writers_pymmcore.notifications`."""
    aborted = (done.returncode, done.stderr.strip()) == (-signal.SIGABRT, ABORTED)
    return done.returncode == 0 or aborted


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_example_runs(example: Path, tmp_path: Path) -> None:
    """The example prints and draws what its page shows, and writes nothing outside of its directory."""
    before = set(example.parent.iterdir())
    done = run(example, tmp_path)
    assert succeeded(done), done.stdout + done.stderr
    assert done.stdout.strip()
    assert set(example.parent.iterdir()) - before <= {example.parent / "__pycache__"}
    if not done.stdout.startswith(PAGES["MISSING_REQUIREMENT"]):
        assert_page_shows(example.stem, done.stdout.strip("\n"), tmp_path)


def assert_page_shows(name: str, output: str, folder: Path) -> None:
    """To fix a difference, run ``python docs/build_examples.py NAME``."""
    (title,) = (title for title, group in PAGES["groups"]().items() if name in group)
    recorded = PAGES["recorded_outputs"](PAGES["page_path"](title))[name]
    assert PAGES["comparable"](name, output) == PAGES["comparable"](name, recorded)
    for file in folder.glob("*.png"):
        image = pytest.importorskip("PIL.Image", reason="pillow reads the pictures")
        drawn, shown = (
            np.asarray(image.open(path).convert("RGB"), float)
            for path in (file, PAGES["picture_path"](name, file.stem))
        )
        assert drawn.shape == shown.shape
        assert np.abs(drawn - shown).mean() < 5, f"{file.name} differs from the picture on the page"


@pytest.mark.parametrize("title", PAGES["groups"]())
def test_page_contains_the_examples(title: str) -> None:
    """To fix a difference, run ``python docs/build_examples.py NAME``."""
    page = PAGES["page_path"](title)
    rendered = PAGES["render"](title, PAGES["recorded_outputs"](page))
    assert page.read_text(encoding="utf-8") == rendered


@pytest.mark.parametrize("engine", OTHERS)
@pytest.mark.parametrize("example", EXAMPLES_PER_ENGINE, ids=lambda example: example.stem)
def test_example_runs_with_each_engine(example: Path, engine: str, tmp_path: Path) -> None:
    """The example runs with each installed OME-Zarr engine that supports its settings."""
    if (missing := ENGINES[engine].missing_requirement()) is not None:
        pytest.skip(missing)
    done = run(example, tmp_path, engine)
    if refused := re.search(r"UnsupportedError: (.*)", done.stderr):
        assert not ENGINES[engine].random_access, refused[1]
        pytest.skip(refused[1])
    assert succeeded(done), done.stdout + done.stderr
    assert done.stdout.strip()


def test_readme_lists_every_example() -> None:
    listed = re.findall(r"^\| \[(\w+\.py)\]\((\w+\.py)\)", (FOLDER / "README.md").read_text(), re.M)
    assert all(name == link for name, link in listed)
    assert sorted(name for name, _ in listed) == [example.name for example in EXAMPLES]
