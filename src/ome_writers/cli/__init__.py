"""The command line: it shows, and never knows anything that the rooms below do not say."""

from __future__ import annotations

from ome_writers.cli.program import main, script

__all__ = ["main", "script"]
