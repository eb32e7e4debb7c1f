"""Creates streams on one path, in a race with other workers, or killed at each of its calls.

As a program, it executes the commands on stdin, see `main`.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ome_writers import AcquisitionSettings, OMEStream, create_stream, dims_from_standard_axes

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "zarr": ("run.ome.zarr", {}),
    "tiff": ("run.ome.tiff", {}),
    "set": ("run.ome.tiff", {"p": 2}),
    "scratch": ("run", {}),
}
CALLS = {"open", "os.mkdir", "os.rename", "os.link", "os.remove", "os.rmdir", "os.truncate"}
"""Audit events of calls that change a directory; each is raised before the call."""

_hooks: list[Callable[[str, tuple[Any, ...]], None]] = []


def settings(folder: Path, kind: str, *, overwrite: bool) -> AcquisitionSettings:
    """Return settings for four frames per position."""
    name, sizes = KINDS[kind]
    axes = dims_from_standard_axes({**sizes, "t": 4, "y": 8, "x": 8})
    more = {"format": "scratch"} if kind == "scratch" else {}
    return AcquisitionSettings(
        root_path=folder / name, dimensions=axes, dtype="uint16", overwrite=overwrite, **more
    )


def fill(stream: OMEStream, value: int) -> None:
    """Append frames of one value until the stream is complete, and close it."""
    for _ in range(stream.settings.num_frames or 0):
        stream.append(np.full((8, 8), value, "uint16"))
    stream.close()


def kill_at(folder: Path, number: int) -> Callable[[], int]:
    """End this process before the `number`-th call that concerns a directory; return the counter of these calls."""
    seen = 0
    below = str(folder)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event in CALLS and any(str(a).startswith(below) for a in arguments[:2]):
            seen += 1
            if seen == number:
                os._exit(9)

    _hooks.append(hook)
    return lambda: seen


def run_hooks(event: str, arguments: tuple[Any, ...]) -> None:
    """Forward an audit event: a Python audit hook cannot be removed, these can."""
    for hook in _hooks:
        hook(event, arguments)


def main() -> None:
    """Execute the JSON commands on stdin: ``[folder, kind, overwrite, value, call to be killed at]``.

    Prints ``"began"`` or the name of the error; the next line makes it fill and close the stream.
    """
    sys.addaudithook(run_hooks)
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        folder, kind, overwrite, value, number = json.loads(line)
        wanted = settings(Path(folder), kind, overwrite=overwrite)
        if number:
            kill_at(Path(folder), number)
        print(json.dumps("set"), flush=True)
        sys.stdin.readline()  # all workers start now
        try:
            stream = create_stream(wanted)
        except Exception as error:
            print(json.dumps(f"{type(error).__name__}: {error}"), flush=True)
            sys.stdin.readline()
        else:
            _hooks.clear()
            print(json.dumps("began"), flush=True)
            sys.stdin.readline()  # all workers have reported
            fill(stream, value)
        print(json.dumps("done"), flush=True)


if __name__ == "__main__":
    warnings.simplefilter("error")
    main()
