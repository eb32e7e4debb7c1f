"""Runs the code blocks of a Markdown page as a reader would: in order, in an empty folder.

Python blocks of a page share their names; lines of console blocks that start with ``$ `` and
all lines of bash blocks are commands. A block is skipped if the line before it gives a reason:
``<!-- not run: reason -->``.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.preloaded import run_python

FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^(?P=indent)```", re.M | re.S
)
SKIP_COMMENT = re.compile(r"<!-- not run: \S.* -->\s*\Z")


@dataclass(frozen=True)
class CodeBlock:
    """One fenced block: its language, its code without indentation, the line where it begins."""

    language: str
    code: str
    line: int


def code_blocks(page: Path) -> list[CodeBlock]:
    """Return the blocks of a page that are to be run, in order."""
    text = page.read_text(encoding="utf-8")
    blocks = []
    for match in FENCE.finditer(text):
        if SKIP_COMMENT.search(text[: match.start()]):
            continue
        indent = len(match["indent"])
        code = "\n".join(line[indent:] for line in match["code"].splitlines())
        blocks.append(CodeBlock(match["language"], code, text[: match.start("code")].count("\n")))
    return blocks


def run_page(page: Path) -> None:
    """Run a page's Python and command blocks in the current folder.

    The Python blocks of a page that loads Micro-Manager's core or starts bluesky's RunEngine run first, in a separate
    process without interpreter shutdown: there, the core occasionally crashes, and the engine's event loop is still
    open.
    """
    text = page.read_text(encoding="utf-8")
    skip_where_python_is_too_old(text)
    separate = re.search(r"CMMCorePlus\(\)|RunEngine\(", text)
    if separate:
        code = "import os, sys, warnings; from pathlib import Path; from support.codeblocks import run_code; "
        code += "warnings.simplefilter('error'); run_code(Path(sys.argv[1])); os._exit(0)"
        done = run_python(["-c", code, str(page)])
        assert done.returncode == 0, done.stdout + done.stderr
    names: dict[str, Any] = {"__name__": page.stem}
    for block in code_blocks(page):
        if block.language == "python" and not separate:
            _execute(page, block, names)
        elif block.language in ("bash", "console"):
            for command in _commands(block):
                run_command(command)


def run_code(page: Path) -> None:
    """Run the Python blocks of a page."""
    names: dict[str, Any] = {"__name__": page.stem}
    for block in code_blocks(page):
        if block.language == "python":
            _execute(page, block, names)


def _execute(page: Path, block: CodeBlock, names: dict[str, Any]) -> None:
    # The empty lines make tracebacks point to the page's own lines.
    exec(compile("\n" * block.line + block.code, str(page), "exec"), names)


def skip_where_python_is_too_old(code: str) -> None:
    """Skip the test whose code imports zarr or bluesky on Python 3.10: zarr-python 3 and ophyd-async need 3.11."""
    if sys.version_info < (3, 11) and (found := re.search(r"^import (zarr|bluesky)\b", code, re.M)):
        pytest.skip(f"{found[1]} needs Python 3.11")


def run_command(command: str) -> str:
    """Run an ome-writers or Python command line, and return its output."""
    program, *arguments = shlex.split(command)
    if program == "ome-writers":
        done = run_python(["-m", "ome_writers", *arguments])
    elif program == "python":
        line = [sys.executable, *arguments]
        done = subprocess.run(line, capture_output=True, text=True, timeout=300)
    else:
        raise AssertionError(f"{command!r}: only ome-writers and python are run from a page")
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _commands(block: CodeBlock) -> list[str]:
    lines = block.code.splitlines()
    if block.language == "console":
        return [line[2:] for line in lines if line.startswith("$ ")]
    return [line for line in lines if line.strip() and not line.startswith("#")]
