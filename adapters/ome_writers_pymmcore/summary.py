"""The summary metadata of pymmcore-plus as global metadata of a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ome_writers_pymmcore.frame_metadata import to_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ome_writers import OMEStream

__all__ = ["write_summary"]

_NAMESPACE = "pymmcore_plus"  # as the sink of pymmcore-plus writes it


def write_summary(stream: OMEStream, summary: Mapping[str, Any]) -> None:
    """Write the complete summary metadata (``SummaryMetaV1``) to a stream."""
    fields = dict(summary)
    sequence = fields.pop("mda_sequence", None)
    converted: dict[str, Any] = to_json(fields)
    if sequence is not None:
        converted["mda_sequence"] = sequence.model_dump(mode="json", exclude_unset=True)
    stream.set_global_metadata(_NAMESPACE, {"summary_metadata": converted})
