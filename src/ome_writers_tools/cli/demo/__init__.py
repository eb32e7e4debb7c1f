"""The steps of `ome-writers demo`: acquire from the demo camera, then read with a third-party reader."""
