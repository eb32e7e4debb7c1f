"""What an OME-TIFF says, and in which file. This room knows nothing of OME-Zarr, nor at which byte a page lies."""
