"""Draw ``docs/explanation/architecture.svg`` from the layers that import-linter checks.

Run ``python docs/pictures/architecture_figure.py`` (Python 3.11 or later) after a change of the layers in
``pyproject.toml``.
"""

from __future__ import annotations

from pathlib import Path

REPOSITORY = Path(__file__).parent.parent.parent
PICTURE = REPOSITORY / "docs" / "explanation" / "architecture.svg"
DETAILS = {
    "cli": "command line",
    "testing": "contract tests",
    "processing": "functions of blocks, in tasks for any executor",
    "advice": "benchmarks, recommended settings",
    "conversion": "copies and edits of datasets",
    "streaming": "append, flush, close, errors, events",
    "validation": "checks of datasets",
    "mirroring": "copies in object stores, checksums",
    "serving": "a web server for a dataset",
    "views": "a dataset as one array",
    "repair": "recovery after a crash",
    "formats": "NGFF, OME-XML, frame metadata",
    "storage": "engines: pixels to files",
    "routing": "resolve(settings) → plan; frame number → address (array, index)",
    "dataset": "what a dataset contains",
    "settings": "user input",
    "units": "length and time",
    "untrusted": "parsing of files as untrusted input",
    "object_store": "URLs of stores, and their clients",
    "ome_writers_useq": "MDASequence → settings",
    "ome_writers_pymmcore": "pymmcore-plus",
    "ome_writers_ophyd": "ophyd-async, bluesky",
    "ome_writers_napari": "napari",
    "ome_writers_ndv": "ndv",
}
COLORS = ("#e8ecf4", "#ffe9ec", "#ffe3b8", "#d9f2e1", "#cfe4ff", "#e6dcff", "#fbdde6")
LEFT, WIDTH, GAP, PLAIN_HEIGHT, HEIGHT = 20, 500, 12, 30, 46
ADAPTERS_LEFT, ADAPTERS_WIDTH, ADAPTERS_TOP, ADAPTER_COLOR = 556, 196, 200, "#fff3c4"
STYLE = """\
  <style>
    .package { stroke: #3d4a63; stroke-width: 1.5; rx: 8; }
    .name { fill: #14213d; font-weight: 600; font-size: 13px; }
    .detail { fill: #3d4a63; font-size: 12.5px; }
    .note { fill: #7a869e; font-size: 12.5px; }
  </style>"""


def package(name: str, left: float, top: float, width: float, height: float, color: str) -> str:
    """Return a box with the name of a package, and below it what it contains."""
    middle, detail = left + width / 2, DETAILS.get(name, "")
    box = f'x="{left:g}" y="{top:g}" width="{width:g}" height="{height:g}" fill="{color}"'
    baseline = top + (height / 2 + 5 if not detail else 19)
    parts = [
        f'<rect class="package" {box}/>',
        f'<text class="name" x="{middle:g}" y="{baseline:g}">{name}</text>',
        f'<text class="detail" x="{middle:g}" y="{top + 37:g}">{detail}</text>' if detail else "",
    ]
    return "    " + "".join(parts)


def draw(layers: list[str], adapters: list[str]) -> str:
    """Return the figure of layers, each as in "(formats) | (storage)", with the adapters beside them."""
    shapes, top = [], GAP
    rows = [[name.strip(" ()") for name in layer.split("|")] for layer in layers]
    for number, names in enumerate(rows):
        height = HEIGHT if any(name in DETAILS for name in names) else PLAIN_HEIGHT
        width = (WIDTH - GAP * (len(names) - 1)) / len(names)
        for column, name in enumerate(names):
            left = LEFT + column * (width + GAP)
            shapes.append(package(name, left, top, width, height, COLORS[number % len(COLORS)]))
        top += height + 8
    note = "A package imports only packages below it."
    shapes.append(f'    <text class="note" x="{LEFT + WIDTH / 2:g}" y="{top + 14:g}">{note}</text>')
    beside = ADAPTERS_TOP
    for name in adapters:
        box = (ADAPTERS_LEFT, beside, ADAPTERS_WIDTH, HEIGHT, ADAPTER_COLOR)
        shapes.append(package(name, *box))
        beside += HEIGHT + 8
    middle = ADAPTERS_LEFT + ADAPTERS_WIDTH / 2
    note = "Adapters import public names."
    shapes.append(f'    <text class="note" x="{middle:g}" y="{beside + 10:g}">{note}</text>')
    listed = "; ".join(" and ".join(names) for names in rows)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 772 {top + 26:g}" role="img" '
            'aria-labelledby="t d" font-family="system-ui, sans-serif" font-size="15">',
            '  <title id="t">Architecture of ome-writers</title>',
            f'  <desc id="d">Layers from top to bottom: {listed}. Beside them the adapters.</desc>',
            STYLE,
            '  <g text-anchor="middle">',
            *shapes,
            "  </g>",
            "</svg>\n",
        ]
    )


def render() -> str:
    """Return the figure of this repository."""
    import tomllib

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    linter = project["tool"]["importlinter"]
    (layers,) = (c["layers"] for c in linter["contracts"] if c["id"] == "layers")
    return draw(layers, [name for name in linter["root_packages"] if name != "ome_writers"])


if __name__ == "__main__":
    PICTURE.write_text(render(), encoding="utf-8", newline="\n")
