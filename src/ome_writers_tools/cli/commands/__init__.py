"""The commands, a file each. None of them knows another."""
