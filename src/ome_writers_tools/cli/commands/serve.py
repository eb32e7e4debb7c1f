"""``ome-writers serve``: shows a dataset to viewers that run in a browser."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from urllib.parse import urlsplit

from ome_writers_tools.cli.arguments import add_dataset_argument
from ome_writers_tools.cli.command import SUCCESS, Command, CommandError
from ome_writers_tools.cli.console import Screen

_MAX_PORT = 65535


def _arguments(parser: ArgumentParser) -> None:
    add_dataset_argument(parser)
    parser.add_argument(
        "--port", type=_port, default=0, metavar="N", help="the port (default: a free one)"
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="the address to listen at; 0.0.0.0 lets every computer of the network read the dataset "
        "(default: 127.0.0.1, this computer only)",
    )
    parser.add_argument(
        "--allow-origin",
        action="append",
        type=_origin,
        default=[],
        metavar="SITE",
        help="a web site whose pages may read the dataset, as in https://viewer.example.org, or * for all "
        "(default: the viewers that the page links to)",
    )


def _run(options: Namespace, screen: Screen) -> int:
    from ome_writers_tools.serving import DatasetServer

    try:
        server = DatasetServer(
            options.path, options.port, options.host, allow_origins=options.allow_origin
        )
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise CommandError(
            f"cannot listen at {options.host}, port {options.port}: {error.strerror or error}; choose another --port "
            f"or --host"
        ) from error
    screen.line(f"{server.url}/ shows the progress and opens {options.path} in viewers")
    screen.line(f"{server.data_url} is the address for other viewers")
    screen.note("Press Ctrl-C to stop")
    try:
        server.serve()
    except KeyboardInterrupt:
        return SUCCESS
    return SUCCESS


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text[:9]) > _MAX_PORT:
        raise ArgumentTypeError(f"{text!r} is not a port: use a number from 0 to {_MAX_PORT}")
    return int(text)


def _origin(text: str) -> str:
    parts = urlsplit(text)
    if text != "*" and (
        parts.scheme not in ("http", "https") or text != f"{parts.scheme}://{parts.netloc}"
    ):
        raise ArgumentTypeError(f"{text!r} is not a site: use https://NAME without a path, or *")
    return text


COMMAND = Command(
    name="serve",
    summary="Show a dataset in viewers that run in a browser, complete or being written",
    examples=(
        ("ome-writers serve demo.ome.zarr", "prints the address of a page with links to viewers"),
        ("ome-writers serve run.ome.tiff --port 8000", "at a port of your choice"),
    ),
    arguments=_arguments,
    run=_run,
    json_replaces=None,
    interrupted="interrupted; the dataset was only read",
    failure="the dataset cannot be read, or the port is in use",
)
