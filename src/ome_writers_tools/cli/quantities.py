"""Numbers as text."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """Format a number of things.

    >>> counted(1, "file"), counted(2, "file")
    ('1 file', '2 files')
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"


def size_in_files(size: int, files: int) -> str:
    """Format the total size of some files.

    >>> size_in_files(512, 1)
    '512 B in 1 file'
    """
    return f"{human_size(size)} in {counted(files, 'file')}"


def human_size(count: int) -> str:
    """Format a number of bytes in binary units.

    >>> human_size(512), human_size(63_000_000)
    ('512 B', '60.1 MiB')
    """
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024 or unit == "TiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
