"""The state on disk between any two system calls that change files, as a kill at that moment leaves it."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ome_writers.storage import positional_io

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["copies_of_each_state", "each_step"]

_CHANGES = ("pwritev", "pwrite", "write", "ftruncate", "replace", "rename", "unlink")


@contextmanager
def each_step(look: Callable[[], object]) -> Iterator[None]:
    """Call `look` before the first and after each system call that changes files, while other calls wait.

    While a file is truncated it cannot be opened (`storage.file_lease`): it is inspected before the next call.
    """
    lock, looking = threading.RLock(), threading.local()
    shortened = threading.Event()

    def look_now() -> None:
        looking.now = True
        try:
            look()
        finally:
            looking.now = False

    def watched(change: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if getattr(looking, "now", False):
                return change(*args, **kwargs)
            with lock:
                if change is originals[os, "ftruncate"]:
                    shortened.set()
                    return change(*args, **kwargs)
                if shortened.is_set():
                    shortened.clear()
                    look_now()
                result = change(*args, **kwargs)
                look_now()
                return result

        return call

    originals = {(os, name): getattr(os, name) for name in _CHANGES if hasattr(os, name)}
    if sys.platform == "win32":  # where `os` has no positional writes
        originals[positional_io, "_pwrite"] = positional_io._pwrite
    look()
    for (module, name), change in originals.items():
        setattr(module, name, watched(change))
    try:
        yield
        if shortened.is_set():
            look_now()
    finally:
        for (module, name), change in originals.items():
            setattr(module, name, change)


@contextmanager
def copies_of_each_state(folder: Path, to: Path) -> Iterator[list[Path]]:
    """Copy `folder` after each change; consecutive copies differ."""
    found: list[Path] = []
    known: list[dict[str, bytes]] = []

    def look() -> None:
        now = {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}
        if not known or known[-1] != now:
            known[:] = [now]
            found.append(to / str(len(found)))
            shutil.copytree(folder, found[-1])

    with each_step(look):
        yield found
