"""Stream microscope camera frames to OME-Zarr and OME-TIFF while the microscope runs."""
