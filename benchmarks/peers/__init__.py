"""One file a peer, each used the way its own documentation says; none imports this project."""

from __future__ import annotations
