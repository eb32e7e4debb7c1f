"""Engines on other people's Zarr libraries. This room never encodes a chunk and never names a file's bytes.

`engine` is what `tensorstore` and `zarr_python` have in common: planes become whole chunks and whole shards before the
library brings them to disk, in memory of ours (`regions`) or of the library (`transactions`), cut by `grid`.
`acquire_zarr` takes planes in order and has an engine of its own. Nothing is imported from here but a module by name:
each needs its library.
"""
