"""``ome-writers view``: shows a dataset in napari or ndv."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from importlib import import_module
from importlib.util import find_spec

from ome_writers.cli.arguments import add_dataset_argument
from ome_writers.cli.command import SUCCESS, Command, CommandError, require
from ome_writers.cli.console import Screen

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
    from ome_writers.views import open_dataset

    open_dataset(options.path)  # raises before a window opens if it is not a dataset
    viewer = options.viewer or next(filter(find_spec, _ADAPTERS), None)
    if viewer is None:
        raise CommandError(
            "`ome-writers view` needs napari or ndv, and neither is installed; "
            'install one with: pip install "ome-writers[napari]" or pip install "ome-writers[ndv]"'
        )
    require("view", viewer, {viewer: viewer})
    try:
        import_module(_ADAPTERS[viewer]).show(options.path)
    except ImportError as error:
        raise CommandError(
            f"{viewer} cannot open a window: {error}; "
            f'install what it needs with: pip install "ome-writers[{viewer}]"'
        ) from error
    return SUCCESS


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
