"""Acquire and show images in notebook cells: for editors that support `# %%`, or as a script.

In a notebook or an interactive window the images appear below their cells; a script saves them as PNG files.
"""

# %% Display an image
from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

import ome_writers
from ome_writers import AcquisitionSettings, Channel, Dimension, create_stream

if TYPE_CHECKING:
    from numpy.typing import NDArray


def show(pixels: NDArray[np.uint8], name: str) -> None:
    """Display an RGB image of shape (y, x, 3), or save it."""
    image = Image.fromarray(pixels)
    if "ipykernel" in sys.modules:
        from IPython.display import display

        display(image)
    else:
        image.save(f"{name}.png")
        print(f"{name}.png: {pixels.shape[1]} x {pixels.shape[0]} pixels")


# %% Simulate a camera: drifting nuclei whose second channel becomes brighter
SIZE = 160
DARK, BRIGHT = 20.0, 400.0  # display range
rng = np.random.default_rng(7)
centres = rng.uniform(20, SIZE - 20, (12, 2))
drift = rng.uniform(-2.5, 2.5, (12, 2))  # pixels per time point
y, x = np.mgrid[:SIZE, :SIZE]


def snap(t: int, c: int) -> NDArray[np.uint16]:
    """Return a frame of shape (y, x): Poisson noise on a dozen blobs."""
    light = np.full((SIZE, SIZE), DARK)
    for number, (row, column) in enumerate(centres + t * drift):
        radius, brightness = ((9, 300), (4, 80 * t * (number % 3)))[c]
        light += brightness * np.exp(-((y - row) ** 2 + (x - column) ** 2) / radius**2)
    return rng.poisson(light).astype("uint16")


# %% Acquire, with a live view after half of the time points
settings = AcquisitionSettings(
    root_path="notebook.ome.zarr",
    dimensions=[
        Dimension(name="t", count=6, scale=60, unit="second"),
        Dimension(
            name="c",
            coords=[
                Channel(name="DAPI", color="#4488ff", window=(DARK, BRIGHT)),
                Channel(name="GFP", color="lime", window=(DARK, BRIGHT)),
            ],
        ),
        Dimension(name="y", count=SIZE, scale=0.3, unit="um"),
        Dimension(name="x", count=SIZE, scale=0.3, unit="um"),
    ],
    dtype="uint16",
)
COLORS = np.array([(68, 136, 255), (0, 255, 0)]) / 255


def overlay(planes: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Return planes (c, y, x) as one RGB image."""
    scaled = (np.asarray(planes, float) - DARK) / (BRIGHT - DARK)
    return (np.tensordot(scaled.clip(0, 1), COLORS, (0, 0)).clip(0, 1) * 255).astype("uint8")


with create_stream(settings) as stream:
    view = stream.view()
    for t in range(6):
        for c in range(2):
            stream.append(snap(t, c), frame_metadata={"delta_t": t * 60.0})
        if t == 2:
            show(overlay(view[2]), "live")  # read from memory or from disk

# %% All time points side by side
dataset = ome_writers.open("notebook.ome.zarr")
show(np.concatenate([overlay(dataset[t]) for t in range(6)], axis=1), "all-time-points")

# %% Kymograph of one row of pixels
kymograph = np.repeat(np.asarray(dataset[:, :, SIZE // 2]).transpose(1, 0, 2), 12, axis=1)
show(overlay(kymograph), "kymograph")
