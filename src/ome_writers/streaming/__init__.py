"""Streams: the only package with a lifecycle and a flush timer. It decides neither addresses nor metadata content.

Locks
-----
All locks of the library in the order in which a thread may acquire them: a thread that holds a lock only acquires locks
of rows below. One exception: `OMEStream._restart` acquires ``DatasetWriter._flush_lock`` after ``OMEStream._lock`` and
``OMEStream._metadata_lock``. It holds ``OMEStream._restart_lock``, which every flush of an open stream acquires first.

=============================  ==========================================================================
lock                           held while
=============================  ==========================================================================
StreamView._signal_lock        a view connects to the events of its stream
RunOnce._lock                  a stream is closed
OMEStream._restart_lock        the output must not be replaced: flush, restart, discard
DatasetWriter._flush_lock           pixels and frame metadata are flushed
OMEStream._lock                a frame is written, or the state changes
LabelStream._lock              a plane of labels is written, or the state changes
OMEStream._metadata_lock       the user reads or changes metadata
DatasetWriter._metadata_lock        metadata changes or is written
WriterProcess._state_lock      requests of a stream to the writer's process are registered
Worker._close_lock             the writer's process closes its stream
Channel._lock                  a message is sent
Events._start_lock             the event thread is started or stopped
Progress._lock                 extents are updated
DirectEngine._flush_lock       the engine flushes or closes
LibraryEngine._flush_lock      the engine flushes or closes
TiffEngine._flush_lock         the engine flushes or closes
AcquireEngine._close_lock      the engine flushes or closes
StagedEngine._turn_lock        a flush waits for the next lock
StagedEngine._write_lock       a frame, or a plane derived from it, is computed or passed to the engine
_Reducer._write_lock           planes of levels are passed to the engine
WriteBuffer.lock               planes are added to units, or units are submitted
Unit.store_lock                a unit is written
Region.fill_lock               a plane is copied into a region
TransactionRegion._lock        planes are added to a transaction or read from it, or it is sealed
LibrarySink._file_locks        the file of a region is read or replaced
LibrarySink._lock              the list of written regions is used
ReadbackCache._lock            the cache is used
Unit._memory_lock              the memory of a unit is read or released
PageVisibility._lock           the list of completed pages is used
StoredArray._lock              files of an array are opened or completed
Shard._write_lock              a shard file is written
Shard._lock                    the index of a shard is used
TiffFile._lock                 allocator, IFD chain or description of a file is used
RawFileSink._lock              a scratch file is created, read or replaced
FileHandles._lock              the list of open files is used
MovedFiles._lock               the record of files that a mirror has moved is read or written
Eviction._lock                 files that were removed are counted
UploadJournal._lock            a line of the journal of an upload is written
StoreCopy._lock                files of an upload are counted
Disk._lock                     the list of folders to sync is used
MemoryBudget._lock             the bytes in use or the free buffers are updated
WriteBuffer._counter_lock      counters are updated
RingWriter._lock               memory of the ring is handed out or taken back
RingReader._lock               flushed frames are acknowledged
Background._dispatch_lock      a worker thread waits for its next task
Background._lock               the list of tasks is used
TiffPixels._lock               a view opens an OME-TIFF file
TiffPages._lock                a view reads the IFDs of a file
CachedJsonFile._lock           a view reads a JSON file
signals._bridge_lock           the Qt bridge is created
=============================  ==========================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from ome_writers.streaming.added_labels import add_labels as add_labels
    from ome_writers.streaming.coord_update import CoordUpdate as CoordUpdate
    from ome_writers.streaming.create import create_stream as create_stream
    from ome_writers.streaming.derived import DerivedStream as DerivedStream
    from ome_writers.streaming.label_stream import LabelStream as LabelStream
    from ome_writers.streaming.resumption import resume as resume
    from ome_writers.streaming.resumption import resume_blocker as resume_blocker
    from ome_writers.streaming.stats import StreamStats as StreamStats
    from ome_writers.streaming.stream import OMEStream as OMEStream
else:
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            ".added_labels": ("add_labels",),
            ".coord_update": ("CoordUpdate",),
            ".create": ("create_stream",),
            ".derived": ("DerivedStream",),
            ".label_stream": ("LabelStream",),
            ".resumption": ("resume", "resume_blocker"),
            ".stats": ("StreamStats",),
            ".stream": ("OMEStream",),
        },
    )
