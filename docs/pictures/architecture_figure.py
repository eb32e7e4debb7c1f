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
    "advice": "recommended settings",
    "conversion": "copies and edits",
    "streaming": "append, flush, close, errors, events",
    "validation": "checks of datasets",
    "mirroring": "copies in object stores, checksums",
    "serving": "web server",
    "views": "a dataset as one array",
    "repair": "recovery after a crash",
    "formats": "omezarr and ometiff: a folder with all verbs each",
    "storage": "engines: pixels to files",
    "routing": "resolve(settings) → plan; frame number → address (array, index)",
    "dataset": "what a dataset contains",
    "settings": "user input",
    "units": "length and time",
    "untrusted": "parsing of files as untrusted input",
    "object_store": "URLs of stores, and their clients",
    "toolkit": "what tools and engines import",
    "ome_writers_engines": "tensorstore, acquire-zarr, zarr",
    "ome_writers_useq": "MDASequence → settings",
    "ome_writers_pymmcore": "pymmcore-plus",
    "ome_writers_ophyd": "ophyd-async, bluesky",
    "ome_writers_napari": "napari",
    "ome_writers_ndv": "ndv",
}
COLORS = ("#e8ecf4", "#ffe9ec", "#ffe3b8", "#d9f2e1", "#cfe4ff", "#e6dcff", "#fbdde6")
LEFT, WIDTH, GAP, PLAIN_HEIGHT, HEIGHT = 20, 500, 12, 30, 46
BESIDE_LEFT, BESIDE_WIDTH, ADAPTER_COLOR = 556, 212, "#fff3c4"
STYLE = """\
  <style>
    .package { stroke: #3d4a63; stroke-width: 1.5; rx: 8; }
    .name { fill: #14213d; font-weight: 600; font-size: 13px; }
    .short.name { font-size: 11.5px; }
    .detail { fill: #3d4a63; font-size: 12.5px; }
    .part { fill: none; stroke: #7a869e; stroke-width: 1.5; stroke-dasharray: 5 4; rx: 10; }
    .title { fill: #14213d; font-weight: 700; text-anchor: start; }
    .rule { fill: #7a869e; font-size: 12.5px; text-anchor: end; }
    .note { fill: #7a869e; font-size: 12.5px; }
  </style>"""


def package(name: str, left: float, top: float, width: float, height: float, color: str) -> str:
    """Return a box with the name of a package, and below it what it contains."""
    middle, detail = left + width / 2, DETAILS.get(name, "")
    box = f'x="{left:g}" y="{top:g}" width="{width:g}" height="{height:g}" fill="{color}"'
    baseline = top + (height / 2 + 5 if not detail else 19)
    parts = [
        f'<rect class="package" {box}/>',
        f'<text class="{"name" if width > 100 else "short name"}" x="{middle:g}" y="{baseline:g}">{name}</text>',
        f'<text class="detail" x="{middle:g}" y="{top + 37:g}">{detail}</text>' if detail else "",
    ]
    return "    " + "".join(parts)


def frame(title: str, note: str, left: float, top: float, width: float, height: float) -> str:
    """Return the frame around the packages of one part, with its name and what it may import."""
    box = f'x="{left:g}" y="{top:g}" width="{width:g}" height="{height:g}"'
    return (
        f'    <rect class="part" {box}/><text class="title" x="{left + 12:g}" y="{top + 20:g}">{title}</text>'
        f'<text class="rule" x="{left + width - 12:g}" y="{top + 20:g}">{note}</text>'
    )


def stack(layers: list[str], top: float) -> tuple[list[str], float]:
    """Return the packages of layers, each as in "(formats) | (storage)", below `top`, and where the last one ends."""
    shapes = []
    for number, layer in enumerate(layers):
        names = [name.strip(" ()") for name in layer.split("|")]
        height = HEIGHT if any(name in DETAILS for name in names) else PLAIN_HEIGHT
        width = (WIDTH - GAP * (len(names) - 1)) / len(names)
        for column, name in enumerate(names):
            left = LEFT + column * (width + GAP)
            shapes.append(package(name, left, top, width, height, COLORS[number % len(COLORS)]))
        top += height + 8
    return shapes, top


def draw(tools: list[str], core: list[str], beside: list[str]) -> str:
    """Return the figure: tools above the core and its formats, with engines of libraries and adapters beside them."""
    outer = {"left": LEFT - 10, "width": WIDTH + 20}
    above, middle = stack(tools, GAP + 32)
    below, bottom = stack(core, middle + 48)
    shapes = [
        frame(
            "ome_writers_tools",
            "imports ome_writers and its toolkit",
            top=GAP,
            height=middle - GAP,
            **outer,
        ),
        *above,
        frame(
            "ome_writers",
            "imports nothing of the others",
            top=middle + 16,
            height=bottom - middle - 16,
            **outer,
        ),
        *below,
    ]
    top = middle + 48
    for name in beside:
        box = (BESIDE_LEFT, top, BESIDE_WIDTH, HEIGHT, ADAPTER_COLOR)
        shapes.append(package(name, *box))
        top += HEIGHT + 8
    center = BESIDE_LEFT + BESIDE_WIDTH / 2
    for line, note in enumerate(
        ("Engines import ome_writers and", "its toolkit, adapters ome_writers.")
    ):
        shapes.append(
            f'    <text class="note" x="{center:g}" y="{top + 12 + 17 * line:g}">{note}</text>'
        )
    note = "A package imports only packages below it."
    shapes.append(
        f'    <text class="note" x="{LEFT + WIDTH / 2:g}" y="{bottom + 18:g}">{note}</text>'
    )
    listed = "; ".join(layer.replace("(", "").replace(")", "").replace(" |", ",") for layer in core)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 784 {bottom + 30:g}" role="img" '
            'aria-labelledby="t d" font-family="system-ui, sans-serif" font-size="15">',
            '  <title id="t">Architecture of ome-writers</title>',
            f'  <desc id="d">Tools above the core. Layers of the core from top to bottom: {listed}. '
            "Beside them engines of libraries and adapters.</desc>",
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
    layers = {c["id"]: c.get("layers") for c in linter["contracts"]}
    beside = [n for n in linter["root_packages"] if n not in ("ome_writers", "ome_writers_tools")]
    return draw(layers["tool-layers"], layers["layers"], beside)


if __name__ == "__main__":
    PICTURE.write_text(render(), encoding="utf-8", newline="\n")
