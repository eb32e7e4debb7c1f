"""The program ``ome-writers``: the table of commands, the parser, and the exit status of each error."""

from __future__ import annotations

import argparse
import io
import logging
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from ome_writers import OMEWritersError
from ome_writers.toolkit import printable
from ome_writers_tools.cli.command import (
    FAILURE,
    INTERRUPTED,
    SUCCESS,
    USAGE,
    Command,
    CommandError,
    UsageError,
    error_sentence,
)
from ome_writers_tools.cli.console import Screen

_SIMILARITY = 0.7  # of a misspelt word; `--time` resembles `--image` by 0.67

# modules of `cli.commands`, each of which is imported when its command runs
COMMANDS = (
    "demo",
    "info",
    "preview",
    "view",
    "watch",
    "serve",
    "validate",
    "repair",
    "advise",
    "bench",
    "convert",
    "process",
    "pyramid",
    "edit",
    "manifest",
    "crate",
    "publish",
    "upload",
    "completion",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, by default that in ``sys.argv``.

    Returns the exit status: 0 success, 1 failure, 2 usage error, 130 Ctrl-C.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        parser = _parser([load_command(name) for name in _needed_commands(arguments)])
        _refuse_unknown_command(parser, arguments)
        options, unknown = parser.parse_known_args(arguments)
        if unknown:
            _refuse_unknown_arguments(options.parser, unknown)
    except SystemExit as exit_:  # argparse has printed the error or the help
        return int(exit_.code or 0)
    except KeyboardInterrupt:  # while the command is imported
        return INTERRUPTED
    command: Command | None = options.command
    if command is None:
        parser.print_help(sys.stderr)
        return USAGE
    screen = Screen()
    # tifffile logs the defects of a file; commands report them as errors or findings
    logging.getLogger("tifffile").addHandler(logging.NullHandler())
    path = getattr(options, "path", None)
    try:
        from ome_writers.toolkit import parse_once

        with parse_once():
            return command.run(options, screen)
    except BrokenPipeError:
        # The reader has closed the pipe (`| head`). Redirect stdout, so that the flush at exit does not raise again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    except Exception as error:
        if path is None and not isinstance(error, (CommandError, OMEWritersError, OSError)):
            raise
        screen.error(error_sentence(error, path))
        return USAGE if isinstance(error, UsageError) else FAILURE
    except KeyboardInterrupt:
        screen.error(command.interrupted)
        return INTERRUPTED


def load_command(name: str) -> Command:
    """Import one of `COMMANDS`."""
    command: Command = import_module(f"ome_writers_tools.cli.commands.{name}").COMMAND
    return command


def script() -> NoReturn:
    """Run the command in `sys.argv` and exit with its status.

    Micro-Manager's core, which the demo loads, occasionally crashes the process during interpreter shutdown. After a
    success all data is on disk, so the process then exits without shutdown.
    """
    # None where they are closed (`>&-`), and on Windows without a console
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 # open until the process ends
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115 # likewise
    for stream in (sys.stdout, sys.stderr):
        # escape characters that the encoding of the console or pipe lacks (cp1252, ASCII) instead of raising
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    status = main()
    if status == SUCCESS and "pymmcore_plus" in sys.modules:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


class CommandParser(argparse.ArgumentParser):
    """An argument parser whose errors show control characters as escapes."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))

    @property
    def actions(self) -> tuple[argparse.Action, ...]:
        """The arguments of this parser."""
        return tuple(self._actions)


def _needed_commands(arguments: Sequence[str]) -> tuple[str, ...]:
    """Return the commands whose arguments are parsed or printed: all of them for the help and for `completion`."""
    word = arguments[0] if arguments else "--help"
    if word == "completion" or (word.startswith("-") and word != "--version"):
        return COMMANDS
    return (word,) if word in COMMANDS else ()


def _parser(table: Sequence[Command]) -> CommandParser:
    """Return the parser of a command line with one of some commands."""
    from ome_writers import __version__

    parser = CommandParser(
        prog="ome-writers",
        description="Stream microscope camera frames to OME-Zarr and OME-TIFF.",
        epilog="`ome-writers COMMAND --help` shows a command's options and examples.",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=16),
    )
    parser.add_argument("--version", action="version", version=f"ome-writers {__version__}")
    parser.set_defaults(command=None, parser=parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    children: dict[str, CommandParser] = {}
    for command in table:
        width = max(len(line) for line, _ in command.examples)
        examples = (f"  {line:<{width}}  # {what}" for line, what in command.examples)
        child = children[command.name] = commands.add_parser(
            command.name,
            help=command.summary,
            description=command.summary + ".",
            epilog="examples:\n" + "\n".join(examples) + f"\n\nexit status:\n{_statuses(command)}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.arguments(child)
        if command.json_replaces is not None:
            text = f"print JSON instead of {command.json_replaces}"
            child.add_argument("--json", action="store_true", help=text)
        child.set_defaults(command=command, parser=child, parsers=children)
    return parser


def _refuse_unknown_command(parser: CommandParser, arguments: Sequence[str]) -> None:
    """Exit with a usage error that suggests similar commands if the first argument is not a command."""
    word = arguments[0] if arguments else "-"
    if word.startswith("-") or word in COMMANDS:
        return
    close = [f"`{name}`" for name in get_close_matches(word.lower(), COMMANDS, cutoff=_SIMILARITY)]
    hint = f"did you mean {' or '.join(close)}?" if close else f"choose from {', '.join(COMMANDS)}"
    if Path(word).exists():
        hint = f"name a command before the path, as in `{parser.prog} info {word}`"
    parser.error(f"unknown command {word!r}; {hint}")


def _refuse_unknown_arguments(parser: CommandParser, unknown: Sequence[str]) -> NoReturn:
    """Exit with a usage error that suggests options similar to the first unknown argument."""
    options = [option for action in parser.actions for option in action.option_strings]
    names = {option.lstrip("-"): option for option in options}
    word = unknown[0].partition("=")[0].lstrip("-").lower()
    close = [names[name] for name in get_close_matches(word, names, cutoff=_SIMILARITY)]
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    parser.error(f"unknown arguments: {' '.join(unknown)}{hint}")


def _statuses(command: Command) -> str:
    rows = {
        SUCCESS: "success",
        FAILURE: command.failure,
        USAGE: "usage error: an argument is invalid for any dataset",
        INTERRUPTED: "interrupted by Ctrl-C",
    }
    return "\n".join(f"  {status:>3}  {meaning}" for status, meaning in rows.items())
