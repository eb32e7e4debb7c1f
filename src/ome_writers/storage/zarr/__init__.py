"""What a Zarr v3 array is on a local disk. This room never takes a frame and knows no engine.

`grid` is where a plane lies, `codec` how a chunk is stored, `index` what a shard says of its chunks, `document` what
an array says of itself, `shown` what others see of it. `reader`, `remains` and `tidying` are for what somebody else
wrote, or left.

Source: https://zarr-specs.readthedocs.io/en/latest/v3/core/index.html
"""
