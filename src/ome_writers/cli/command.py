"""What a command is, and how it says that it cannot go on."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from ome_writers.errors import OMEWritersError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from ome_writers.cli.console import Screen

SUCCESS = 0
FAILURE = 1
USAGE = 2
INTERRUPTED = 130
"""What a shell expects of a program that Ctrl-C ended (128 + SIGINT)."""


@dataclass(frozen=True)
class Command:
    """One row of the table of commands.

    Attributes
    ----------
    name
        What the user types after ``ome-writers``.
    summary
        One sentence without a full stop, for ``ome-writers --help``.
    examples
        Lines that can be typed as they stand, each with what it is for.
    arguments
        Adds the command's own arguments to its parser.
    run
        Does the work and returns the exit status. It must import what is slow or optional itself.
    interrupted
        What Ctrl-C has left behind.
    failure
        When the exit status is 1, for ``COMMAND --help``.
    """

    name: str
    summary: str
    examples: tuple[tuple[str, str], ...]
    arguments: Callable[[ArgumentParser], None]
    run: Callable[[Namespace, Screen], int]
    interrupted: str = "interrupted; nothing was changed"
    failure: str = "it failed; one sentence on stderr says why"


class CommandError(Exception):
    """The command cannot do what was asked; the message is one sentence for the user."""


class UsageError(CommandError):
    """What was typed does not make sense, whatever the dataset: exit status 2."""


def error_sentence(error: BaseException, path: Path | None) -> str:
    """Return an error as one line; one of the operating system names its file, or else the dataset's `path`."""
    if isinstance(error, OSError) and error.strerror and (error.filename or path):
        return f"{error.filename or path}: {error.strerror}"
    if not isinstance(error, (CommandError, OMEWritersError, OSError)):
        return f"{path} cannot be read: {type(error).__name__}: {' '.join(str(error).split())}"
    # the library speaks of the argument, here it is an option
    message = str(error).replace("set overwrite=True", "say --overwrite")
    return " ".join(message.replace("overwrite=True", "--overwrite").split())


def require(command: str, extra: str, libraries: Mapping[str, str]) -> None:
    """Check that libraries are installed, before the command has begun anything.

    Parameters
    ----------
    command, extra
        The command that needs them, and the extra of ours that brings them.
    libraries
        Import name to the name of the distribution.

    Raises
    ------
    MissingExtraError
        One is not installed.
    """
    for module, library in libraries.items():
        try:
            import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module:  # installed but broken: its traceback says how
                raise
            raise MissingExtraError(command, library, extra) from None


class MissingExtraError(CommandError):
    """A command needs a library that a plain installation does not bring.

    Parameters
    ----------
    command
        The command that needs it.
    library
        The distribution that is missing.
    extra
        The extra of ours that brings it.
    """

    def __init__(self, command: str, library: str, extra: str) -> None:
        super().__init__(
            f"`ome-writers {command}` needs {library}, which is not installed; "
            f"install it with: pip install 'ome-writers[{extra}]'"
        )
