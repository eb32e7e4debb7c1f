"""Translates; never opens a file."""
