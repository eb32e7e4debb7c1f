"""Text from files reaches the terminal through here, without the characters that control it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ome_writers.untrusted import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ome_writers.cli.console import Advance, Relabel, Screen, Show


class SafeScreen:
    """A screen that shows control characters as escapes, whatever is given to it.

    Line breaks stay in what `say` shows, and before a title.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def say(self, text: str) -> None:
        """Show one line."""
        self._screen.say(printable(text, breaks=True))

    def facts(self, title: str, rows: Mapping[str, str]) -> None:
        """Show names and values."""
        self._screen.facts(_title(title), _rows(rows))

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Show a table."""
        cells = [tuple(map(printable, row)) for row in rows]
        self._screen.table(_title(title), columns, cells)

    def data(self, content: Mapping[str, Any]) -> None:
        """Show one JSON document."""
        self._screen.data(content)

    def complain(self, text: str) -> None:
        """Say on stderr what went wrong."""
        self._screen.complain(printable(text))

    @contextmanager
    def busy(self, label: str) -> Iterator[Relabel]:
        """Show that work of unknown length goes on."""
        with self._screen.busy(printable(label)) as relabel:
            yield lambda text: relabel(printable(text))

    @contextmanager
    def progress(self, label: str, total: int) -> Iterator[Advance]:
        """Show a bar."""
        with self._screen.progress(printable(label), total) as advance:
            yield lambda detail: advance(printable(detail))

    @contextmanager
    def live(self, title: str) -> Iterator[Show]:
        """Show names and values that change."""
        with self._screen.live(_title(title)) as show:
            yield lambda rows: show(_rows(rows))


def _title(title: str) -> str:
    return "\n" * title.startswith("\n") + printable(title.removeprefix("\n"))


def _rows(rows: Mapping[str, str]) -> dict[str, str]:
    return {printable(name): printable(value) for name, value in rows.items()}
