"""Text from files, made safe for a terminal: control characters are escaped."""

from __future__ import annotations

import json
import re
from typing import Any

# C0 (including ESC, which starts CSI and OSC sequences), DEL, C1, line and paragraph separators, bidirectional marks
# and overrides, surrogates (which cannot be encoded), and the byte order mark
_UNSAFE = "\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff"
_ALL = re.compile(f"[{_UNSAFE}]")
_ALL_BUT_NEWLINE = re.compile(f"(?!\n)[{_UNSAFE}]")
_MAX_CHARACTERS = 2000


def printable(text: str, *, breaks: bool = False) -> str:
    r"""Return `text` with control characters escaped, at most 2,000 long; `breaks` keeps newlines and any length.

    Examples
    --------
    >>> printable("a\x1b[2J\u202eb")
    'a\\x1b[2J\\u202eb'
    """
    safe = (_ALL_BUT_NEWLINE if breaks else _ALL).sub(_escaped, text)
    if breaks or len(safe) <= _MAX_CHARACTERS:
        return safe
    return f"{safe[:_MAX_CHARACTERS]}... ({len(safe):,} characters)"


def printable_json(content: Any, *, ascii_only: bool = False) -> str:
    """Return `content` as indented JSON with control characters escaped; parsing it returns `content`."""
    text = json.dumps(content, indent=2, ensure_ascii=ascii_only)
    return _ALL_BUT_NEWLINE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return {10: r"\n", 13: r"\r", 9: r"\t"}.get(code) or (
        f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
    )
