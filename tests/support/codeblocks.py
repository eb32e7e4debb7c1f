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
    if not re.search(r"CMMCorePlus\(\)|RunEngine\(", text):
        run_blocks(page, "python", "bash", "console")
        return
    code = "import os, sys, warnings; from pathlib import Path; from support.codeblocks import run_blocks; "
    code += "warnings.simplefilter('error'); run_blocks(Path(sys.argv[1]), 'python'); os._exit(0)"
    done = run_python(["-c", code, str(page)])
    assert done.returncode == 0, done.stdout + done.stderr
    run_blocks(page, "bash", "console")


def run_blocks(page: Path, *languages: str) -> None:
    """Run the blocks of a page that are in these languages, in order."""
    names: dict[str, Any] = {"__name__": page.stem}
    for block in code_blocks(page):
        if block.language not in languages:
            continue
        if block.language == "python":
            # The empty lines make tracebacks point to the page's own lines.
            exec(compile("\n" * block.line + block.code, str(page), "exec"), names)
        else:
            for command in _commands(block):
                run_command(command)


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
