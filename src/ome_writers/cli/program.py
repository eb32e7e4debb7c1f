"""The program ``ome-writers``: the table of commands, and what becomes of their errors."""

from __future__ import annotations

import argparse
import io
import logging
import os
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ome_writers.cli.command import (
    FAILURE,
    INTERRUPTED,
    SUCCESS,
    USAGE,
    Command,
    CommandError,
    UsageError,
    error_sentence,
)
from ome_writers.cli.commands import (
    advise,
    bench,
    completion,
    convert,
    demo,
    info,
    preview,
    repair,
    validate,
    watch,
)
from ome_writers.cli.console import open_screen
from ome_writers.cli.safe_console import SafeScreen
from ome_writers.errors import OMEWritersError
from ome_writers.untrusted import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS: tuple[Command, ...] = (
    demo.COMMAND,
    info.COMMAND,
    preview.COMMAND,
    watch.COMMAND,
    validate.COMMAND,
    repair.COMMAND,
    advise.COMMAND,
    bench.COMMAND,
    convert.COMMAND,
    completion.COMMAND,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments
        What the user typed after the program's name; None means ``sys.argv[1:]``.

    Returns
    -------
    int
        The exit status: 0 done, 1 failed, 2 usage error, 130 Ctrl-C.
    """
    command_line = parser()
    try:
        _refuse_unknown_command(command_line, sys.argv[1:] if arguments is None else arguments)
        options, unknown = command_line.parse_known_args(arguments)
        if unknown:
            _refuse_unknown_arguments(options.parser, unknown)
    except SystemExit as done:  # argparse has said what was wrong, or shown the help
        return int(done.code or 0)
    command: Command | None = options.command
    if command is None:
        command_line.print_help(sys.stderr)
        return USAGE
    screen = SafeScreen(open_screen())
    # tifffile logs what is wrong in a file; here that is said as an error or a finding
    logging.getLogger("tifffile").addHandler(logging.NullHandler())
    path = getattr(options, "path", None)
    try:
        return command.run(options, screen)
    except BrokenPipeError:
        # Whoever read our output has seen enough (`| head`). Python would complain again when it
        # flushes stdout at exit, so what is left goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    except Exception as error:
        if path is None and not isinstance(error, (CommandError, OMEWritersError, OSError)):
            raise
        screen.complain(error_sentence(error, path))
        return USAGE if isinstance(error, UsageError) else FAILURE
    except KeyboardInterrupt:
        screen.complain(command.interrupted)
        return INTERRUPTED


def script() -> NoReturn:
    """Run the command that was typed, and end the process with its status.

    Micro-Manager's core, which the demo loads, now and then crashes a process that takes it down at its end; when the
    command has succeeded everything is on disk, and the process ends without that.
    """
    # None where they are closed (`>&-`), and on Windows without a console
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 # open until the process ends
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115 # likewise
    for stream in (sys.stdout, sys.stderr):
        # a character that the encoding of a console or pipe does not have (cp1252, ASCII) is no reason to fail
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    status = main()
    if status == SUCCESS and "pymmcore_plus" in sys.modules:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


class _Parser(argparse.ArgumentParser):
    """A parser whose errors show what was typed without control characters."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the arguments, and exit."""
        super().error(printable(message))


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    from ome_writers import __version__

    parser = _Parser(
        prog="ome-writers",
        description="Stream microscope camera frames to OME-Zarr and OME-TIFF.",
        epilog="`ome-writers COMMAND --help` shows a command's options and examples.",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=16),
    )
    parser.add_argument("--version", action="version", version=f"ome-writers {__version__}")
    parser.set_defaults(command=None, parser=parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for command in COMMANDS:
        width = max(len(line) for line, _ in command.examples)
        examples = (f"  {line:<{width}}  # {what}" for line, what in command.examples)
        child = commands.add_parser(
            command.name,
            help=command.summary,
            description=command.summary + ".",
            epilog="examples:\n" + "\n".join(examples) + f"\n\nexit status:\n{_statuses(command)}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.arguments(child)
        child.set_defaults(command=command, parser=child)
    return parser


def _refuse_unknown_command(command_line: argparse.ArgumentParser, typed: Sequence[str]) -> None:
    """Exit with a usage error that names the commands most like the one that was typed, if that does not exist."""
    names = [command.name for command in COMMANDS]
    word = typed[0] if typed else "-"
    if word.startswith("-") or word in names:
        return
    close = [f"`{name}`" for name in get_close_matches(word.lower(), names)]
    hint = f"did you mean {' or '.join(close)}?" if close else f"choose from {', '.join(names)}"
    if Path(word).exists():
        hint = f"name a command before the path, as in `{command_line.prog} info {word}`"
    command_line.error(f"unknown command {word!r}; {hint}")


def _refuse_unknown_arguments(
    command_line: argparse.ArgumentParser, unknown: Sequence[str]
) -> NoReturn:
    """Exit with a usage error that names the options most like the first unknown argument."""
    words = [word for action in command_line._actions for word in action.option_strings]
    close = get_close_matches(unknown[0].partition("=")[0], words)
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    command_line.error(f"unknown arguments: {' '.join(unknown)}{hint}")


def _statuses(command: Command) -> str:
    rows = {
        SUCCESS: "done",
        FAILURE: command.failure,
        USAGE: "usage error: an argument makes no sense, whatever the dataset",
        INTERRUPTED: "interrupted by Ctrl-C",
    }
    return "\n".join(f"  {status:>3}  {meaning}" for status, meaning in rows.items())
