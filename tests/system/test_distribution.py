"""The distribution matches its metadata."""

from __future__ import annotations

import importlib
import importlib.resources
import re
import subprocess
import sys
from importlib.metadata import distribution
from typing import TYPE_CHECKING

import google_crc32c
import pytest

import ome_writers
from ome_writers.storage import ENGINES
from support.sources import CORE, imported, source_files

if TYPE_CHECKING:
    from pathlib import Path

EXTRAS = {
    "tensorstore",
    "acquire-zarr",
    "zarr-python",
    "zarrs-python",
    "tifffile",
    "useq",
    "pymmcore",
    "ophyd",
    "napari",
    "ndv",
    "cli",
    "cloud",
    "demo",
    "all",
}


def _requirements() -> dict[str, set[str]]:
    """Return the requirements of each extra from the metadata of the installed distribution (in tox: the wheel)."""
    required: dict[str, set[str]] = {}
    for line in distribution("ome-writers").requires or ():
        if match := re.search(r"extra == ['\"]([\w-]+)['\"]", line):
            required.setdefault(match[1], set()).add(line.split(";")[0].strip())
    return required


def test_version_matches_pyproject(repository: Path) -> None:
    project = (repository / "pyproject.toml").read_text(encoding="utf-8")
    (version,) = re.findall(r'^version = "(.*)"$', project, re.M)
    assert ome_writers.__version__ == distribution("ome-writers").version == version


def test_conda_recipe_matches_pyproject(repository: Path) -> None:
    """Version, minimum of Python and dependencies; conda-forge has all of them under the names of PyPI."""
    tomllib = pytest.importorskip("tomllib", reason="Python 3.11 reads TOML")
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    recipe = (repository / "conda" / "recipe.yaml").read_text(encoding="utf-8")
    assert f'  version: "{project["version"]}"\n  python_min: "3.10"\n' in recipe
    assert project["requires-python"] == ">=3.10"
    run = re.search(r"\n  run:\n    - python .*\n((?:    - .*\n)*)", recipe)
    found = {line.replace(" ", "") for line in re.findall(r"- (.*)", run[1])}
    assert found == set(project["dependencies"])


def test_version_satisfies_published_clients() -> None:
    """The version is a release, at least 1.0.0, so that resolvers accept it for ``>=0.3.2``."""
    assert re.fullmatch(r"[1-9]\d*\.\d+\.\d+", ome_writers.__version__)


def test_extras_of_published_clients_exist() -> None:
    assert set(distribution("ome-writers").metadata.get_all("Provides-Extra")) == EXTRAS


def test_all_installs_every_extra() -> None:
    """``all`` requires everything that any other extra requires, except viewers: each has its own GUI toolkit."""
    required = _requirements()
    viewers = required.pop("napari") | required.pop("ndv")
    assert required["all"] == set().union(*required.values())
    assert not required["all"] & viewers


def test_extra_installs_imports_of_its_engine() -> None:
    required = _requirements()
    for row in ENGINES.values():
        if row.extra is not None:
            installed = {re.match(r"[\w.-]+", line)[0] for line in required[row.extra]}
            assert {name.replace("_", "-") for name in row.requires} <= installed


@pytest.mark.parametrize("extra", ["cli", "all"])
def test_extra_installs_imports_of_validate(extra: str, repository: Path) -> None:
    """With ``cli`` or ``all``, `validate` skips no check except that of ome-zarr-models, which limits pydantic."""
    tomllib = pytest.importorskip("tomllib", reason="Python 3.11 reads TOML")
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras, installed = project["optional-dependencies"], set()
    open_extras = {extra}
    while open_extras:
        for line in extras[open_extras.pop()]:
            name, inner = re.match(r"([\w-]+)(?:\[([\w,-]+)\])?", line).groups()
            if name == "ome-writers":
                open_extras |= set(inner.split(","))
            installed |= {name, f"{name}[{inner}]"}
    imported_by_validate = {
        module.split(".")[0].replace("_", "-")
        for path in source_files(CORE / "formats")
        if path.name in ("check.py", "validators.py")
        for module, _ in imported(path)
    } - {module.replace("_", "-") for module in sys.stdlib_module_names}
    needed = imported_by_validate - {
        "ome-writers",
        "ome-zarr-models",
        "pydantic",  # of the core
        "zarr",
        "numpy",
        "--future--",
    }
    assert needed == {"ome-types", "tifffile", "yaozarrs"}
    assert {*needed, "ome-types[lxml]", "fsspec"} <= installed


def test_dev_group_installs_every_engine(repository: Path) -> None:
    """``uv sync`` installs the project, without extras, and the group ``dev``."""
    tomllib = pytest.importorskip("tomllib", reason="Python 3.11 reads TOML")
    groups = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    assert "ome-writers[all]" in groups["dependency-groups"]["dev"]


def test_checksums_are_computed_in_c() -> None:
    """The oldest version that the project allows has a wheel with the extension for this Python."""
    assert google_crc32c.implementation == "c"


def test_slow_checksums_are_reported_before_writing(tmp_path: Path) -> None:
    """Without its C extension, google-crc32c warns; as an error, the warning makes `create_stream` fail."""
    script = """
import sys, warnings
sys.modules["google_crc32c._crc32c"] = sys.modules["google_crc32c.cext"] = None
import ome_writers
dims = ome_writers.dims_from_standard_axes({"t": 1, "y": 4, "x": 4})
try:
    ome_writers.create_stream(root_path=sys.argv[1], dimensions=dims, dtype="uint8")
except ome_writers.WriteError as error:
    print("google-crc32c" in str(error))
"""
    output = tmp_path / "x.ome.zarr"
    command = [sys.executable, "-W", "error", "-c", script, str(output)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (done.stdout.strip(), done.stderr) == ("True", "")
    assert not output.exists()


def test_installation_page_lists_every_extra(repository: Path) -> None:
    text = (repository / "docs/how-to/installation.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]+`) \|", text, re.M)
    assert {name for row in rows for name in re.findall("`([^`]+)`", row)} == EXTRAS


def test_readme_is_the_long_description(repository: Path) -> None:
    """The package index shows the README as Markdown, and the command is installed."""
    found = distribution("ome-writers")
    assert found.metadata["Description-Content-Type"] == "text/markdown"
    assert "# ome-writers" in (found.metadata["Description"] or found.metadata.get_payload())
    scripts = {e.name: e.value for e in found.entry_points if e.group == "console_scripts"}
    assert set(scripts) == {"ome-writers"}
    module, _, function = scripts["ome-writers"].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_napari_finds_the_manifest() -> None:
    (entry,) = (e for e in distribution("ome-writers").entry_points if e.group == "napari.manifest")
    package, _, name = entry.value.partition(":")
    manifest = importlib.resources.files(package) / name
    (command,) = re.findall(r"python_name: (.*)", manifest.read_text(encoding="utf-8"))
    module, _, function = command.partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_packages_have_py_typed(repository: Path) -> None:
    for package in (
        "src/ome_writers",
        "adapters/ome_writers_useq",
        "adapters/ome_writers_pymmcore",
        "adapters/ome_writers_ophyd",
        "adapters/ome_writers_napari",
        "adapters/ome_writers_ndv",
    ):
        assert (repository / package / "py.typed").is_file()


def test_license_expression() -> None:
    assert distribution("ome-writers").metadata["License-Expression"] == "BSD-3-Clause"
