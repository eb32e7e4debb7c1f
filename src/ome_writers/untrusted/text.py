"""Text from files, made safe for a terminal: control characters are escaped."""

from __future__ import annotations

import json
from typing import Any

from ome_writers.errors import UNSAFE, escape_controls

_MAX_CHARACTERS = 2000


def printable(text: str, *, breaks: bool = False) -> str:
    r"""Return `text` with control characters escaped, at most 2,000 long; `breaks` keeps newlines and any length.

    Examples
    --------
    >>> printable("a\x1b[2J\u202eb")
    'a\\x1b[2J\\u202eb'
    """
    safe = escape_controls(text, keep="\n" if breaks else "")
    if breaks or len(safe) <= _MAX_CHARACTERS:
        return safe
    return f"{safe[:_MAX_CHARACTERS]}... ({len(safe):,} characters)"


def printable_json(content: Any, *, ascii_only: bool = False) -> str:
    """Return `content` as indented JSON with control characters escaped; parsing it returns `content`."""
    text = json.dumps(content, indent=2, ensure_ascii=ascii_only)
    return UNSAFE.sub(
        lambda found: found[0] if found[0] == "\n" else f"\\u{ord(found[0]):04x}", text
    )
