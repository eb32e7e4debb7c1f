"""What runs after an acquisition or beside it: the command line, conversion, processing, advice and the server.

Tools build upon the public names of `ome_writers` and of `ome_writers.toolkit`; nothing of `ome_writers` needs them.
"""
