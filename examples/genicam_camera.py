"""A GenICam camera through Aravis, or any SDK with a queue of buffers. Here, Aravis' simulated camera.

Debian and Ubuntu: ``apt install gir1.2-aravis-0.8 python3-gi``.
"""

from __future__ import annotations

import sys

import numpy as np

import ome_writers
from ome_writers import Dimension, create_stream

try:
    import gi

    gi.require_version("Aravis", "0.8")
    from gi.repository import Aravis
except (ImportError, ValueError) as error:
    print(f"This example needs Aravis: {error}")
    sys.exit()

Aravis.enable_interface("Fake")
camera = Aravis.Camera.new("Fake_1")
camera.set_pixel_format(Aravis.PIXEL_FORMAT_MONO_16)
_, _, width, height = camera.get_region()
buffers = camera.create_stream(None, None)
for _ in range(8):
    buffers.push_buffer(Aravis.Buffer.new_allocate(camera.get_payload()))

dimensions = [
    Dimension(name="t", count=50),
    Dimension(name="y", count=height),
    Dimension(name="x", count=width),
]
with create_stream(root_path="genicam.ome.zarr", dimensions=dimensions, dtype="uint16") as stream:
    camera.start_acquisition()
    for _ in range(50):
        buffer = buffers.pop_buffer()
        if buffer.get_status() == Aravis.BufferStatus.SUCCESS:
            # Aravis returns a copy of the pixels, so the stream needs no other: copy=False
            frame = np.frombuffer(buffer.get_data(), "uint16").reshape(height, width)
            metadata = {"timestamp_ns": buffer.get_timestamp()}
            stream.append(frame, copy=False, frame_metadata=metadata)
        else:
            stream.skip()
        buffers.push_buffer(buffer)
    camera.stop_acquisition()

print(ome_writers.open("genicam.ome.zarr"))
