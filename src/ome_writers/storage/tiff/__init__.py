"""BigTIFF files, structure first. This room never knows what a description says, and never moves a page's pixels.

A frame's way: `engine` takes it and gathers neighbours in `blocks`, and a background thread writes these into their
`file` (compressed ones through `codec`). Where a page lies is arithmetic (`geometry`); what stands there, `directory`
and `structure` make; `landing` knows which pages may be shown, `places` what room there is besides. `relaying` chains
the pages that stay when a run ends early. `chain` is for files that nobody writes any more.
"""

from __future__ import annotations

from ome_writers.storage.tiff.engine import TiffEngine, open_engine

__all__ = ["TiffEngine", "open_engine"]
