"""``python -m ome_writers_tools.cli``: the same as the command ``ome-writers``."""

from __future__ import annotations

from ome_writers_tools.cli import script

if __name__ == "__main__":
    script()
