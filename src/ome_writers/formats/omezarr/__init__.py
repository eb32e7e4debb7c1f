"""What an OME-Zarr says, and in which group. This room knows nothing of OME-TIFF, nor of chunks."""
