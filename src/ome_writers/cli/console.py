"""Where commands show things: with rich where it is installed, as plain lines otherwise.

Results go to stdout, progress and errors to stderr, so that a pipe sees results only.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from ome_writers.untrusted import printable_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    Advance = Callable[[str], None]
    """Called once a step with a few words on how it goes ("212 frames/s")."""
    Show = Callable[[Mapping[str, str]], None]
    """Called with the names and values that are true now."""
    Relabel = Callable[[str], None]
    """Called with the label that a progress display shows from now on."""


class Screen(Protocol):
    """What a command can show."""

    def say(self, text: str) -> None:
        """Show one line."""

    def facts(self, title: str, rows: Mapping[str, str]) -> None:
        """Show names and values."""

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Show a table; numbers are the caller's to format."""

    def data(self, content: Mapping[str, Any]) -> None:
        """Show one JSON document, for machines."""

    def complain(self, text: str) -> None:
        """Say on stderr what went wrong."""

    def busy(self, label: str) -> AbstractContextManager[Relabel]:
        """Show that work of unknown length goes on while the context lasts."""
        ...

    def progress(self, label: str, total: int) -> AbstractContextManager[Advance]:
        """Show a bar of ``total`` steps while the context lasts."""
        ...

    def live(self, title: str) -> AbstractContextManager[Show]:
        """Show names and values that change while the context lasts; the last ones stay."""
        ...


class PlainScreen:
    """Lines of text, for pipes, logs and installations without rich."""

    def say(self, text: str) -> None:
        """Print the line."""
        print(text, flush=True)

    def facts(self, title: str, rows: Mapping[str, str]) -> None:
        """Print one line a fact, the values aligned."""
        self.say(title)
        width = max(map(len, rows), default=0)
        for name, value in rows.items():
            self.say(f"  {name:<{width}}  {value}")

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print one line a row, the columns aligned."""
        lines = [columns, *rows]
        widths = [max(len(line[n]) for line in lines) for n in range(len(columns))]
        self.say(title)
        for line in lines:
            cells = (f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True))
            self.say("  " + "  ".join(cells).rstrip())

    def data(self, content: Mapping[str, Any]) -> None:
        """Print the document, indented."""
        unicode = (sys.stdout.encoding or "").lower().startswith("utf")
        print(printable_json(content, ascii_only=not unicode), flush=True)

    def complain(self, text: str) -> None:
        """Print to stderr."""
        print(f"ome-writers: {text}", file=sys.stderr, flush=True)

    @contextmanager
    def busy(self, label: str) -> Iterator[Relabel]:
        """Print each label as a line to stderr, if that is a terminal."""

        def show(text: str) -> None:
            if sys.stderr.isatty():
                print(f"{text} ...", file=sys.stderr, flush=True)

        show(label)
        yield show

    @contextmanager
    def progress(self, label: str, total: int) -> Iterator[Advance]:
        """Print a line to stderr at every tenth part."""
        done = 0

        def advance(detail: str) -> None:
            nonlocal done
            done += 1
            if done * 10 // total != (done - 1) * 10 // total:
                print(f"{label}: {done}/{total}  {detail}", file=sys.stderr, flush=True)

        yield advance

    @contextmanager
    def live(self, title: str) -> Iterator[Show]:
        """Print a line each time."""
        self.say(title)
        yield lambda rows: self.say("  " + "; ".join(f"{k} {v}" for k, v in rows.items()))


class RichScreen:
    """Colours, boxes and a moving bar; rich itself follows NO_COLOR and FORCE_COLOR."""

    def __init__(self) -> None:
        from rich.console import Console

        self._out = Console(highlight=False)
        self._error = Console(stderr=True, highlight=False)

    def say(self, text: str) -> None:
        """Print the line, wrapped to the terminal."""
        self._out.print(text, markup=False, soft_wrap=True)

    def facts(self, title: str, rows: Mapping[str, str]) -> None:
        """Draw a table of two columns without lines."""
        from rich.text import Text

        self._out.print(Text(title, style="bold"))
        self._out.print(_grid(rows))

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Draw a table with a head, or each row by itself where the columns would be too narrow for words."""
        longest = (max(map(_longest_word, column)) for column in zip(columns, *rows, strict=True))
        if sum(longest) + 3 * len(columns) > self._out.width:
            for row in rows:
                cells = zip(columns[1:], row[1:], strict=True)
                self.facts(f"{title}: {row[0]}", {name: cell for name, cell in cells if cell})
            return
        from rich import box
        from rich.table import Table
        from rich.text import Text

        grid = Table(box=box.SIMPLE_HEAD, title=Text(title, style="bold"), title_justify="left")
        for column in columns:
            grid.add_column(Text(column), overflow="fold")
        for row in rows:
            grid.add_row(*map(Text, row))
        self._out.print(grid)

    def data(self, content: Mapping[str, Any]) -> None:
        """Print the document as it is: a machine reads it."""
        PlainScreen().data(content)

    def complain(self, text: str) -> None:
        """Print to stderr, the program's name in red."""
        from rich.text import Text

        line = Text.assemble(("ome-writers: ", "bold red"), text)
        self._error.print(line, soft_wrap=True)

    @contextmanager
    def busy(self, label: str) -> Iterator[Relabel]:
        """Turn a wheel."""
        from rich.text import Text

        spinner = "dots" if self._error.encoding.startswith("utf") else "line"
        with self._error.status(Text(label), spinner=spinner) as status:
            yield lambda text: status.update(Text(text))

    @contextmanager
    def progress(self, label: str, total: int) -> Iterator[Advance]:
        """Draw a bar with the time that is left."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.progress import TimeRemainingColumn as TimeLeft

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[detail]}", markup=False),
            TimeLeft(),
        )
        with Progress(*columns, console=self._error) as bar:
            task = bar.add_task(label, total=total, detail="")
            yield lambda detail: bar.update(task, advance=1, detail=detail)

    @contextmanager
    def live(self, title: str) -> Iterator[Show]:
        """Draw a table of two columns that is replaced each time."""
        from rich.console import Group
        from rich.live import Live
        from rich.text import Text

        with Live(console=self._out, auto_refresh=False) as area:

            def show(rows: Mapping[str, str]) -> None:
                area.update(Group(Text(title, style="bold"), _grid(rows)), refresh=True)

            yield show


class StillScreen(PlainScreen):
    """Colours and boxes, and nothing that moves: for a pipe or a log with FORCE_COLOR."""

    def __init__(self) -> None:
        rich = RichScreen()
        self.say = rich.say  # type: ignore[method-assign] # shown as rich shows it
        self.facts = rich.facts  # type: ignore[method-assign] # likewise
        self.table = rich.table  # type: ignore[method-assign] # likewise
        self.complain = rich.complain  # type: ignore[method-assign] # likewise


def _longest_word(text: str) -> int:
    """Return the length of a text's longest word; one that is very long may be broken."""
    return min(20, max(map(len, text.split()), default=0))


def _grid(rows: Mapping[str, str]) -> Any:
    """Return names and values as rich draws them."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold cyan", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows.items():
        grid.add_row(Text(name), Text(value))
    return grid


def open_screen() -> Screen:
    """Return the rich screen on a terminal that can show it, else the plain one.

    FORCE_COLOR (not empty) has colours written to a pipe or a file, too, unless NO_COLOR is set.
    """
    forced = bool(os.environ.get("FORCE_COLOR")) and not os.environ.get("NO_COLOR")
    moving = sys.stdout.isatty() and (sys.stderr.isatty() or not forced)
    if not moving and not forced:
        return PlainScreen()
    try:
        return RichScreen() if moving else StillScreen()
    except ImportError:
        return PlainScreen()


def size_in_files(size: int, files: int) -> str:
    """Say how large some files are together.

    Examples
    --------
    >>> size_in_files(512, 1)
    '512 B in 1 file'
    """
    return f"{human_size(size)} in {files} file{'' if files == 1 else 's'}"


def human_size(count: int) -> str:
    """Say a number of bytes in binary units, three digits at most.

    Examples
    --------
    >>> human_size(512), human_size(63_000_000)
    ('512 B', '60.1 MiB')
    """
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024 or unit == "TiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
