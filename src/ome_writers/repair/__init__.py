"""Recovery of datasets whose writer was killed: they end up as `close` would have left them; each format has its part.

No readable frame is deleted. Any reader opens the dataset without repair, too. Repairing again changes nothing.

``ome_writers.repair(path)`` calls the function `ome_writers.repair.repair`: the package is callable, because the
function has its name.
"""

from __future__ import annotations

import sys
import types
from typing import TYPE_CHECKING

from ome_writers.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from ome_writers.formats import Finding as Finding
    from ome_writers.repair.dataset import Repair as Repair
    from ome_writers.repair.dataset import repair as repair
else:
    from os import PathLike

    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            ".dataset": ("Repair", "repair"),
            "ome_writers.formats": ("Finding",),
        },
    )

    class _CallablePackage(types.ModuleType):
        def __call__(self, path: str | PathLike[str], *, dry_run: bool = False) -> Repair:
            """Call `repair`, which documents it."""
            from ome_writers.repair.dataset import repair

            return repair(path, dry_run=dry_run)

    sys.modules[__name__].__class__ = _CallablePackage
