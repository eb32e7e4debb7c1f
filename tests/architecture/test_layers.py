"""The rooms of the house keep their order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from importlinter.cli import lint_imports

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_contracts_are_kept(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every import-linter contract of ``pyproject.toml`` is kept."""
    config = str(repository / "pyproject.toml")
    status = lint_imports(config_filename=config, cache_dir=str(tmp_path), no_cache=False)
    output = capsys.readouterr().out
    assert status == 0, output
    assert "0 broken" in output
