"""The rooms of the house keep their order."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_contracts_are_kept(repository: Path, tmp_path: Path) -> None:
    """Every import-linter contract of ``pyproject.toml`` is kept."""
    config = str(repository / "pyproject.toml")
    # in a process of its own: it silences the loggers of the one that it runs in
    code = "import sys; from importlinter.cli import lint_imports as lint; "
    code += f"sys.exit(lint(config_filename={config!r}, cache_dir={str(tmp_path)!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout
