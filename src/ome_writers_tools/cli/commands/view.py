"""``ome-writers view``: shows a dataset in napari or ndv."""

from __future__ import annotations

import os
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from importlib import import_module
from importlib.util import find_spec

from ome_writers import OMEWritersError
from ome_writers_tools.cli.arguments import add_dataset_argument
from ome_writers_tools.cli.command import SUCCESS, Command, CommandError, require
from ome_writers_tools.cli.console import Screen

_QT_BINDINGS = ("PyQt6", "PySide6", "PyQt5", "PySide2")
_ADAPTERS = {"napari": "ome_writers_napari", "ndv": "ome_writers_ndv"}


def _arguments(parser: ArgumentParser) -> None:
    add_dataset_argument(parser)
    parser.add_argument(
        "--with",
        dest="viewer",
        choices=tuple(_ADAPTERS),
        help="the viewer (default: napari if it is installed, otherwise ndv)",
    )


def _run(options: Namespace, screen: Screen) -> int:
    from ome_writers.toolkit import open_dataset

    open_dataset(options.path)  # raises before a window opens if it is not a dataset
    viewer = options.viewer or next(filter(find_spec, _ADAPTERS), None)
    if viewer is None:
        raise CommandError(
            "`ome-writers view` needs napari or ndv, and neither is installed; "
            'install one with: pip install "ome-writers[napari]" or pip install "ome-writers[ndv]"'
        )
    require("view", viewer, {viewer: viewer})
    instead = f"`ome-writers preview {options.path}` draws a picture instead"
    if problem := _display_problem():
        raise CommandError(f"{viewer} cannot open a window: {problem}; {instead}")
    screen.note(f"Starting {viewer}: a window opens in some seconds ...")
    try:
        import_module(_ADAPTERS[viewer]).show(options.path)
    except ImportError as error:
        raise CommandError(
            f"{viewer} cannot open a window: {error}; "
            f'install what it needs with: pip install "ome-writers[{viewer}]"'
        ) from error
    except OMEWritersError:
        raise
    except Exception as error:  # of the viewer; without OpenGL, vispy raises AttributeError
        raise CommandError(
            f"{viewer} cannot show {options.path}: {type(error).__name__}: {error}; it needs a display with OpenGL 2.1 "
            f"or later. {instead}"
        ) from error
    return SUCCESS


def _display_problem() -> str:
    """Return why Qt cannot open a window; empty if it can. Qt would end the process without a Python error."""
    if sys.platform != "linux":
        return ""
    if not any(map(os.environ.get, ("QT_QPA_PLATFORM", "DISPLAY", "WAYLAND_DISPLAY"))):
        return "there is no display (DISPLAY is not set), as in a session of ssh without -X"
    binding = next(filter(find_spec, _QT_BINDINGS), None)
    if binding is None:
        return ""
    code = f"from {binding}.QtWidgets import QApplication; QApplication([])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if not done.returncode:
        return ""
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return lines[0].rpartition("qt.qpa.plugin: ")[2] if lines else f"{binding} cannot start"


COMMAND = Command(
    name="view",
    summary="Show a dataset in napari or ndv, complete or being written",
    examples=(
        ("ome-writers view demo.ome.zarr", "follows the acquisition until it ends"),
        ("ome-writers view run.ome.tiff --with ndv", "in ndv, even if napari is installed"),
    ),
    arguments=_arguments,
    run=_run,
    json_replaces=None,
    interrupted="interrupted; the dataset was only read",
    failure="the dataset cannot be read, or no viewer is installed",
)
