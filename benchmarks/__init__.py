"""The workloads, their limits, this project and its peers, measured side by side.

Nothing here asserts a time: it prints a table, and people judge.
"""

from __future__ import annotations
