"""A stream whose writer is a process of its own: frames that `append` has accepted survive a crash of the program.

`ProcessStream` puts frames into a ring in shared memory (`frame_ring`). `WriterProcess` starts the writer, which is a
stream of its own (`worker`), and replaces it if it dies. Loaded by ``create_stream(..., writer="process")`` only; it
knows neither formats nor engines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from ome_writers.streaming.writer_process.process_stream import Writer as Writer
    from ome_writers.streaming.writer_process.process_stream import (
        create_process_stream as create_process_stream,
    )
    from ome_writers.streaming.writer_process.process_stream import (
        in_own_process as in_own_process,
    )
    from ome_writers.streaming.writer_process.process_stream import (
        resume_in_own_process as resume_in_own_process,
    )
else:
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            ".process_stream": (
                "Writer",
                "create_process_stream",
                "in_own_process",
                "resume_in_own_process",
            )
        },
    )
