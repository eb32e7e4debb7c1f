"""Engines on third-party Zarr libraries. This package encodes no chunks and decides no file contents.

`engine` is common to `tensorstore` and `zarr_python`: planes are assembled into `regions` (whole chunks or shards, see
`region_grid`), which `library` gives to the library at once.
`acquire_zarr` takes planes in order and has an engine of its own. Each engine module imports its library, so the
registry imports them by name, and nothing is exported here.
"""
