"""Loads the tables of formats and engines when it is imported: `support.preloaded` loads modules only."""

from __future__ import annotations

from ome_writers.toolkit import engine_rows, format_rows

engine_rows()
format_rows()
