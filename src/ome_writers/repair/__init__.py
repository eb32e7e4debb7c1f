"""Recovery of datasets whose writer was killed: they end up as `close` would have left them.

No readable frame is deleted. Any reader opens the dataset without repair, too. Repairing again changes nothing.
"""

from __future__ import annotations

from ome_writers.repair.dataset import Repair, repair
from ome_writers.storage import Finding

__all__ = ["Finding", "Repair", "repair"]
