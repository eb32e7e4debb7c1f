"""Symbolic links and junctions, which not every account and system can create."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ome_writers.untrusted import is_link

KINDS = ["symlink", "junction"] if os.name == "nt" else ["symlink"]


def create_link(link: Path, target: Path, unchecked: str, kind: str = "symlink") -> None:
    """Create a symbolic link, or a junction of Windows, which leads to a folder and needs no privilege.

    Where it cannot be created, the test is skipped; `unchecked` is what is then not checked.
    """
    if kind == "junction":
        subprocess.run(["cmd", "/c", "mklink", "/J", link, target], capture_output=True)
    else:
        try:
            link.symlink_to(target, target_is_directory=target.is_dir())
        except OSError:
            if os.name != "nt":
                raise
    if not is_link(link):  # Wine 10 reports that it created a symbolic link, and does not
        pytest.skip(f"{unchecked}: this account or system cannot create a {kind}")
