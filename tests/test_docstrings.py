"""The examples in docstrings run."""

from __future__ import annotations

import doctest
import importlib
from typing import TYPE_CHECKING

import pytest

from support.sources import ADAPTERS, CORE, source_files

if TYPE_CHECKING:
    from pathlib import Path

ROOTS = (CORE.parent, ADAPTERS)


def _module_name(path: Path) -> str:
    root = next(root for root in ROOTS if path.is_relative_to(root))
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


WITH_EXAMPLES = [
    _module_name(path)
    for path in source_files()
    if ">>> " in path.read_text(encoding="utf-8") and path.stem != "__main__"
]


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_docstring_examples(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    failed, tried = doctest.testmod(importlib.import_module(module), optionflags=options)
    assert failed == 0
    assert tried > 0
