"""Descriptions of datasets of any writer, from their metadata; pixels are not read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers.toolkit import lazy_exports

if TYPE_CHECKING:
    from ome_writers_tools.cli.description.acquisition import (
        AcquisitionDescription as AcquisitionDescription,
    )
    from ome_writers_tools.cli.description.acquisition import (
        ChannelDescription as ChannelDescription,
    )
    from ome_writers_tools.cli.description.acquisition import (
        describe_acquisition as describe_acquisition,
    )
    from ome_writers_tools.cli.description.acquisition import parse_time as parse_time
    from ome_writers_tools.cli.description.acquisition import seconds_between as seconds_between
    from ome_writers_tools.cli.description.description import Description as Description
    from ome_writers_tools.cli.description.description import ImageDescription as ImageDescription
    from ome_writers_tools.cli.description.description import describe as describe
    from ome_writers_tools.cli.description.description import describe_spec as describe_spec
    from ome_writers_tools.cli.description.folder import FolderContent as FolderContent
    from ome_writers_tools.cli.description.folder import list_datasets as list_datasets
    from ome_writers_tools.cli.description.folder import writer_has_ended as writer_has_ended
    from ome_writers_tools.cli.description.folder import writer_state as writer_state
    from ome_writers_tools.cli.description.plates import group_images as group_images
    from ome_writers_tools.cli.description.plates import plate_map as plate_map
else:
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            ".acquisition": (
                "AcquisitionDescription",
                "ChannelDescription",
                "describe_acquisition",
                "parse_time",
                "seconds_between",
            ),
            ".description": ("Description", "ImageDescription", "describe", "describe_spec"),
            ".folder": ("FolderContent", "list_datasets", "writer_has_ended", "writer_state"),
            ".plates": ("group_images", "plate_map"),
        },
    )
