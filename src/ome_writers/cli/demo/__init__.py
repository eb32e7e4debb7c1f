"""What `ome-writers demo` does. This room never trusts what it wrote: somebody else's reader looks at it."""
