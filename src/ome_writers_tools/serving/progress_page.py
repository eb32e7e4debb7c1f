"""The page of a server: the progress of the dataset, and links that open it in viewers."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple
from urllib.parse import quote

from ome_writers import DatasetSpec
from ome_writers.toolkit import printable

_REFRESH_S = 2
_STYLE = "body{font:16px sans-serif;margin:2em;max-width:50em}td{padding:.2em 1em .2em 0}progress{width:100%}"


class ViewerLink(NamedTuple):
    """A viewer on the web, and its address that opens the dataset."""

    name: str
    url: str


_ZARR = {
    "Vizarr": "https://hms-dbmi.github.io/vizarr/?source={url}",
    "OME-NGFF validator": "https://ome.github.io/ome-ngff-validator/?source={url}",
    "Neuroglancer": "https://neuroglancer-demo.appspot.com/#!{state}",
}
_TIFF = {"Avivator": "https://avivator.gehlenborglab.org/?image_url={url}"}
VIEWER_ORIGINS = frozenset(
    link.partition("://")[0] + "://" + link.partition("://")[2].partition("/")[0]
    for link in (*_ZARR.values(), *_TIFF.values())
)
"""The sites of these viewers."""


def viewer_links(url: str, *, tiff: bool) -> list[ViewerLink]:
    """Return the viewers for the dataset at `url`."""
    state = f'{{"layers":[{{"type":"auto","name":"image","source":"{url}/|zarr3:"}}]}}'
    values = {"url": quote(url, safe=""), "state": quote(state, safe="")}
    return [
        ViewerLink(name, link.format(**values)) for name, link in (_TIFF if tiff else _ZARR).items()
    ]


def render_page(spec: DatasetSpec, name: str, links: Sequence[ViewerLink], data: str) -> bytes:
    """Return the page as HTML, which refreshes itself while the dataset is written; `data` is its relative link."""
    growing = spec.status == "writing"
    first = spec.images[0]
    axes = ", ".join(f"{n} {size}" for n, size in zip(first.dims, first.shape, strict=True))
    rows = {
        "status": spec.status or "unknown",
        "images": str(len(spec.images)),
        "axes": axes,
        "dtype": first.levels[0].dtype,
    }
    progress = ""
    if spec.frames_written is not None:
        rows["frames"] = str(spec.frames_written)
        if spec.frames_expected:
            rows["frames"] += f" of {spec.frames_expected}"
            progress = (
                f'<progress max="{spec.frames_expected}" value="{spec.frames_written}"></progress>'
            )
    if spec.updated:
        rows["last flush"] = spec.updated
    table = "".join(f"<tr><td>{k}</td><td>{_text(v)}</td></tr>" for k, v in rows.items())
    listed = "".join(
        f'<li><a href="{escape(link.url)}">{_text(link.name)}</a></li>' for link in links
    )
    refresh = f'<meta http-equiv="refresh" content="{_REFRESH_S}">' if growing else ""
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">{refresh}<title>{_text(name)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{_text(name)}</h1>{progress}<table>{table}</table>"
        f"<p>Open in</p><ul>{listed}</ul>"
        f'<p>Address for other viewers: <a href="{escape(data)}">{_text(data)}</a></p></body></html>'
    ).encode(errors="replace")


def _text(value: str) -> str:
    return escape(printable(value))
