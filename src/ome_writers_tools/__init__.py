"""What runs after an acquisition or beside it: the command line, mirrors, conversion, processing, advice, the server.

Tools build upon the public names of `ome_writers` and of `ome_writers.toolkit`; nothing of `ome_writers` needs them.
"""
