"""What a Zarr v3 array is on a local disk. This room never takes a frame and knows no engine.

`grid` is where a plane lies, `codec` how a chunk is stored; `chunk_files` and `shard_file` (with `index` and `spares`)
write chunks so that readers see them whole; `document` is what an array says of itself, `shown` what others see of it.
`reader`, `remains` and `tidying` are for what somebody else wrote, or left.

Source: https://zarr-specs.readthedocs.io/en/latest/v3/core/index.html
"""
