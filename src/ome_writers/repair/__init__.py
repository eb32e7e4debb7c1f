"""Recovery of datasets whose writer was killed: they end up as `close` would have left them.

No readable frame is deleted. Any reader opens the dataset without repair, too. Repairing again changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from ome_writers.repair.dataset import Repair as Repair
    from ome_writers.repair.dataset import repair as repair
    from ome_writers.storage import Finding as Finding
else:
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            ".dataset": ("Repair", "repair"),
            "ome_writers.storage": ("Finding",),
        },
    )
