"""The Python code of the README runs, and CI runs its commands."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from support.codeblocks import FENCE, code_blocks

if TYPE_CHECKING:
    from pathlib import Path


def _python_blocks(repository: Path) -> list[str]:
    blocks = code_blocks(repository / "README.md")
    return [block.code for block in blocks if block.language == "python"]


def test_examples_run(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each Python block of the README runs in an empty directory and writes a dataset."""
    blocks = _python_blocks(repository)
    assert blocks
    for number, code in enumerate(blocks):
        folder = tmp_path / str(number)
        folder.mkdir()
        monkeypatch.chdir(folder)
        exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
        assert list(folder.iterdir())


def test_core_dependencies_are_listed(repository: Path) -> None:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.11 reads TOML")
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = (repository / "README.md").read_text(encoding="utf-8")
    (sentence,) = re.findall(r"the core needs ([^.]*)\.", text)
    named = set(re.split(r",\s*|\s+and\s+", sentence))
    assert named == {re.split(r"[>=;\[]", one)[0].strip() for one in project["dependencies"]}


def test_first_example_has_at_most_12_lines(repository: Path) -> None:
    lines = _python_blocks(repository)[0].splitlines()
    assert len([line for line in lines if line.strip()]) <= 12


@pytest.mark.skipif(os.name == "nt" or shutil.which("bash") is None, reason="CI's script is bash")
def test_ci_runs_the_commands_of_the_readme(repository: Path) -> None:
    """``.ci/run`` finds both commands, each the only line of a README block."""
    done = subprocess.run(
        ["bash", ".ci/run", "--show"], cwd=repository, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    commands = done.stdout.splitlines()
    text = (repository / "README.md").read_text(encoding="utf-8")
    blocks = [match["code"].strip() for match in FENCE.finditer(text)]
    assert len(commands) == 2
    assert "ome-writers demo" in commands[0]
    assert "tox" in commands[1]
    for command in commands:
        assert command in blocks
