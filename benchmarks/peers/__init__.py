"""One module per peer, each used as its documentation recommends; none imports this project."""

from __future__ import annotations
