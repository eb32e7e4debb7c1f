"""The distribution is what its metadata says."""

from __future__ import annotations

import importlib
import re
import sys
from importlib.metadata import distribution
from typing import TYPE_CHECKING

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
    "cli",
    "demo",
    "all",
}


def _requirements() -> dict[str, set[str]]:
    """Return what each extra asks for, by the metadata of the installed distribution: in tox, the wheel's."""
    wanted: dict[str, set[str]] = {}
    for line in distribution("ome-writers").requires or ():
        if match := re.search(r"extra == ['\"]([\w-]+)['\"]", line):
            wanted.setdefault(match[1], set()).add(line.split(";")[0].strip())
    return wanted


def test_version_has_one_source(repository: Path) -> None:
    """``__version__`` is the installed distribution's, which is that of ``pyproject.toml``."""
    project = (repository / "pyproject.toml").read_text(encoding="utf-8")
    (version,) = re.findall(r'^version = "(.*)"$', project, re.M)
    assert ome_writers.__version__ == distribution("ome-writers").version == version


def test_version_satisfies_published_clients() -> None:
    """The version is plain and at least 1.0.0, so that resolvers keep it for ``>=0.3.2``."""
    assert re.fullmatch(r"[1-9]\d*\.\d+\.\d+", ome_writers.__version__)


def test_extras_have_their_promised_names() -> None:
    """The extras are those that users and published clients ask for."""
    assert set(distribution("ome-writers").metadata.get_all("Provides-Extra")) == EXTRAS


def test_all_installs_every_extra() -> None:
    """``all`` asks for whatever any other extra asks for."""
    wanted = _requirements()
    assert wanted["all"] == set().union(*wanted.values())


def test_an_extra_brings_what_its_engine_needs() -> None:
    """Whatever an engine imports is asked for by the extra that its message names."""
    wanted = _requirements()
    for row in ENGINES.values():
        if row.extra is not None:
            brought = {re.match(r"[\w.-]+", line)[0] for line in wanted[row.extra]}
            assert {name.replace("_", "-") for name in row.requires} <= brought


@pytest.mark.parametrize("extra", ["cli", "all"])
def test_extra_brings_what_validate_imports(extra: str, repository: Path) -> None:
    """With ``cli`` or ``all`` no check of `validate` is skipped but that of ome-zarr-models, which limits pydantic."""
    tomllib = pytest.importorskip("tomllib", reason="Python 3.11 reads TOML")
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras, brought = project["optional-dependencies"], set()
    open_extras = {extra}
    while open_extras:
        for line in extras[open_extras.pop()]:
            name, inner = re.match(r"([\w-]+)(?:\[([\w,-]+)\])?", line).groups()
            if name == "ome-writers":
                open_extras |= set(inner.split(","))
            brought |= {name, f"{name}[{inner}]"}
    imported_by_validate = {
        module.split(".")[0].replace("_", "-")
        for path in source_files(CORE / "validation")
        for module, _ in imported(path)
    } - {module.replace("_", "-") for module in sys.stdlib_module_names}
    asked = imported_by_validate - {"ome-writers", "ome-zarr-models", "zarr", "numpy", "--future--"}
    assert asked == {"ome-types", "tifffile", "yaozarrs"}
    assert {*asked, "ome-types[lxml]", "yaozarrs[io]"} <= brought


def test_the_readme_tells_of_every_extra(repository: Path) -> None:
    """The table of the README names the extras that there are, and no other."""
    text = (repository / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]+`) \|", text, re.M)
    assert {name for row in rows for name in re.findall("`([^`]+)`", row)} == EXTRAS


def test_the_long_description_is_the_readme(repository: Path) -> None:
    """What the package index shows is the README, as Markdown, and the command is installed."""
    found = distribution("ome-writers")
    assert found.metadata["Description-Content-Type"] == "text/markdown"
    assert "# ome-writers" in (found.metadata["Description"] or found.metadata.get_payload())
    scripts = {e.name: e.value for e in found.entry_points if e.group == "console_scripts"}
    assert set(scripts) == {"ome-writers"}
    module, _, function = scripts["ome-writers"].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_every_package_is_typed(repository: Path) -> None:
    """The three import packages carry ``py.typed``."""
    for package in (
        "src/ome_writers",
        "adapters/ome_writers_useq",
        "adapters/ome_writers_pymmcore",
    ):
        assert (repository / package / "py.typed").is_file()


def test_the_license_is_in_the_distribution() -> None:
    """The distribution says its licence and carries the text."""
    assert distribution("ome-writers").metadata["License-Expression"] == "BSD-3-Clause"
