"""The command `ome-writers`: a presentation of what the library's packages compute, without logic of its own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

__all__ = ["main", "script"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; see `ome_writers_tools.cli.program.main`."""
    from ome_writers_tools.cli.program import main

    return main(arguments)


def script() -> NoReturn:
    """Run the command in `sys.argv` and exit; Ctrl-C during the imports exits with 130, without a traceback."""
    try:
        from ome_writers_tools.cli.program import script
    except KeyboardInterrupt:
        sys.exit(130)
    script()
