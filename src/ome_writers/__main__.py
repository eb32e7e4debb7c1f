"""``python -m ome_writers``: the same as the command ``ome-writers``."""

from __future__ import annotations

import sys

from ome_writers.cli import main

if __name__ == "__main__":
    sys.exit(main())
