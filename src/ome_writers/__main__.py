"""``python -m ome_writers``: the command ``ome-writers``."""

from __future__ import annotations

from ome_writers_tools.cli import script

if __name__ == "__main__":
    script()
