"""The model of a command, its exit statuses and its errors."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from ome_writers import OMEWritersError
from ome_writers_tools.cli.console import Screen

SUCCESS = 0
FAILURE = 1
USAGE = 2
INTERRUPTED = 130
"""The shells' convention for a process ended by Ctrl-C (128 + SIGINT)."""

# arguments of the library in messages, and the options that pass them
_OPTIONS = {
    "set overwrite=True": "pass --overwrite",
    "overwrite=True": "--overwrite",
    "follow=True": "--follow",
    "chunk_shapes": "--chunk",
    "shard_shapes": "--shard",
}


@dataclass(frozen=True)
class Command:
    """One row of the table of commands."""

    name: str  # the word after `ome-writers`
    summary: str  # one sentence without a full stop, for `ome-writers --help`
    # command lines that run as they are, each with its purpose
    examples: tuple[tuple[str, str], ...]
    arguments: Callable[[ArgumentParser], None]  # adds the command's arguments to its parser
    # Runs the command and returns the exit status. It imports slow and optional modules itself.
    run: Callable[[Namespace, Screen], int]
    json_replaces: str | None = "a table"  # by ``--json``; None if there is no such option
    # the message after Ctrl-C: the state of the output
    interrupted: str = "interrupted; nothing was changed"
    # the meaning of exit status 1, for `COMMAND --help`
    failure: str = "failure; one sentence on stderr gives the reason"


class CommandError(Exception):
    """The command failed; the message is one sentence for the user."""


class UsageError(CommandError):
    """The arguments are invalid for any dataset: exit status 2."""


def error_sentence(error: BaseException, path: Path | None) -> str:
    """Return an error as one line that names its file, or else the dataset's `path`."""
    if isinstance(error, OSError) and error.strerror and (error.filename or path):
        return f"{error.filename or path}: {error.strerror}"
    if not isinstance(error, (CommandError, OMEWritersError, OSError)):
        return f"{path} cannot be read: {type(error).__name__}: {' '.join(str(error).split())}"
    message = str(error)
    for argument, option in _OPTIONS.items():
        message = message.replace(argument, option)
    return " ".join(message.split())


def require(command: str, extra: str, libraries: Mapping[str, str]) -> None:
    """Check that libraries are installed, before the command starts.

    `libraries` maps import names to distributions, which the extra `extra` installs.

    Raises MissingExtraError if one is not installed.
    """
    for module, library in libraries.items():
        try:
            import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module:  # installed, but broken: the traceback shows where
                raise
            raise MissingExtraError(command, library, extra) from None


class MissingExtraError(CommandError):
    """`command` needs the distribution `library`, which only the extra `extra` installs."""

    def __init__(self, command: str, library: str, extra: str) -> None:
        super().__init__(
            f"`ome-writers {command}` needs {library}, which is not installed; "
            f'install it with: pip install "ome-writers[{extra}]"'
        )
