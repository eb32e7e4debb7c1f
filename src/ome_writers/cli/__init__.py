"""The command line: it shows, and never knows anything that the rooms below do not say."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main", "script"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; see `ome_writers.cli.program.main`."""
    from ome_writers.cli.program import main

    return main(arguments)


def script() -> NoReturn:
    """Run the command that was typed, and end the process; Ctrl-C while modules are loaded is no error, either."""
    try:
        from ome_writers.cli.program import script
    except KeyboardInterrupt:
        sys.exit(130)
    script()
