"""The packages keep their layers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_import_linter_contracts(repository: Path, tmp_path: Path) -> None:
    config = str(repository / "pyproject.toml")
    # in a separate process, because import-linter disables the loggers of its process
    code = "import sys; from importlinter.cli import lint_imports as lint; "
    code += f"sys.exit(lint(config_filename={config!r}, cache_dir={str(tmp_path)!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout
