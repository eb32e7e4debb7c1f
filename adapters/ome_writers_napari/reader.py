"""The reader that napari calls for paths that match the patterns in the manifest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ome_writers
from ome_writers import OMEWritersError
from ome_writers_napari.layers import LayerSource


def get_reader(
    path: str | Sequence[str],
) -> Callable[[str | Sequence[str]], list[tuple[Any, dict[str, Any], str]]] | None:
    """Return the function that reads the layers of datasets, as npe2 specifies; None if a path is not a dataset.

    The layers show what is on disk at this moment; `add_live` follows a dataset that is being written.
    """
    try:
        for each in _paths(path):
            ome_writers.read(each)
    except (OMEWritersError, OSError):
        return None
    return _read_layers


def _read_layers(path: str | Sequence[str]) -> list[tuple[Any, dict[str, Any], str]]:
    layers = [layer for each in _paths(path) for layer in LayerSource.open(each).layers()]
    return [(layer.data, layer.options, layer.kind) for layer in layers]


def _paths(path: str | Sequence[str]) -> list[str]:
    return [path] if isinstance(path, str) else list(path)
