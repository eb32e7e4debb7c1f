"""A dataset whose writer died, made tidy. This room never deletes a frame that can be read.

What a kill leaves opens in any reader already; here it gets the form that `close` would have given it. To do it again
changes nothing more.
"""

from __future__ import annotations

from ome_writers.repair.dataset import Repair, repair
from ome_writers.repair.omezarr import plan_of
from ome_writers.storage.finding import Finding

__all__ = ["Finding", "Repair", "plan_of", "repair"]
